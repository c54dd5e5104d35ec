"""`bridge recording`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.audit import AUDIT_FOLDER, Audit
from bridge.ids import RecordingId, RecordingState, SessionFormat, SessionKind
from bridge.recordings import layout
from bridge.recordings.marks import append_events
from bridge.store import RecordingRecord, Store, sqlite_url
from bridge.vault import ObjectReader, Vault
from tests.commandline import Printed, Run, command_line, must_print
from tests.media.recording.sending import sound, video
from tests.recordings.making import CLINIC, HUB, STARTED_AT_MS, Made, Track, make_recording


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(data, monkeypatch, capsys)


@pytest.fixture
def printed(run: Run) -> Printed:
    return must_print(run)


def kept(
    data: Path,
    *,
    state: RecordingState = RecordingState.ENDED,
    hold: bool = False,
    tracks: list[Track] | None = None,
    size_bytes: int = 4_200_000,
) -> Made:
    """A recording in the vault, and its row in the store."""

    async def stored() -> RecordingId:
        store = await Store.open(sqlite_url(data / "bridge.db"))
        try:
            session, _ = await store.create_session(
                title="Tim thai",
                kind=SessionKind.CONSULTATION,
                format=SessionFormat.CONSULT,
                capacity=8,
                at_ms=STARTED_AT_MS,
            )
            made = make_recording(Vault(data), session=session.id, tracks=tracks)
            row = RecordingRecord(
                made.recording,
                session.id,
                state,
                STARTED_AT_MS,
                duration_ms=8_000,
                size_bytes=size_bytes,
                hold=hold,
            )
            await store.add_recording(row)
            result.append(made)
            return made.recording
        finally:
            await store.close()

    result: list[Made] = []
    asyncio.run(stored())
    return result[0]


def short() -> list[Track]:
    return [
        Track(CLINIC, "ultrasound", "video", video("h264", 30)),
        Track(HUB, "microphone", "audio", sound(50)),
    ]


def audited(printed: Printed) -> list[tuple[str, int, str | None, dict[str, Any]]]:
    lines = [json.loads(line) for line in printed("audit", "show", "--json").splitlines()]
    return [(line["event"], line["outcome"], line["on"], line["detail"]) for line in lines]


def test_list_and_show_tell_what_there_is(data: Path, printed: Printed) -> None:
    made = kept(data)
    line = printed("recording", "list")
    assert line.split()[:2] == [made.recording, "ended"]
    assert "Tim thai" in line
    (row,) = json.loads(printed("recording", "list", "--json"))
    assert (row["id"], row["endMs"], row["hold"]) == (made.recording, 8_000, False)
    assert json.loads(printed("recording", "list", "--session", "nosuchsession", "--json")) == []
    shown = printed("recording", "show", made.recording)
    assert "ultrasound of Phòng khám Sa Pa, h264, 0:00:04 to 0:00:07" in shown
    assert "mark at 0:00:02: Van hai lá" in shown
    assert "Nhầm" not in shown
    assert len(json.loads(printed("recording", "show", made.recording, "--json"))["tracks"]) == 5
    events = audited(printed)
    assert [each[0] for each in events if each[2] == f"recording/{made.recording}"] == ["objectAccessed"] * 2


def test_export_writes_a_private_file_and_is_in_the_audit(
    data: Path, printed: Printed, tmp_path: Path
) -> None:
    made = kept(data)
    path = tmp_path / "out.mkv"
    said = printed("recording", "export", made.recording, "--format", "mkv", "-o", str(path))
    assert said == f"Wrote {path}: 0:00:08 from 0:00:00 on, tracks: 4.\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with av.open(str(path)) as film:
        assert len(list(film.decode(video=0))) == 210
    entries = [
        (event, outcome, detail)
        for event, outcome, _, detail in audited(printed)
        if event == "objectExported"
    ]
    assert entries == [("objectExported", 1, {"format": "mkv"}), ("objectExported", 0, {"format": "mkv"})]


def test_export_takes_a_window_a_track_and_a_patient(data: Path, printed: Printed, tmp_path: Path) -> None:
    made = kept(data)
    words = ["recording", "export", made.recording, "--format", "dicom", "--begin", "0:05", "--end", "7s"]
    said = printed(*words, "--patient-name", "Nguyễn^Văn A", "--track", str(made.streams[4]))
    path = tmp_path / f"{made.recording}.dcm"
    assert f"Wrote {path.name}" in said
    dataset = pydicom.dcmread(path)
    assert str(dataset.PatientName) == "Nguyễn^Văn A"
    # Two seconds of thirty pictures.
    assert dataset.NumberOfFrames in (60, 61)
    said = printed("recording", "export", made.recording, "--format", "mp4", "-o", str(tmp_path / "a.mp4"))
    assert "camera was VP8; MP4 has it encoded anew as H.264" in said


@pytest.mark.parametrize(
    "words",
    [
        ("--begin", "soon"),
        ("--begin", "1:75"),
        ("--sex", "X"),
        ("--birth-date", "1984"),
        ("--study-uid", "1.02"),
        ("--patient-name", "A" * 65),
        ("--patient-id", "1\\2"),
        ("--format", "avi"),
    ],
)
def test_words_that_mean_nothing_are_refused_before_anything_is_made(
    data: Path, run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    made = kept(data, tracks=short())
    path = tmp_path / "out"
    done = run("recording", "export", made.recording, "--format", "mkv", "-o", str(path), *words)
    assert done.returncode == 2
    assert not path.exists()


def test_nothing_is_overwritten(data: Path, run: Run, tmp_path: Path) -> None:
    made = kept(data, tracks=short())
    path = tmp_path / "out.mkv"
    path.write_text("mine")
    done = run("recording", "export", made.recording, "--format", "mkv", "-o", str(path))
    assert (done.returncode, done.stderr) == (1, f"bridge: There is {path} already; it is not overwritten.\n")
    assert path.read_text() == "mine"
    link = tmp_path / "link.mkv"
    link.symlink_to(tmp_path / "elsewhere")
    assert run("recording", "export", made.recording, "--format", "mkv", "-o", str(link)).returncode == 1
    assert not (tmp_path / "elsewhere").exists()


def test_a_half_file_is_taken_away_where_the_export_fails(data: Path, run: Run, tmp_path: Path) -> None:
    made = kept(data, tracks=short())
    path = tmp_path / "out.mkv"
    words = ["recording", "export", made.recording, "--format", "mkv", "-o", str(path)]
    done = run(*words, "--begin", "1:00:00")
    assert done.returncode == 1
    assert "lies behind its end" in done.stderr
    assert os.listdir(tmp_path) == ["data"]
    assert run(*words[:-1], str(tmp_path / "no" / "folder.mkv")).returncode == 1


def test_a_full_disk_ends_the_export_with_a_plain_sentence(data: Path, run: Run) -> None:
    made = kept(data)
    folder = Path("/dev/shm") / f"bridge-{os.getpid()}"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
        done = run("recording", "export", made.recording, "--format", "mkv", "-o", str(folder / "out.mkv"))
        left = os.listdir(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=False)
        folder.rmdir()
    assert (done.returncode, left) == (1, [])
    assert "cannot be written: No space left on device." in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_who_breaks_off_leaves_nothing_behind(data: Path, tmp_path: Path, sign: signal.Signals) -> None:
    made = kept(data, tracks=[Track(HUB, "camera", "video", video("vp8", 900, width=960))])
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "bridge", "recording", "export", made.recording, "--format", "mp4"]
    environment = {**os.environ, "BRIDGE_DATA_DIR": str(data)}
    with subprocess.Popen(
        [*command, "-o", str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        watched = threading.Event()
        for _ in range(600):
            if path.exists() and path.stat().st_size:
                break
            watched.wait(0.02)
        process.send_signal(sign)
        process.communicate(timeout=30)
    assert process.returncode not in (0, -signal.SIGTERM)
    assert not path.exists()


def test_damage_is_left_out_of_the_file_told_and_counts_as_failure(
    data: Path, run: Run, tmp_path: Path
) -> None:
    made = kept(data, tracks=short())
    stored = data / "recordings" / made.recording / f"{made.streams[1]:08}.parts"
    content = bytearray(stored.read_bytes())
    content[-300] ^= 1
    stored.write_bytes(content)
    path = tmp_path / "out.mkv"
    done = run("recording", "export", made.recording, "--format", "mkv", "-o", str(path))
    assert done.returncode == 1
    assert "Left out: Stream 3, part 2 is altered." in done.stdout
    assert path.exists()


def test_a_key_file_that_others_can_read_stops_every_command(data: Path, run: Run) -> None:
    made = kept(data, tracks=short())
    (data / "vault" / "identity.txt").chmod(0o644)
    for words in (["verify"], ["show", made.recording], ["export", made.recording, "--format", "mkv"]):
        done = run("recording", *words)
        assert done.returncode == 2
        assert "identity.txt" in done.stderr


def test_a_held_or_running_recording_is_not_shredded(data: Path, run: Run, printed: Printed) -> None:
    held, running = (
        kept(data, tracks=short(), hold=True),
        kept(data, tracks=short(), state=RecordingState.RUNNING),
    )
    for made, reason in ((held, "This recording is held"), (running, "This recording is still running")):
        done = run("recording", "shred", made.recording, "--yes")
        assert done.returncode == 1
        assert reason in done.stderr
    printed("recording", "release", held.recording)
    assert printed("recording", "shred", held.recording, "--yes") == f"Shredded {held.recording}.\n"
    assert not (data / "recordings" / held.recording).exists()
    rows = json.loads(printed("recording", "list", "--json"))
    assert {row["id"]: row["state"] for row in rows} == {
        held.recording: "shredded",
        running.recording: "running",
    }
    events = [
        (event, outcome) for event, outcome, on, _ in audited(printed) if on == f"recording/{held.recording}"
    ]
    assert events == [
        ("objectShredded", 4),
        ("objectChanged", 0),
        ("objectShredded", 1),
        ("objectShredded", 0),
    ]


def test_hold_is_kept_and_seen(data: Path, run: Run, printed: Printed) -> None:
    made = kept(data, tracks=short())
    printed("recording", "hold", made.recording)
    assert json.loads(printed("recording", "list", "--json"))[0]["hold"] is True
    assert run("recording", "hold", "aaaaaaaaaaaaaaaa").returncode == 1
    assert run("recording", "hold", "../etc").returncode == 2


def test_shredding_asks_first(data: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = kept(data, tracks=short())
    monkeypatch.setattr("typer.confirm", lambda *words, **more: (_ for _ in ()).throw(SystemExit(1)))
    assert run("recording", "shred", made.recording).returncode == 1
    assert (data / "recordings" / made.recording / "key.age").exists()


def test_rotation_is_the_vaults(data: Path, printed: Printed) -> None:
    made = kept(data, tracks=short())
    assert printed("recording", "rotate", "--new-identity") == "Wrapped 1 keys anew; 0 were right already.\n"
    assert "no harm found" in printed("recording", "verify", made.recording)


def test_verify_names_a_recording_that_is_gone(data: Path, run: Run) -> None:
    made, whole = kept(data, tracks=short()), kept(data, tracks=short())
    folder = data / "recordings" / made.recording
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    done = run("recording", "verify")
    assert done.returncode == 1
    assert f"recording/{made.recording}: The database knows this recording" in done.stdout
    assert whole.recording not in done.stdout


@pytest.mark.parametrize(("state", "size_bytes"), [(RecordingState.RUNNING, 0), (RecordingState.CUT, 0)])
def test_verify_does_not_miss_what_never_came_to_the_disk(
    data: Path, printed: Printed, state: RecordingState, size_bytes: int
) -> None:
    made = kept(data, tracks=[], state=state, size_bytes=size_bytes)
    shutil.rmtree(data / "recordings" / made.recording)
    assert printed("recording", "verify") == "Verified 0 objects: no harm found.\n"


@pytest.mark.parametrize("when", ["objects", "open"])
def test_verify_names_nothing_that_the_server_shreds_meanwhile(
    data: Path, run: Run, printed: Printed, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    gone, whole = kept(data, tracks=[]), kept(data, tracks=[])
    real = getattr(Vault, when)
    shredded = []

    def meanwhile(vault: Vault, *asked: Any) -> Any:
        listed = list(real(vault, *asked)) if when == "objects" else None
        if not shredded and (when == "open" or asked):
            shredded.append(gone)
            shred(data, gone.recording)
        if when == "open":
            return real(vault, *asked)
        return [ref for ref in listed or [] if ref.id != gone.recording]

    monkeypatch.setattr(Vault, when, meanwhile)
    done = run("recording", "verify")
    assert shredded
    assert (done.returncode, done.stdout) == (0, "Verified 1 objects: no harm found.\n")
    monkeypatch.undo()
    assert whole.recording in {ref.id for ref in Vault(data).objects()}


def shred(data: Path, recording: RecordingId) -> None:
    """As the server does it."""

    async def told() -> None:
        store = await Store.open(sqlite_url(data / "bridge.db"))
        await store.recording_shredded(recording)
        await store.close()

    audit = Audit(data / AUDIT_FOLDER)
    Vault(data).shred(layout.ref_of(recording), audit, "system")
    audit.close()
    with ThreadPoolExecutor(1) as pool:  # This thread may have an event loop.
        pool.submit(asyncio.run, told()).result()


def test_verify_is_not_misled_by_what_is_added_meanwhile(
    data: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = kept(data, tracks=[])
    real = ObjectReader.streams
    marked = []

    def meanwhile(stored: ObjectReader) -> list[int]:
        found = real(stored)
        if not marked:
            mark = layout.MarkAdded(at_ms=1, mark="m", participant="p", name="", text="")
            marked.append(mark)
            append_events(Vault(data), layout.ref_of(made.recording), [mark])
        return found

    monkeypatch.setattr(ObjectReader, "streams", meanwhile)
    assert printed("recording", "verify") == "Verified 1 objects: no harm found.\n"
    assert marked


def test_verify_names_every_harm(data: Path, run: Run, printed: Printed) -> None:
    """Each of many single harms, put on and taken off again: no byte may change, vanish or come unnoticed."""
    made = kept(data, tracks=short())
    folder = data / "recordings" / made.recording
    assert printed("recording", "verify") == "Verified 1 objects: no harm found.\n"
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    vault = Vault(data)
    ref = layout.ref_of(made.recording)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def harmed(chosen: st.DataObject) -> None:
        name = chosen.draw(st.sampled_from(sorted(files)))
        content = files[name]
        at = chosen.draw(st.integers(0, len(content) - 1))
        sort = chosen.draw(st.sampled_from(["change", "cut", "drop", "insert", "remove", "swap"]))
        other = chosen.draw(st.sampled_from([each for each in sorted(files) if each != name]))
        try:
            match sort:
                case "change":
                    bit = 1 << chosen.draw(st.integers(0, 7))
                    (folder / name).write_bytes(
                        content[:at] + bytes((content[at] ^ bit,)) + content[at + 1 :]
                    )
                case "cut":
                    (folder / name).write_bytes(content[:at])
                case "drop":
                    (folder / name).write_bytes(content[:at] + content[at + 1 :])
                case "insert":
                    (folder / name).write_bytes(content[:at] + b"\0" + content[at:])
                case "remove":
                    (folder / name).unlink()
                case "swap":
                    (folder / name).write_bytes(files[other])
                    (folder / other).write_bytes(content)
            assert list(vault.verify(ref))
        finally:
            for each, was in files.items():
                (folder / each).write_bytes(was)

    harmed()
    assert not list(vault.verify(ref))
    # And the command says so, naming stream and part.
    name = f"{made.streams[0]:08}.parts"
    (folder / name).write_bytes(files[name][:-200])
    done = run("recording", "verify", made.recording)
    assert done.returncode == 1
    assert f"recording/{made.recording}: Stream {made.streams[0]}" in done.stdout
