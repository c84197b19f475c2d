"""A webhook may not reach into a private network, however its address is written."""

from __future__ import annotations

import pytest

from pergai.errors import InvalidRequest
from pergai.services.webhooks import require_allowed
from pergai.settings import WebhookSettings

INWARD = [
    "http://127.0.0.1/",
    "http://10.0.0.8/x",
    "https://192.168.1.1:8443/",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://224.0.0.1/",
    "http://localhost/",
    "http://0.0.0.0/",
]
OUTWARD = ["https://shop.example/hook", "http://8.8.8.8/", "https://[2606:4700::1111]/"]


@pytest.mark.parametrize("url", INWARD)
def test_an_address_of_a_private_network_is_refused_unless_it_is_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match="private network"):
        require_allowed(url, WebhookSettings())
    require_allowed(url, WebhookSettings(allow_private=True))


@pytest.mark.parametrize("url", OUTWARD)
def test_an_address_of_the_internet_is_taken(url: str) -> None:
    require_allowed(url, WebhookSettings())


@pytest.mark.parametrize("url", ["ftp://shop.example/", "shop.example", "https://user:word@shop.example/"])
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="webhookUrl"):
        require_allowed(url, WebhookSettings(allow_private=True))
