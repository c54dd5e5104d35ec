"""HTTPS on the server: the TLS context, its reloading when certificate files change, and self-signed certificates.

A self-signed certificate is made once, at the first start, for trying the server out on a LAN, where browsers give
no camera to pages without HTTPS. Follows RFC 5280 for what stands in it. Knows nothing of HTTP.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bridge.config import ConfigError, Settings
from bridge.media.addresses import reachable_addresses

VALIDITY = datetime.timedelta(days=397)
"""Browsers refuse server certificates that are valid for longer."""
RENEW_BEFORE = datetime.timedelta(days=30)
CLOCK_SLACK = datetime.timedelta(days=1)
"""Clinics' clocks are wrong by hours: a certificate made just now shall be valid for them."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its private key, both PEM."""

    cert: Path
    key: Path


class Tls:
    """A TLS context that takes up changed certificate files without a restart."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises ConfigError if the files cannot be used."""
        self._files = files
        self._seen = _change_times(files)
        _load(_new_context(), files)
        self.context = _new_context()
        _load(self.context, files)

    def reload_if_changed(self, force: bool = False) -> bool:
        """Loads the files again if they changed; connections made from now on get the new certificate.

        Raises ConfigError if they cannot be used; then the old certificate stays.
        """
        seen = _change_times(self._files)
        if seen == self._seen and not force:
            return False
        self._seen = seen
        # A pair that does not fit must not half replace the one in use.
        _load(_new_context(), self._files)
        _load(self.context, self._files)
        return True

    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers show it."""
        return _fingerprint(self._files.cert)


def open_tls(settings: Settings) -> Tls | None:
    """The TLS that the settings ask for, None without. Raises ConfigError."""
    if settings.tls == "off":
        return None
    if settings.tls == "files":
        if settings.tls_cert is None or settings.tls_key is None:
            raise ConfigError("With tls = files, both tls_cert and tls_key must be set.")
        return Tls(CertificateFiles(settings.tls_cert, settings.tls_key))
    return Tls(self_signed(settings.data_dir / "tls"))


def self_signed(folder: Path) -> CertificateFiles:
    """The certificate in this folder, made anew if there is none or it runs out soon. Raises ConfigError."""
    files = CertificateFiles(folder / "cert.pem", folder / "key.pem")
    try:
        if files.key.exists() and files.cert.exists() and not _runs_out(files.cert):
            return files
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(files)
    except OSError as error:
        raise ConfigError(f"The certificate in {folder} cannot be made: {error.strerror}.") from error
    return files


def self_signed_context(settings: Settings) -> ssl.SSLContext | None:
    """Believes this installation's own certificate and no other; None if it has none of its own making."""
    cert = settings.data_dir / "tls" / "cert.pem"
    if settings.tls != "self-signed" or not cert.exists():
        return None
    context = ssl.create_default_context(cafile=str(cert))
    # It is this one certificate or none, whatever name the server is asked by.
    context.check_hostname = False
    return context


def machine_names() -> tuple[list[str], list[str]]:
    """Names and IP addresses under which this machine is likely to be reached."""
    hostname = socket.gethostname()
    names = ["localhost", *([hostname] if hostname not in ("", "localhost") else [])]
    return names, list(dict.fromkeys(["127.0.0.1", "::1", *reachable_addresses("", ())]))


def _make(files: CertificateFiles) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names, addresses = machine_names()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bridge (self-signed)")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names if name.isascii()]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now - CLOCK_SLACK + VALIDITY)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _put(files.key, key_pem, 0o600)
    _put(files.cert, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _put(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _runs_out(cert: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    except ValueError:
        return True
    return certificate.not_valid_after_utc - RENEW_BEFORE < datetime.datetime.now(datetime.UTC)


def _fingerprint(cert: Path) -> str:
    digest = x509.load_pem_x509_certificate(cert.read_bytes()).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    try:
        # An empty password: a key that needs one is refused instead of asked for on the terminal.
        context.load_cert_chain(files.cert, files.key, password="")
    except OSError as error:
        reason = error.strerror or getattr(error, "reason", None) or type(error).__name__
        raise ConfigError(
            f"The certificate {files.cert} with key {files.key} cannot be used: {reason}."
        ) from error


def _change_times(files: CertificateFiles) -> tuple[int, int]:
    try:
        return files.cert.stat().st_mtime_ns, files.key.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(
            f"A certificate file cannot be read: {error.strerror} ({error.filename})."
        ) from error
