"""Keys that sign mail: which can be read, what is told of others, and how they are published."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from mailbot.config import check_secrets, load, load_dkim_keys
from mailbot.config.dkim_keys import make_key, read_key, zone_lines
from mailbot.core.dns_posture import same_key
from mailbot.core.errors import ConfigError, InputError
from tests.cli.conftest import CONFIG

ENTRY = '[[dkim]]\ndomain = "Shop.example"\nselector = "tea1"\nkey_file = "dkim"\n'


def pem(key: object, *, form: str = "PKCS8", password: bytes | None = None) -> str:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    written: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption
    )
    return written.decode()


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_rsa_keys_of_openssl_are_read_in_both_forms(form: str) -> None:
    key = read_key(pem(rsa.generate_private_key(65537, 2048), form=form))
    assert (key.algorithm, key.bits) == ("rsa-sha256", 2048)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_key_that_was_made_can_be_read_and_publishes_the_same(kind: str) -> None:
    made = make_key("rsa" if kind == "rsa" else "ed25519")
    read = read_key(made.pem)
    assert (read.kind, read.record) == (kind, made.record)
    assert same_key(made.record, read.record)
    assert same_key(made.record.replace("p=", "t=y; p= ").replace("AA", "A A"), read.record)
    assert not same_key(make_key("ed25519").record, read.record)
    assert not same_key("v=DKIM1; p=", read.record), "a revoked one (RFC 6376 §3.6.1)"


def test_a_record_without_a_kind_is_one_of_rsa() -> None:
    key = make_key("rsa")
    assert same_key(key.record.replace("k=rsa; ", ""), key.record)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no PEM file"),
        ("5e" * 32, "no PEM file"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "a key for SSH"),
        ("-----BEGIN CERTIFICATE-----\nx\n", "a certificate"),
        ("-----BEGIN PUBLIC KEY-----\nx\n", "a public key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key that"),
        (pem(ed25519.Ed25519PrivateKey.generate(), password=b"x"), "encrypted with a password"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "DKIM knows RSA and Ed25519"),
        (pem(dsa.generate_private_key(2048)), "DKIM knows RSA and Ed25519"),
        (pem(rsa.generate_private_key(65537, 5120)), "RSA key of 5120 bits"),
    ],
    ids=lambda value: value[:30] if " " in value else "",
)
def test_what_is_no_key_for_dkim_is_told_as_what_it_is(text: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        read_key(text)
    assert told in refused.value.what
    assert refused.value.next_step


def test_a_zone_file_takes_the_record_in_strings_of_255_octets() -> None:
    key = make_key("rsa")
    lines = zone_lines("tea1", "shop.example", key).splitlines()
    assert lines[0] == "tea1._domainkey.shop.example. 3600 IN TXT ("
    strings = [line.strip(' )"') for line in lines[1:]]
    assert "".join(strings) == key.record
    assert max(map(len, strings)) == 255


def configured(folder: Path, *entries: str) -> Path:
    for name, secret in (
        ("person-key", "5e" * 32),
        ("token-key-1", "6f" * 32),
        ("imap-password", "x"),
    ):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    path = folder / "mailbot.toml"
    path.write_text(CONFIG + "".join(entries))
    return path


def test_keys_are_read_with_the_other_secrets(tmp_path: Path) -> None:
    settings = load(configured(tmp_path, ENTRY))
    (tmp_path / "dkim").write_text(make_key("ed25519").pem)
    (tmp_path / "dkim").chmod(0o600)
    check_secrets(settings)
    (identity,) = load_dkim_keys(settings)
    assert (identity.domain, identity.selector) == ("shop.example", "tea1")
    assert identity.key.algorithm == "ed25519-sha256"


def test_a_key_that_is_missing_or_none_is_told_before_anything_starts(tmp_path: Path) -> None:
    settings = load(configured(tmp_path, ENTRY))
    with pytest.raises(ConfigError, match=r"mailbot keys dkim tea1 shop\.example --to"):
        check_secrets(settings)
    (tmp_path / "dkim").write_text("not a key")
    (tmp_path / "dkim").chmod(0o600)
    with pytest.raises(ConfigError, match="no PEM file"):
        check_secrets(settings)
    (tmp_path / "dkim").write_text(make_key("ed25519").pem)
    (tmp_path / "dkim").chmod(0o644)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o001 == 0:
            return  # a private folder above protects it
    with pytest.raises(ConfigError, match="everybody on this machine"):
        check_secrets(settings)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (ENTRY.replace("Shop.example", "other.example"), "no mail of ours is from other.example"),
        (ENTRY.replace("Shop.example", "not a domain"), "is not a domain"),
        (ENTRY.replace('"tea1"', '"tea 1"'), "is no selector"),
        (ENTRY.replace('"tea1"', '"-tea"'), "is no selector"),
        (ENTRY + ENTRY.replace("tea1", "TEA1"), "is taken by dkim[0]"),
    ],
)
def test_an_entry_that_would_sign_nothing_is_refused(tmp_path: Path, entry: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(configured(tmp_path, entry))
    assert told in str(refused.value)
