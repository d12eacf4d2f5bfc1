"""The contract suite: what every connector promises the hub, as tests that need nothing but its package.

    pytest --pyargs nightdesk.sdk.testing.contract --nightdesk-connector acme_nightdesk.acme_edr

What a vendor does not declare is skipped; what it declares is proved against its simulator on loopback.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from nightdesk.sdk.testing.checks import acting, apart, declared, failing, pulling, telling, witnessing
from nightdesk.sdk.testing.subject import Ground, Subject

Check = Callable[[Ground, Subject], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Loopback servers for the module."""
    with Ground() as made:
        yield made


def _prove(check: Check, ground: Ground, subject: Subject, *needs: str) -> None:
    for need in needs:
        if not getattr(subject.manifest, need):
            pytest.skip(f"{subject.name} declares no {need}")
    asyncio.run(check(ground, subject))


def test_the_folder_is_complete(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``declared.folder_shape``."""
    _prove(declared.folder_shape, ground, nightdesk_subject)


def test_declared_is_what_is_implemented(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``declared.implemented``."""
    _prove(declared.implemented, ground, nightdesk_subject)


def test_its_example_settings_build_it(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``declared.settings``."""
    _prove(declared.settings, ground, nightdesk_subject)


def test_it_does_not_print_its_secrets(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``declared.secrets_stay_secret``."""
    _prove(declared.secrets_stay_secret, ground, nightdesk_subject)


def test_a_burst_of_one_instant_comes_out_in_any_page_size(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``pulling.any_page_size``."""
    _prove(pulling.any_page_size, ground, nightdesk_subject, "feeds")


def test_killed_after_any_page_it_goes_on_without_a_loss(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``pulling.resumes_anywhere``."""
    _prove(pulling.resumes_anywhere, ground, nightdesk_subject, "feeds")


def test_late_arrivals_are_not_passed_over(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``pulling.late_arrivals``."""
    _prove(pulling.late_arrivals, ground, nightdesk_subject, "feeds")


def test_a_changed_alert_comes_again_under_a_new_key(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``pulling.new_versions``."""
    if "alert.set_disposition" not in nightdesk_subject.manifest.writes_back:
        pytest.skip(f"{nightdesk_subject.name} declares no alert.set_disposition")
    if not any(stream.tells_changes for stream in nightdesk_subject.manifest.pulls.values()):
        pytest.skip(f"{nightdesk_subject.name} declares no stream that tells of changes")
    _prove(pulling.new_versions, ground, nightdesk_subject, "pulls")


def test_one_alert_is_read_by_its_id(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``pulling.one_by_one``."""
    _prove(pulling.one_by_one, ground, nightdesk_subject, "reads_one")


def test_a_fault_of_a_moment_costs_no_alert(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``failing.a_blip_costs_nothing``."""
    _prove(failing.a_blip_costs_nothing, ground, nightdesk_subject, "feeds")


def test_a_lasting_fault_is_the_error_that_says_what_to_do(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``failing.errors``."""
    _prove(failing.errors, ground, nightdesk_subject, "remote")


def test_wrong_credentials_stop_it_at_once(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``failing.wrong_credentials``."""
    _prove(failing.wrong_credentials, ground, nightdesk_subject, "remote")


def test_a_redirect_to_another_host_is_refused(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``failing.redirects``."""
    _prove(failing.redirects, ground, nightdesk_subject, "remote")


def test_no_error_or_log_line_holds_a_secret(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``failing.secrets_in_errors``."""
    _prove(failing.secrets_in_errors, ground, nightdesk_subject, "remote")


def test_the_health_check_tells_the_truth(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``failing.health``."""
    _prove(failing.health, ground, nightdesk_subject, "checks_health")


def test_actions_are_read_back_repeated_and_undone(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.effects``."""
    _prove(acting.effects, ground, nightdesk_subject, "acts")


def test_what_cannot_be_undone_is_read_back_and_done_once(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.one_way``."""
    _prove(acting.one_way, ground, nightdesk_subject, "acts")


def test_a_receipt_is_not_an_effect(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.receipts_are_no_effects``."""
    _prove(acting.receipts_are_no_effects, ground, nightdesk_subject, "acts")


def test_a_parameter_it_cannot_honour_is_refused_or_named(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.losses``."""
    _prove(acting.losses, ground, nightdesk_subject, "verbs")


def test_a_closed_alert_is_closed_at_the_vendor_until_undone(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.dispositions``."""
    _prove(acting.dispositions, ground, nightdesk_subject, "writes_back")


def test_a_host_is_found_and_never_guessed(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.unknown_hosts``."""
    _prove(acting.unknown_hosts, ground, nightdesk_subject, "finds_assets")


def test_an_account_is_found_and_never_guessed(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``acting.unknown_accounts``."""
    _prove(acting.unknown_accounts, ground, nightdesk_subject, "finds_accounts")


def test_a_case_has_one_ticket_that_follows_it(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``telling.cases``."""
    _prove(telling.cases, ground, nightdesk_subject, "acts")


def test_what_people_do_to_a_ticket_is_told_once_and_without_echo(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``telling.case_changes``."""
    _prove(telling.case_changes, ground, nightdesk_subject, "follows_cases")


def test_a_message_arrives_once(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``telling.messages``."""
    _prove(telling.messages, ground, nightdesk_subject, "acts")


def test_an_answer_is_heard_only_from_the_vendor(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``telling.answers``."""
    _prove(telling.answers, ground, nightdesk_subject, "hears_answers")


def test_an_opinion_says_what_the_source_knows(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``telling.opinions``."""
    _prove(telling.opinions, ground, nightdesk_subject, "enriches")


def test_what_telemetry_saw_is_told_as_it_was(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``witnessing.sightings``."""
    _prove(witnessing.sightings, ground, nightdesk_subject, "witnesses")


def test_a_value_never_widens_a_question_to_telemetry(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``witnessing.strange_values``."""
    _prove(witnessing.strange_values, ground, nightdesk_subject, "witnesses")


def test_telemetry_that_cannot_be_asked_is_an_error(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``witnessing.trouble``."""
    _prove(witnessing.trouble, ground, nightdesk_subject, "witnesses")


def test_two_tenants_telemetry_never_mixes(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``witnessing.tenants``."""
    _prove(witnessing.tenants, ground, nightdesk_subject, "witnesses")


def test_two_tenants_share_nothing(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``apart.tenants``."""
    _prove(apart.tenants, ground, nightdesk_subject, "feeds")


def test_a_push_without_its_token_is_refused(ground: Ground, nightdesk_subject: Subject) -> None:
    """See ``apart.pushes``."""
    _prove(apart.pushes, ground, nightdesk_subject, "receives")
