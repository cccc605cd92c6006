"""A DNS server of the test's own, on a free port of the loopback: UDP, and TCP for what is long."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

LONGEST_OVER_UDP = 1232  # RFC 9715


class DnsServer:
    """Answers from `zone`: (type, name) → records as a zone file has them; all else is NXDOMAIN.

    A name in `silent` is never answered, one in `failing` with SERVFAIL.
    """

    def __init__(
        self, zone: Mapping[tuple[str, str], Sequence[str]],
        silent: Sequence[str] = (), failing: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.zone = dict(zone)
        self.silent, self.failing = silent, failing
        self.heard: list[tuple[str, str, str]] = []  # transport, type, name
        house = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, peer = self.request
                answer = house.answer(data, "udp")
                if answer is not None:
                    peer.sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                (length,) = struct.unpack("!H", self.rfile.read(2))
                answer = house.answer(self.rfile.read(length), "tcp")
                if answer is not None:
                    self.wfile.write(struct.pack("!H", len(answer)) + answer)

        self._udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Udp)
        self.port = int(self._udp.server_address[1])
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Tcp)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in (self._udp, self._tcp)
        ]

    def answer(self, data: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.heard.append((transport, kind, name))
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        found = self.zone.get((kind, name)) or self.zone.get(("CNAME", name))
        if found:
            is_alias = (kind, name) not in self.zone
            response.answer.append(
                dns.rrset.from_text(question.name, 60, "IN", "CNAME" if is_alias else kind, *found)
            )
            if is_alias and (kind, found[0].rstrip(".")) in self.zone:
                target = found[0].rstrip(".")
                response.answer.append(
                    dns.rrset.from_text(f"{target}.", 60, "IN", kind, *self.zone[kind, target])
                )
        elif not any(known == name for _, known in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if transport == "udp" and len(response.to_wire()) > LONGEST_OVER_UDP:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
        return response.to_wire()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()


def free_port() -> int:
    """A UDP port where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
