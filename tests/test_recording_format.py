"""docs/recording-format.md is enough for a stranger: its own lines open a recording with the real age tool."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from bridge.recordings import layout
from bridge.recordings.layout import ref_of
from bridge.vault import ObjectKind, ObjectRef, Vault
from bridge.vault.parts import BODY_LIMIT_BYTES, FIXED, HEADER_BYTES, MAGIC, NOTE_LIMIT_BYTES, OVERHEAD_BYTES
from tests.recordings.making import make_recording

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "recording-format.md").read_text()
BODIES = [bytes([number]) * (1000 * number + 1) for number in range(5)]


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(found)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    path = tmp_path / "offline.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


@pytest.fixture
def recording(tmp_path: Path, identity: Path) -> ObjectRef:
    """A recording that is wrapped to the offline identity too; stream 1 in parts, stream 2 a blob."""
    vault = Vault(tmp_path / "data")
    public = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True)
    vault.keyring.set_recipients([public.stdout.strip()])
    writer = vault.create(ObjectKind.RECORDING)
    with writer.new_stream() as stream:
        for body in BODIES:
            stream.append(body, b"a note")
        stream.end()
    blob = writer.new_blob(chunk_bytes=1000)
    for body in BODIES:
        blob.write(body)
    blob.end()
    writer.seal()
    return writer.ref


def opened(
    folder: Path, identity: str, ref: ObjectRef, stream: int, more: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """What the document's command line does, word for word but for the placeholders."""
    (folder / "data" / "open.py").write_text(block("python"))
    command = block("sh").replace("python open.py", f"{sys.executable} open.py").replace("ID", ref.id)
    command = (
        command.replace("offline.txt", identity)
        .replace("00000001", f"{stream:08}")
        .replace("> content", more)
    )
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder / "data", capture_output=True, check=False
    )


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("identity_file", ["../offline.txt", "vault/identity.txt"])
def test_the_documented_lines_open_a_recording(
    tmp_path: Path, recording: ObjectRef, stream: int, identity_file: str
) -> None:
    done = opened(tmp_path, identity_file, recording, stream)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"".join(BODIES)


def test_a_stranger_plays_a_track_and_reads_the_events(tmp_path: Path, identity: Path) -> None:
    vault = Vault(tmp_path / "data")
    public = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True)
    vault.keyring.set_recipients([public.stdout.strip()])
    made = make_recording(vault)
    ref = ref_of(made.recording)
    for number, (stream, track) in enumerate(zip(made.streams, made.tracks, strict=True)):
        notes = [
            json.loads(line)
            for line in opened(tmp_path, "../offline.txt", ref, stream, "notes").stdout.splitlines()
            if line
        ]
        assert notes[0] == {
            "k": "track",
            "track": f"track{number}",
            "participant": track.participant,
            "source": track.source,
            "kind": track.kind,
        }
        assert [note["k"] for note in notes[1:]] == ["init"] + ["part"] * len(made.parts[stream])
        content = opened(tmp_path, "../offline.txt", ref, stream).stdout
        probed = subprocess.run(
            ["ffprobe", "-v", "warning", "-count_frames", "-show_streams", "-of", "json", "-"],
            input=content,
            check=True,
            capture_output=True,
        )
        assert probed.stderr == b""
        (shown,) = json.loads(probed.stdout)["streams"]
        assert shown["codec_type"] == track.kind
        frames = sum(len(part.frames) + part.filled for part in made.parts[stream])
        assert int(shown["nb_read_frames"]) == frames
    content = b"[" + opened(tmp_path, "../offline.txt", ref, 1).stdout.replace(b"][", b"],[") + b"]"
    told = [event for part in json.loads(content) for event in part]
    assert told[0]["type"] == "recordingStarted"
    for event in told:
        assert f"`{event['type']}`" in DOCUMENT


def test_every_sort_of_note_and_event_is_documented() -> None:
    for event in typing.get_args(layout.AnyEvent):
        assert f"`{event.__struct_config__.tag}`" in DOCUMENT, event
    for note in typing.get_args(layout.Note):
        assert f"| `{note.__struct_config__.tag}` |" in DOCUMENT
        for name in note.__struct_encode_fields__:
            assert f"`{name}`" in DOCUMENT, name


def test_another_identity_opens_nothing(tmp_path: Path, recording: ObjectRef) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "other.txt"], check=True, capture_output=True)
    done = opened(tmp_path, "../other.txt", recording, 1)
    assert done.returncode != 0
    assert done.stdout == b""


def test_the_documented_lines_refuse_a_changed_byte(tmp_path: Path, recording: ObjectRef) -> None:
    path = tmp_path / "data" / "recordings" / recording.id / "00000001.parts"
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    done = opened(tmp_path, "../offline.txt", recording, 1)
    assert done.returncode != 0
    assert b"InvalidTag" in done.stderr


def test_the_script_is_about_ten_lines() -> None:
    assert len(block("python").splitlines()) <= 12


def test_the_documented_figures_are_the_real_ones() -> None:
    assert f"`{MAGIC.decode()}`" in DOCUMENT
    assert f"at most {NOTE_LIMIT_BYTES:,} |" in DOCUMENT
    assert f"at most {BODY_LIMIT_BYTES:,} |" in DOCUMENT
    assert f"n × ({OVERHEAD_BYTES} + B)" in DOCUMENT
    assert f"| {HEADER_BYTES} | N + 16 |" in DOCUMENT
    assert f"{FIXED} fixed size" in DOCUMENT
