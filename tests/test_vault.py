"""The vault: parts are written and come back, by one reader and many writers; objects and their names."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bridge.vault import (
    BODY_LIMIT_BYTES,
    NOTE_LIMIT_BYTES,
    ObjectId,
    ObjectKind,
    ObjectRef,
    Trouble,
    Vault,
    VaultError,
    parse_ref,
)
from tests.vaulted import BODY, NOTE, bodies, store, troubles


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def vault(data: Path) -> Vault:
    return Vault(data)


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
