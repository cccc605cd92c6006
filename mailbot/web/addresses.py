"""Whose request it is, where web servers stand in between."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import Request

_HOME_NETWORK: Final = 64  # bits: one household has so many IPv6 addresses at its will
_MOST_HOPS: Final = 20
_UNKNOWN: Final = "unknown"


class ClientAddresses:
    """Believes X-Forwarded-For from right to left, as long as a trusted proxy says it."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = [ip_network(proxy) for proxy in trusted_proxies]

    def of(self, request: Request) -> str:
        """An IPv4 address or an IPv6 network of a household, as text."""
        peer = _address(request.client.host) if request.client else None
        if peer is not None and not self._is_trusted(peer):
            return _grouped(peer)
        told = ",".join(request.headers.getlist("x-forwarded-for"))
        for hop in reversed(told.split(",")[-_MOST_HOPS:]):
            address = _address(hop.strip())
            if address is None:
                break  # what stands left of it is nobody's word
            if not self._is_trusted(address):
                return _grouped(address)
            peer = address
        return _grouped(peer) if peer is not None else _UNKNOWN

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _grouped(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address.packed, _HOME_NETWORK), strict=False))
