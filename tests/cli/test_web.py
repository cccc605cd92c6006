"""`mailbot web public`: what it needs, and what it says where it cannot start."""

from __future__ import annotations

import socket

import pytest

from tests.cli.conftest import Shell


@pytest.fixture
def settings(bare: Shell) -> Shell:
    """A page that would write its wishes into this folder."""
    bare.config.write_text(f'{bare.config.read_text()}[public]\nspool = "wishes"\n')
    return bare


def test_a_port_that_is_taken_is_told(settings: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        settings.config.write_text(f'{settings.config.read_text()}listen = "{listen}"\n')
        ended = settings("web", "public")
    assert ended.code == 69
    assert f"{listen}: The public page cannot listen there (Address already in use)." in ended.err
    assert "write another address as listen under [public]" in ended.err


def test_without_its_token_key_it_does_not_start(settings: Shell) -> None:
    (settings.folder / "token-key-1").unlink()
    ended = settings("web", "public")
    assert ended.code == 78
    assert "token-key-1 does not exist" in ended.err


def test_the_person_key_and_the_database_are_not_needed(settings: Shell) -> None:
    """It goes as far as listening without them: what it cannot read it cannot give away."""
    (settings.folder / "person-key").unlink()
    (settings.folder / "imap-password").unlink()
    settings.config.write_text(f'{settings.config.read_text()}listen = "192.0.2.1:8025"\n')
    ended = settings("web", "public")
    assert (ended.code, "192.0.2.1:8025" in ended.err) == (69, True)
    assert not (settings.folder / "mailbot.db").exists()


def test_wrong_settings_of_the_page_are_told(settings: Shell) -> None:
    settings.config.write_text(f'{settings.config.read_text()}language = "it"\n')
    ended = settings("web", "public")
    assert ended.code == 78
    assert "public.language" in ended.err
