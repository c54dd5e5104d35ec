"""Under which IP addresses the peers reach this machine; knows nothing of SDP or the relay."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import ifaddr

WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


def reachable_addresses(host: str, public: Sequence[str]) -> tuple[str, ...]:
    """Addresses for candidates, best first.

    `public` (an address that a NAT maps 1:1 to this machine, or a choice among several) counts alone where it is
    given; else the address that is listened on; else those of all interfaces. Raises ValueError for what is no address.
    """
    if public:
        return tuple(str(ipaddress.ip_address(text)) for text in dict.fromkeys(public))
    if host not in WILDCARDS:
        return (str(ipaddress.ip_address(host)),)
    return _sorted(
        address for address in interface_addresses() if host == "" or (":" in address) == (host == "::")
    )


def interface_addresses() -> list[str]:
    """IPv4 and IPv6 addresses of all interfaces, loopback included."""
    found = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            found.append(entry.ip if isinstance(entry.ip, str) else entry.ip[0])
    return found


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    """IPv4 before IPv6 before loopback. Link-local ones need a zone, which a candidate cannot name."""
    usable = []
    for text in dict.fromkeys(addresses):
        address = ipaddress.ip_address(text)
        if not (address.is_link_local or address.is_multicast or address.is_unspecified):
            usable.append((address.is_loopback, address.version, text))
    return tuple(text for _, _, text in sorted(usable, key=lambda row: row[:2]))
