import pytest

from nightdesk.stix.networks import is_inside, is_outside


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.1.1", "127.0.0.1", "fc00::1", "::1",
        "FE80::1%eth0", "::ffff:10.0.0.1",
    ],
)  # fmt: skip
def test_a_companys_own_address_is_inside(text: str) -> None:
    assert is_inside(text)
    assert not is_outside(text)


@pytest.mark.parametrize(
    "text", ["203.0.113.7", "198.51.100.1", "172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"]
)
def test_an_address_of_the_internet_is_outside(text: str) -> None:
    assert is_outside(text)
    assert not is_inside(text)


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "224.0.0.251", "255.255.255.255", "::", "ff02::fb", "", "host", "10.0.0", "x" * 1_000_000, None]
)
def test_what_is_no_machines_address_is_neither(text: str | None) -> None:
    assert not is_inside(text)
    assert not is_outside(text)
