"""The vault: what is written comes back, by part and by range; keys, rotation and shredding."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bridge.audit import AUDIT_FOLDER, Audit, Event, Outcome, read_lines
from bridge.config import ConfigError
from bridge.vault import (
    BODY_LIMIT_BYTES,
    NOTE_LIMIT_BYTES,
    ObjectId,
    ObjectKind,
    ObjectRef,
    StreamWriter,
    Trouble,
    Vault,
    VaultError,
    parse_ref,
)
from bridge.vault.parts import STORED_KINDS

BODY = b"the start of a frame"
NOTE = b"Nguyen Van A"


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


def store(vault: Vault, parts: int = 3, kind: ObjectKind = ObjectKind.RECORDING) -> ObjectRef:
    """A sealed object with one ended stream."""
    writer = vault.create(kind)
    with writer.new_stream() as stream:
        for number in range(parts):
            stream.append(BODY + bytes([number]), NOTE)
        stream.end()
    writer.seal()
    return writer.ref


def troubles(vault: Vault, ref: ObjectRef) -> list[Trouble]:
    return [finding.trouble for finding in vault.verify(ref)]


def bodies(vault: Vault, ref: ObjectRef, stream: int = 1) -> list[bytes]:
    with vault.open(ref).stream(stream) as reader:
        return [body for _, body in reader.iterate()]


# --- parts -------------------------------------------------------------------------------------------------------


def test_parts_come_back_with_their_notes(vault: Vault) -> None:
    ref = store(vault)
    with vault.open(ref).stream(1) as reader:
        assert reader.ended
        assert [(part.number, part.note, part.body_bytes) for part in reader.parts] == [
            (number, NOTE, len(BODY) + 1) for number in range(3)
        ]
        assert reader.read(2) == BODY + b"\x02"
        assert [body for _, body in reader.iterate(1)] == [BODY + b"\x01", BODY + b"\x02"]
        with pytest.raises(VaultError, match="no part 3") as caught:
            reader.read(3)
    assert caught.value.code == "notFound"
    assert troubles(vault, ref) == []


def test_largest_and_empty_parts_are_kept_and_larger_ones_refused(vault: Vault) -> None:
    writer = vault.create(ObjectKind.DOCUMENT)
    large = bytes(BODY_LIMIT_BYTES)
    with writer.new_stream() as stream:
        stream.append(large, bytes(NOTE_LIMIT_BYTES))
        stream.append(b"")
        for body, note in ((large + b"x", b""), (b"", bytes(NOTE_LIMIT_BYTES + 1))):
            with pytest.raises(ValueError, match="too large"):
                stream.append(body, note)
        stream.end(b"bye")
    with vault.open(writer.ref).stream(1) as reader:
        assert (reader.read(0) == large, reader.read(1), reader.end_note) == (True, b"", b"bye")


def test_a_reader_follows_a_stream_that_is_being_written(vault: Vault) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    with writer.new_stream() as stream, vault.open(writer.ref).stream(1) as reader:
        assert reader.parts == []
        for number in range(3):
            assert stream.append(bytes([number])) == number
            reader.refresh()
            assert reader.read(number) == bytes([number])
        assert not reader.ended
        assert [finding.trouble for finding in reader.findings()] == [Trouble.UNENDED]
        stream.end()
        reader.refresh()
        assert reader.ended
        assert reader.findings() == []


def test_a_reader_takes_no_harm_from_a_part_that_is_half_written(vault: Vault, data: Path) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    stream = writer.new_stream()
    stream.append(bytes(5000), NOTE)
    stream.append(bytes(5000), NOTE)
    stream.close()
    (path,) = (data / "recordings").glob("*/00000001.parts")
    whole = path.read_bytes()
    path.write_bytes(b"")
    with vault.open(writer.ref).stream(1) as reader, path.open("ab", buffering=0) as file:
        for start in range(0, len(whole), 97):
            file.write(whole[start : start + 97])
            reader.refresh()
            assert len(reader.parts) == min(start + 97, len(whole)) // (len(whole) // 2)
            assert {finding.trouble for finding in reader.findings()} <= {Trouble.UNENDED, Trouble.CUT}


def test_a_closed_stream_takes_nothing_more(vault: Vault) -> None:
    stream = vault.create(ObjectKind.RECORDING).new_stream()
    stream.end()
    with pytest.raises(ValueError, match="closed"):
        stream.append(b"")


def test_streams_of_one_object_are_written_by_several_threads(vault: Vault) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    shared = writer.new_stream()

    def work(name: bytes) -> None:
        with writer.new_stream() as own:
            for number in range(20):
                own.append(name + bytes([number]), durable=False)
                shared.append(name, durable=False)
            own.end()

    threads = [threading.Thread(target=work, args=(bytes([65 + index]),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.end()
    writer.seal()
    assert troubles(vault, writer.ref) == []
    assert sorted(bodies(vault, writer.ref)) == sorted([b"A", b"B", b"C", b"D"] * 20)
    assert {bodies(vault, writer.ref, stream)[7][1] for stream in (2, 3, 4, 5)} == {7}


def test_a_reopened_object_goes_on_in_new_streams(vault: Vault, data: Path) -> None:
    ref = store(vault)
    writer = vault.reopen(ref)
    with writer.new_stream() as stream:
        stream.append(b"later")
        stream.end()
    assert troubles(vault, ref) == [Trouble.STREAM_UNKNOWN]
    writer.seal()
    assert troubles(vault, ref) == []
    (data / "recordings" / ref.id / "00000002.parts").unlink()
    # The number of a stream that was lost is not given again.
    assert vault.reopen(ref).new_stream().stream == 3


# --- blobs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 1234])
@pytest.mark.parametrize("step", [1, 37, 100, 5000])
def test_any_range_of_a_blob_is_read(vault: Vault, size: int, step: int) -> None:
    content = os.urandom(size)
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob(chunk_bytes=100)
    for start in range(0, size, step):
        blob.write(content[start : start + step])
    blob.end()
    writer.seal()
    assert troubles(vault, writer.ref) == []
    with vault.open(writer.ref).blob(1) as reader:
        assert reader.size_bytes == size
        assert b"".join(reader.iterate()) == content
        for offset in (0, 1, 99, 100, 150, size - 1, size, size + 5):
            for length in (0, 1, 100, 101, size):
                assert reader.read(max(0, offset), length) == content[max(0, offset) :][:length]


@pytest.mark.parametrize("cut", [1, 84, 100, 184, 270])
def test_a_blob_that_is_cut_is_refused(vault: Vault, data: Path, cut: int) -> None:
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob(chunk_bytes=100)
    blob.write(bytes(250))
    blob.end()
    path = data / "imaging" / writer.ref.id / "00000001.parts"
    os.truncate(path, path.stat().st_size - cut)
    with pytest.raises(VaultError) as caught:
        vault.open(writer.ref).blob(1)
    assert caught.value.trouble is Trouble.UNENDED


def test_a_blob_without_a_chunk_or_with_swapped_ones_is_refused(vault: Vault, data: Path) -> None:
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob(chunk_bytes=100)
    blob.write(bytes(250))
    blob.end()
    path = data / "imaging" / writer.ref.id / "00000001.parts"
    whole = path.read_bytes()
    path.write_bytes(whole[:184] + whole[368:])
    with pytest.raises(VaultError) as caught:
        vault.open(writer.ref).blob(1)
    assert caught.value.trouble is Trouble.MISSING
    path.write_bytes(whole[184:368] + whole[:184] + whole[368:])
    with pytest.raises(VaultError) as caught:
        vault.open(writer.ref).blob(1)
    path.write_bytes(whole[:184] + whole[:184] + whole[368:])
    with vault.open(writer.ref).blob(1) as reader:
        assert reader.read(0, 100) == bytes(100)
        with pytest.raises(VaultError, match="part 1 is altered"):
            reader.read(90, 20)


def test_a_discarded_blob_leaves_nothing(vault: Vault, data: Path) -> None:
    writer = vault.create(ObjectKind.STUDY)
    blob = writer.new_blob()
    blob.write(bytes(200_000))
    blob.discard()
    assert vault.open(writer.ref).streams() == []


# --- what lies on the disk ---------------------------------------------------------------------------------------


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


# --- disks that fail ---------------------------------------------------------------------------------------------


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


# --- keys --------------------------------------------------------------------------------------------------------


def test_an_identity_that_others_may_read_is_refused(vault: Vault, data: Path) -> None:
    ref = store(vault)
    path = data / "vault" / "identity.txt"
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            Vault(data)
        with pytest.raises(ConfigError, match="chmod 600"):
            vault.open(ref)
    path.chmod(0o600)
    assert troubles(Vault(data), ref) == []


@pytest.mark.parametrize("content", ["", "# nothing\n", "AGE-SECRET-KEY-1WRONG\n", "x" * 100_000])
def test_a_damaged_identity_is_refused(vault: Vault, data: Path, content: str) -> None:
    (data / "vault" / "identity.txt").write_text(content)
    with pytest.raises(ConfigError, match="identity"):
        Vault(data)


def test_a_lost_identity_is_not_replaced_in_silence(vault: Vault, data: Path) -> None:
    store(vault)
    (data / "vault" / "identity.txt").unlink()
    with pytest.raises(ConfigError, match="restore it from a backup"):
        Vault(data)


@pytest.mark.parametrize("line", ["age1wrong", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1XX"])
def test_a_recipient_that_is_none_is_refused(vault: Vault, data: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="no age recipient"):
        vault.keyring.set_recipients([line])
    (data / "vault" / "recipients.txt").write_text(f"# comment\n{line}\n")
    with pytest.raises(ConfigError, match="no age recipient"):
        Vault(data)


def test_a_key_of_another_object_is_named(vault: Vault, data: Path) -> None:
    one, other = store(vault), store(vault)
    keys = [data / "recordings" / ref.id / "key.age" for ref in (one, other)]
    keys[0].write_bytes(keys[1].read_bytes())
    with pytest.raises(VaultError) as caught:
        vault.open(one)
    assert caught.value.trouble is Trouble.KEY_FOREIGN
    assert troubles(vault, one) == [Trouble.KEY_FOREIGN]
    assert troubles(vault, other) == []


def test_an_object_that_somebody_wrapped_to_the_public_recipient_is_not_believed(
    vault: Vault, data: Path, tmp_path: Path
) -> None:
    forger = Vault(tmp_path / "forger")
    forger.keyring.set_recipients([vault.keyring.server_recipient()])
    ref = store(forger)
    (data / "recordings").mkdir()
    (tmp_path / "forger" / "recordings" / ref.id).rename(data / "recordings" / ref.id)
    with pytest.raises(VaultError, match="not made by this server") as caught:
        vault.open(ref)
    assert caught.value.trouble is Trouble.KEY_FOREIGN


def test_a_damaged_key_is_named(vault: Vault, data: Path) -> None:
    ref = store(vault)
    path = data / "recordings" / ref.id / "key.age"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:100], bytes(len(whole)), whole + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(VaultError) as caught:
            vault.open(ref)
        assert caught.value.trouble is Trouble.KEY_UNREADABLE


def test_rotation_wraps_anew_and_leaves_content_alone(vault: Vault, data: Path, audit: Audit) -> None:
    refs = [store(vault, kind=kind) for kind in STORED_KINDS]
    offline = pyrage.x25519.Identity.generate()
    vault.keyring.set_recipients([str(offline.to_public())])
    assert not any(map(vault.is_current, refs))
    content = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*.parts")}
    old_identity = (data / "vault" / "identity.txt").read_text().split()[-1]
    old_keys = [(path.read_bytes(), os.open(path, os.O_RDONLY)) for path in data.rglob("key.age")]

    done = vault.rotate(audit, "operator:0", new_identity=True)

    for wrapped, copy in old_keys:
        assert wrapped[40:80] not in os.pread(copy, len(wrapped), 0)
        os.close(copy)
    assert (done.rewrapped, done.unchanged, done.failed) == (3, 0, [])
    assert content == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.rglob("*.parts")}
    for ref in refs:
        assert troubles(vault, ref) == []
        (wrapped,) = (path.read_bytes() for path in data.glob(f"*/{ref.id}/key.age"))
        assert ref.id.encode() in pyrage.decrypt(wrapped, [offline])
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(wrapped, [pyrage.x25519.Identity.from_str(old_identity)])
    assert old_identity not in (data / "vault" / "identity.txt").read_text()
    again = vault.rotate(audit, "operator:0")
    assert (again.rewrapped, again.unchanged) == (0, 3)
    said = [line.content for line in read_lines(audit.folder, audit.key)]
    assert [(line["event"], line["outcome"]) for line in said[1:3]] == [
        (Event.KEYS_ROTATED, Outcome.BEGUN),
        (Event.KEYS_ROTATED, Outcome.DONE),
    ]
    assert said[2]["detail"] == {"rewrapped": 3, "failed": 0, "newIdentity": 1}


def test_a_rotation_that_died_midway_loses_nothing_and_is_finished_by_the_next(
    vault: Vault, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [store(vault) for _ in range(3)]
    wrap = vault.keyring.wrap
    left = [True]

    def wrap_once(ref: ObjectRef, key: bytes) -> bytes:
        if not left.pop():
            raise KeyboardInterrupt
        left.append(False)
        return wrap(ref, key)

    with monkeypatch.context() as patch:
        patch.setattr(vault.keyring, "wrap", wrap_once)
        with pytest.raises(KeyboardInterrupt):
            vault.rotate(audit, "system", new_identity=True)
    assert vault.keyring.identities == 2
    assert [vault.is_current(ref) for ref in refs].count(True) == 1
    assert all(troubles(vault, ref) == [] for ref in refs)
    assert vault.rotate(audit, "system").rewrapped == 2
    assert vault.keyring.identities == 1
    assert all(troubles(vault, ref) == [] for ref in refs)


def test_old_identities_are_kept_while_a_key_cannot_be_opened(vault: Vault, data: Path, audit: Audit) -> None:
    ref, damaged = store(vault), store(vault)
    path = data / "recordings" / damaged.id / "key.age"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    done = vault.rotate(audit, "system", new_identity=True)
    assert [(finding.trouble, str(damaged) in finding.text) for finding in done.failed] == [
        (Trouble.KEY_UNREADABLE, True)
    ]
    path.write_bytes(whole)
    assert troubles(vault, damaged) == troubles(vault, ref) == []
    assert vault.rotate(audit, "system").failed == []
    assert vault.keyring.identities == 1


def test_an_offline_identity_brings_everything_to_a_new_server(
    vault: Vault, data: Path, audit: Audit
) -> None:
    offline = pyrage.x25519.Identity.generate()
    vault.keyring.set_recipients([str(offline.to_public())])
    ref = store(vault)
    (data / "vault" / "identity.txt").unlink()
    restored = Vault(data, restoring=True)
    with pytest.raises(VaultError):
        restored.open(ref)
    assert restored.rotate(audit, "system", foreign=[offline]).rewrapped == 1
    assert troubles(Vault(data), ref) == []


# --- shredding ---------------------------------------------------------------------------------------------------


def test_shredding_destroys_the_key_and_says_so(
    vault: Vault, data: Path, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, other = store(vault), store(vault)
    folder = data / "recordings" / ref.id
    (folder / ".key.age.0011.draft").write_bytes((folder / "key.age").read_bytes())
    copies = [os.open(path, os.O_RDONLY) for path in folder.glob("*key.age*")]
    wrapped = (folder / "key.age").read_bytes()
    vault.shred(ref, audit, "participant:abc")
    assert len(copies) == 2
    for copy in copies:
        assert wrapped[40:80] not in os.pread(copy, 10_000, 0)
        os.close(copy)
    assert not folder.exists()
    assert list(vault.objects()) == [other]
    with pytest.raises(VaultError) as caught:
        vault.open(ref)
    assert caught.value.trouble is Trouble.NOT_FOUND
    said = [line.content for line in read_lines(audit.folder, audit.key)][-2:]
    assert [(line["event"], line["on"], line["outcome"], line["who"]) for line in said] == [
        ("objectShredded", str(ref), 1, "participant:abc"),
        ("objectShredded", str(ref), 0, "participant:abc"),
    ]
    assert troubles(vault, other) == []


def test_a_shredding_that_was_broken_off_is_finished(vault: Vault, data: Path, audit: Audit) -> None:
    ref = store(vault)
    (data / "recordings" / ref.id / "key.age").unlink()
    assert troubles(vault, ref) == [Trouble.KEY_MISSING]
    assert vault.rotate(audit, "system").failed == []
    vault.shred(ref, audit, "system")
    assert list(vault.objects()) == []
    with pytest.raises(VaultError) as caught:
        vault.shred(ref, audit, "system")
    assert caught.value.trouble is Trouble.NOT_FOUND


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "recording", "recording/", "recording/../..", "film/abcdefghijklmnop"])
def test_only_kinds_and_opaque_ids_name_an_object(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ref(text)


def test_an_id_is_used_once(vault: Vault) -> None:
    ref = store(vault)
    with pytest.raises(VaultError) as caught:
        vault.create(ref.kind, ref.id)
    assert (caught.value.trouble, caught.value.code) == (Trouble.EXISTS, "conflict")
    assert troubles(vault, ref) == []
    assert vault.create(ObjectKind.STUDY, ref.id).ref == ObjectRef(ObjectKind.STUDY, ObjectId(ref.id))


def test_files_that_are_no_objects_are_passed_over(vault: Vault, data: Path) -> None:
    ref = store(vault)
    (data / "recordings" / "README.md").write_text("Recordings lie here.")
    assert list(vault.objects()) == [ref]
