import ssl

from nightdesk.sdk.context import Network
from nightdesk.sdk.trust import trust


def test_the_public_authorities_are_read_once_and_every_certificate_is_checked() -> None:
    found = trust(Network())
    assert found is trust(Network(timeout=1.0))
    assert found.verify_mode is ssl.CERT_REQUIRED
    assert found.check_hostname
    assert found.get_ca_certs()
