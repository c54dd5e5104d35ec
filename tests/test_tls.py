"""Certificates: made once, renewed in time, taken up when they change, refused when they do not fit."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import ssl
import stat
import warnings
from pathlib import Path

import pytest
from aiohttp import ClientSession, Fingerprint, TCPConnector
from cryptography import x509

from bridge import tls
from bridge.config import ConfigError, Settings
from bridge.tls import CertificateFiles, Tls, open_tls, self_signed
from tests.house import open_house


def test_a_self_signed_certificate_names_this_machine(tmp_path: Path) -> None:
    files = self_signed(tmp_path / "tls")
    certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert certificate.not_valid_before_utc < datetime.datetime.now(datetime.UTC)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_a_self_signed_certificate_is_made_once(tmp_path: Path) -> None:
    first = self_signed(tmp_path).cert.read_bytes()
    assert self_signed(tmp_path).cert.read_bytes() == first


def test_a_self_signed_certificate_is_renewed_before_it_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "VALIDITY", tls.RENEW_BEFORE)
    first = self_signed(tmp_path).cert.read_bytes()
    monkeypatch.undo()
    assert self_signed(tmp_path).cert.read_bytes() != first


async def test_browsers_of_the_lan_get_https_with_the_printed_fingerprint(tmp_path: Path) -> None:
    async with open_house(tmp_path, tls="self-signed") as house:
        assert house.url.startswith("https://127.0.0.1:")
        assert house.server.tls is not None
        fingerprint = bytes.fromhex(house.server.tls.fingerprint().replace(":", ""))
        connector = TCPConnector(ssl=Fingerprint(fingerprint))
        async with (
            ClientSession(connector=connector) as client,
            client.get(f"{house.url}/healthz") as response,
        ):
            assert response.status == 200
            # It has to be clicked through, which this header would forbid.
            assert "Strict-Transport-Security" not in response.headers
        trust = ssl.create_default_context(cafile=str(tmp_path / "data" / "tls" / "cert.pem"))
        async with house.client.get(f"{house.url}/healthz", ssl=trust) as response:
            assert response.status == 200


async def test_certificate_files_are_served_with_a_year_of_https(tmp_path: Path) -> None:
    files = self_signed(tmp_path / "own")
    async with (
        open_house(tmp_path, tls="files", tls_cert=files.cert, tls_key=files.key) as house,
        house.client.get(f"{house.url}/") as response,
    ):
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path, tls="self-signed") as house:
        context = ssl.create_default_context(cafile=str(tmp_path / "data" / "tls" / "cert.pem"))
        context.set_ciphers("ALL:@SECLEVEL=0")
        for version, spoken in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = version
            if spoken:
                _, writer = await asyncio.open_connection("127.0.0.1", house.server.port, ssl=context)
                writer.close()
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await asyncio.open_connection("127.0.0.1", house.server.port, ssl=context)


def test_changed_files_are_taken_up_and_bad_ones_leave_the_old(tmp_path: Path) -> None:
    mine = self_signed(tmp_path / "mine")
    other = self_signed(tmp_path / "other")
    served = Tls(mine)
    before = served.fingerprint()
    assert not served.reload_if_changed()
    mine.cert.write_bytes(other.cert.read_bytes())
    _touch(mine)
    with pytest.raises(ConfigError, match="cannot be used"):
        served.reload_if_changed()
    assert not served.reload_if_changed()
    mine.key.write_bytes(other.key.read_bytes())
    _touch(mine)
    assert served.reload_if_changed()
    assert served.fingerprint() == Tls(other).fingerprint() != before


async def test_a_new_connection_gets_the_new_certificate(tmp_path: Path) -> None:
    own, other = self_signed(tmp_path / "own"), self_signed(tmp_path / "other")
    async with open_house(tmp_path, tls="files", tls_cert=own.cert, tls_key=own.key) as house:
        assert house.server.tls is not None
        trust = ssl.create_default_context(cafile=str(other.cert))
        own.cert.write_bytes(other.cert.read_bytes())
        own.key.write_bytes(other.key.read_bytes())
        house.server.tls.reload_if_changed(force=True)
        async with house.client.get(f"{house.url}/healthz", ssl=trust) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_files_that_are_no_certificate_are_told(tmp_path: Path, content: bytes) -> None:
    files = self_signed(tmp_path)
    files.cert.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cert\.pem"):
        Tls(files)


def test_a_key_behind_a_password_is_refused_without_asking(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"swordfish"),
        )
    )
    with pytest.raises(ConfigError, match="cannot be used"):
        Tls(files)


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Tls(CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem"))


def test_without_tls_there_is_none() -> None:
    assert open_tls(Settings()) is None


def _touch(files: CertificateFiles) -> None:
    """Makes the change visible however coarse the file system's clock is."""
    for path in (files.cert, files.key):
        changed_ns = path.stat().st_mtime_ns + 1_000_000_000
        os.utime(path, ns=(changed_ns, changed_ns))
