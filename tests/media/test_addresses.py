from __future__ import annotations

import pytest

from bridge.media import addresses
from bridge.media.addresses import reachable_addresses

MACHINE = ["127.0.0.1", "fe80::1", "2001:db8::5", "10.1.2.3", "::1", "169.254.3.4", "10.1.2.3"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "interface_addresses", lambda: MACHINE)


@pytest.mark.parametrize(
    ("host", "public", "expected"),
    [
        ("", (), ("10.1.2.3", "2001:db8::5", "127.0.0.1", "::1")),
        ("0.0.0.0", (), ("10.1.2.3", "127.0.0.1")),
        ("::", (), ("2001:db8::5", "::1")),
        ("127.0.0.1", (), ("127.0.0.1",)),
        ("", ("203.0.113.9", "203.0.113.9", "2001:db8::9"), ("203.0.113.9", "2001:db8::9")),
        ("10.1.2.3", ("203.0.113.9",), ("203.0.113.9",)),
    ],
)
def test_candidates_stand_best_first(host: str, public: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert reachable_addresses(host, public) == expected


@pytest.mark.parametrize(("host", "public"), [("hospital.example", ()), ("", ("hospital.example",))])
def test_names_are_refused(host: str, public: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        reachable_addresses(host, public)
