"""The vault and its disk: nothing in the clear lies on it, and one that fails or is full costs nothing kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bridge.audit import AUDIT_FOLDER, Audit
from bridge.vault import ObjectKind, StreamWriter, Trouble, Vault, VaultError
from tests.vaulted import BODY, NOTE, bodies, store, troubles


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def vault(data: Path) -> Vault:
    return Vault(data)


@pytest.fixture
def audit(data: Path) -> Iterator[Audit]:
    audit = Audit(data / AUDIT_FOLDER)
    yield audit
    audit.close()


def test_nothing_in_the_clear_is_under_the_data_folder_and_all_is_private(
    vault: Vault, data: Path, audit: Audit
) -> None:
    ref = store(vault)
    writer = vault.reopen(ref)
    blob = writer.new_blob(chunk_bytes=100)
    blob.write(BODY * 50)
    blob.end()
    writer.seal()
    vault.rotate(audit, "system", new_identity=True)
    for path in [data, *data.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        content = path.read_bytes() if path.is_file() else b""
        for secret in (BODY, NOTE, BODY[:8]):
            assert secret not in content
            assert secret not in path.name.encode()


def test_the_same_content_never_looks_the_same(vault: Vault, data: Path) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    with writer.new_stream() as stream:
        stream.append(bytes(1000))
        stream.append(bytes(1000))
    content = (data / "recordings" / writer.ref.id / "00000001.parts").read_bytes()
    blocks = [content[at : at + 16] for at in range(52, len(content) - 16)]
    headers = {content[at : at + 52] for at in (0, 1084)}
    assert len(headers) == 2
    # Only the headers, which differ in number and nonce, have anything in common.
    repeated = {block for block in blocks if blocks.count(block) > 1}
    assert all(any(block in header for header in headers) for block in repeated)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = f"mount -t tmpfs -o size=256k,mode=700 bridge-test {folder}"
    assert os.system(command) == 0, "mounting needs root"
    yield folder
    assert os.system(f"umount -l {folder}") == 0


def test_a_full_disk_is_told_and_the_stream_goes_on_when_there_is_room(full_disk: Path) -> None:
    filler = full_disk / "filler"
    vault = Vault(full_disk / "data")
    writer = vault.create(ObjectKind.RECORDING)
    stream = writer.new_stream()
    kept = [stream.append(bytes([0]) * 10_000)]
    filler.write_bytes(bytes(180_000))

    def fill() -> None:
        for number in range(1, 100):
            kept.append(stream.append(bytes([number]) * 10_000))

    with pytest.raises(VaultError) as caught:
        fill()
    assert (caught.value.trouble, caught.value.code) == (Trouble.DISK_FULL, "storageFailed")
    assert stream.next_number == len(kept)
    with vault.open(writer.ref).stream(1) as reader:
        assert [finding.trouble for finding in reader.findings()] == [Trouble.UNENDED]
    filler.unlink()
    assert stream.append(b"on we go") == len(kept)
    stream.end()
    writer.seal()
    assert troubles(vault, writer.ref) == []
    assert bodies(vault, writer.ref) == [bytes([number]) * 10_000 for number in kept] + [b"on we go"]


def test_an_object_that_finds_no_room_leaves_no_trace(full_disk: Path) -> None:
    vault = Vault(full_disk / "data")
    with pytest.raises(OSError, match="No space"):
        (full_disk / "filler").write_bytes(bytes(400_000))
    with pytest.raises(VaultError) as caught:
        vault.create(ObjectKind.RECORDING)
    assert caught.value.trouble is Trouble.DISK_FULL
    assert list(vault.objects()) == []


def test_a_read_only_disk_is_told(full_disk: Path) -> None:
    vault = Vault(full_disk / "data")
    ref = store(vault)
    assert os.system(f"mount -o remount,ro {full_disk}") == 0
    with pytest.raises(VaultError) as caught:
        vault.create(ObjectKind.RECORDING)
    assert caught.value.trouble is Trouble.READ_ONLY
    assert troubles(vault, ref) == []


def failing(call: Callable[..., Any], failures: list[int]) -> Callable[..., Any]:
    """The system call, which fails as long as there are failures left."""

    def attempt(*arguments: Any) -> Any:
        if failures:
            raise OSError(failures.pop(), "as told")
        return call(*arguments)

    return attempt


def appended(stream: StreamWriter, content: list[bytes], durable: bool) -> None:
    """Appends all content, beginning again where an error says."""
    while stream.next_number < len(content):
        with suppress(VaultError):
            stream.append(content[stream.next_number], durable=durable)
            if stream.next_number == len(content):
                stream.sync()


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("call", ["pwritev", "fdatasync", "ftruncate"])
def test_no_half_part_is_left_by_a_disk_that_fails_now_and_then(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, call: str, durable: bool
) -> None:
    content = [bytes([number]) * 3000 for number in range(8)]
    writer = vault.create(ObjectKind.RECORDING)
    stream = writer.new_stream()
    stream.append(content[0])
    failures = [5, 5, 5]
    write = os.pwritev

    def write_half(file: int, pieces: tuple[bytes, ...], offset: int) -> int:
        if not failures:
            return write(file, pieces, offset)
        os.pwrite(file, pieces[0], offset)
        raise OSError(failures.pop(), "as told")

    with monkeypatch.context() as patch:
        if call != "fdatasync":
            patch.setattr(os, "pwritev", write_half)
        if call != "pwritev":
            patch.setattr(os, call, failing(getattr(os, call), failures))
        appended(stream, content, durable)
    stream.end()
    writer.seal()
    assert not failures
    assert troubles(vault, writer.ref) == []
    assert bodies(vault, writer.ref) == content


def test_few_bytes_at_a_time_are_written_whole(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    write, write_one = os.pwritev, os.pwrite
    with writer.new_stream() as stream, monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda file, pieces, at: write(file, [pieces[0][:7]], at))
        patch.setattr(os, "pwrite", lambda file, content, at: write_one(file, content[:700], at))
        stream.append(bytes(3000), NOTE)
        stream.end()
    assert bodies(vault, writer.ref) == [bytes(3000)]
