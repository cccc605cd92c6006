"""A certificate authority that lives for the tests, made with openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs server certificates; `ca_file` is what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        _openssl(
            folder, "req", "-x509", *_KEY, "-days", "30", "-subj", "/CN=Test authority",
            "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", "ca-key.pem", "-out", "ca.pem",
        )  # fmt: skip

    def server(self, *names: str, days: int = 2) -> ssl.SSLContext:
        """A server's TLS with a certificate for `names`, each `DNS:host` or `IP:address`."""
        stem = "-".join([*names, str(days)]).replace(":", "-")
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}-key.pem"
        if not certificate.exists():
            _openssl(
                self._folder, "req", "-x509", *_KEY, "-days", str(days), "-subj", "/CN=relay",
                "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-addext", f"subjectAltName={','.join(names)}",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-keyout", key.name, "-out", certificate.name,
            )  # fmt: skip
        return _context(certificate, key)

    def expired(self, name: str) -> ssl.SSLContext:
        """A server's TLS with a certificate that was good until January 2020."""
        stem = f"expired-{name}".replace(":", "-")
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}-key.pem"
        if not certificate.exists():
            _openssl(
                self._folder, "req", *_KEY, "-subj", f"/CN={stem}",
                "-keyout", key.name, "-out", "request.pem",
            )  # fmt: skip
            (self._folder / "expired.cnf").write_text(
                "[ca]\ndefault_ca=us\n[us]\ndatabase=signed.txt\nnew_certs_dir=.\n"
                "serial=signed.srl\npolicy=any\n[any]\ncommonName=supplied\n"
                f"[names]\nsubjectAltName={name}\n"
            )
            (self._folder / "signed.txt").touch()
            _openssl(
                self._folder, "ca", "-batch", "-notext", "-config", "expired.cnf",
                "-create_serial", "-md", "sha256", "-cert", "ca.pem", "-keyfile", "ca-key.pem",
                "-extensions", "names", "-startdate", "20190101000000Z",
                "-enddate", "20200101000000Z", "-in", "request.pem", "-out", certificate.name,
            )  # fmt: skip
        return _context(certificate, key)


def self_signed(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS that no authority vouches for, and the certificate."""
    certificate, key = folder / "own.pem", folder / "own-key.pem"
    _openssl(
        folder, "req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=relay",
        "-addext", f"subjectAltName={name}", "-keyout", key.name, "-out", certificate.name,
    )  # fmt: skip
    return _context(certificate, key), certificate


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
