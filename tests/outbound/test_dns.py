"""Asking the DNS, at a server of the test's own: answers, silence, nonsense."""

from __future__ import annotations

from mailbot.core.dns_posture import Question
from mailbot.outbound.dns import ask, host_and_port
from tests.servers.dns import DnsServer, free_port

LONG = [f'"v=spf1 {"ip4:192.0.2.1 " * 12}-all"', *(f'"{number:0200}"' for number in range(50))]
ZONE = {
    ("TXT", "lindenhof.de"): ['"v=spf1 " "mx " "-all"', '"with \\"quotes\\" and \\195\\164"'],
    ("MX", "lindenhof.de"): ["10 mail.lindenhof.de.", "20 backup.lindenhof.de."],
    ("CNAME", "_dmarc.lindenhof.de"): ["dmarc.host.example."],
    ("TXT", "dmarc.host.example"): ['"v=DMARC1; p=none"'],
    ("TXT", "long.lindenhof.de"): LONG,
    ("A", "only-a.lindenhof.de"): ["192.0.2.1"],
}


def asked(server: DnsServer, *questions: Question, seconds: float = 10) -> list[object]:
    answers = ask(questions, [f"127.0.0.1:{server.port}"], seconds)
    return [answers[one] for one in questions]


def test_strings_of_a_record_are_joined_and_aliases_followed() -> None:
    with DnsServer(ZONE) as server:
        texts, exchangers, alias = asked(
            server, ("TXT", "lindenhof.de"), ("MX", "lindenhof.de"), ("TXT", "_dmarc.lindenhof.de")
        )
    assert set(texts) == {"v=spf1 mx -all", 'with "quotes" and ä'}  # type: ignore[call-overload]
    assert len(exchangers) == 2  # type: ignore[arg-type]
    assert alias == ("v=DMARC1; p=none",)


def test_no_such_name_and_no_such_record_are_both_none() -> None:
    with DnsServer(ZONE) as server:
        assert asked(server, ("TXT", "nobody.de"), ("TXT", "only-a.lindenhof.de")) == [(), ()]


def test_an_answer_of_10_kb_comes_by_tcp() -> None:
    with DnsServer(ZONE) as server:
        (found,) = asked(server, ("TXT", "long.lindenhof.de"))
        assert {transport for transport, _, _ in server.heard} == {"udp", "tcp"}
    assert len(found) == len(LONG)  # type: ignore[arg-type]


def test_a_server_that_fails_or_is_silent_says_nothing_and_holds_nobody_up() -> None:
    names = [f"{number}.silent.de" for number in range(20)]
    with DnsServer(ZONE, silent=names, failing=["failing.de"]) as server:
        questions: list[Question] = [("TXT", name) for name in names]
        found = asked(server, ("TXT", "failing.de"), *questions, ("TXT", "lindenhof.de"), seconds=2)
    assert found[:-1] == [None] * 21
    port = free_port()
    assert ask([("TXT", "lindenhof.de")], [f"127.0.0.1:{port}"], 1) == {
        ("TXT", "lindenhof.de"): None
    }


def test_a_server_is_named_with_or_without_its_port() -> None:
    assert host_and_port("192.0.2.1") == ("192.0.2.1", 53)
    assert host_and_port("127.0.0.1:5353") == ("127.0.0.1", 5353)
    assert host_and_port("[2001:db8::1]:5353") == ("2001:db8::1", 5353)
    assert host_and_port("2001:db8::1") == ("2001:db8::1", 53)
