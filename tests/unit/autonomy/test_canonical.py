from types import MappingProxyType

from nightdesk.autonomy.canonical import canonical, fingerprint
from nightdesk.sdk.testing.cases import an_alert, an_entity


def test_equal_values_have_equal_bytes_whatever_their_order() -> None:
    assert canonical({"b": 1, "a": 2}) == canonical(MappingProxyType({"a": 2, "b": 1})) == b'{"a":2,"b":1}'


def test_a_changed_field_changes_the_fingerprint() -> None:
    assert fingerprint(an_alert()) == fingerprint(an_alert())
    assert fingerprint(an_alert()) != fingerprint(an_alert(description="x"))
    assert fingerprint(an_alert(entities=(an_entity("host:a", x="1"),))) != fingerprint(
        an_alert(entities=(an_entity("host:a", x="2"),))
    )


def test_text_that_is_no_utf8_has_a_fingerprint_too() -> None:
    odd = an_alert(title="a\ud800b", entities=(an_entity("host:a", x="1"),))
    assert fingerprint(odd) == fingerprint(odd)
    assert fingerprint(odd) != fingerprint(an_alert(title="ab"))
    assert canonical(MappingProxyType({"b": "\ud800", "a": 1})) == b'{"a":1,"b":"\\ud800"}'
