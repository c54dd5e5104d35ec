"""The audit: what it takes, that nothing in it can be changed unnoticed, and that a crash does not harm it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.audit import (
    CODINGS,
    Audit,
    AuditError,
    Entry,
    Event,
    Fault,
    Verdict,
    load_key,
    parse_anchor,
    read_lines,
    verify,
)
from bridge.config import ConfigError

ROOT = Path(__file__).resolve().parents[1]
OBJECT = "recording/abcdefgh234567ab"
EVENTS = 8


def entry(number: int = 0) -> Entry:
    return Entry(Event.OBJECT_ACCESSED, "participant:abc", OBJECT, detail={"part": number})


def open_audit(folder: Path, **changes: int) -> Audit:
    return Audit(folder, now_ms=lambda: 1_700_000_000_123, **changes)


def filled(folder: Path, events: int = EVENTS, **changes: int) -> Audit:
    """An audit with so many events; the first is that it was begun."""
    audit = open_audit(folder, **changes)
    for number in range(events - 1):
        audit.record(entry(number))
    audit.close()
    return audit


def checked(folder: Path, anchor: str | None = None) -> Verdict:
    return verify(folder, load_key(folder, make=False), parse_anchor(anchor) if anchor else None)


def faults(folder: Path, anchor: str | None = None) -> list[tuple[Fault, int | None]]:
    return [(finding.fault, finding.line) for finding in checked(folder, anchor).findings]


def lines(folder: Path) -> list[bytes]:
    return (folder / "audit-000001.jsonl").read_bytes().splitlines(keepends=True)


def put(folder: Path, content: list[bytes]) -> None:
    (folder / "audit-000001.jsonl").write_bytes(b"".join(content))


# --- what it takes -----------------------------------------------------------------------------------------------


def test_an_event_says_who_what_when_and_its_codes(tmp_path: Path) -> None:
    audit = open_audit(tmp_path)
    audit.record(entry(7))
    first, second = (json.loads(line) for line in lines(tmp_path))
    assert (first["n"], first["event"], first["code"], first["subtype"]) == (
        1,
        "auditStarted",
        "110100",
        "110134",
    )
    del second["prev"]
    del second["seal"]
    assert second == {
        "n": 2,
        "at": "2023-11-14T22:13:20.123+00:00",
        "event": "objectAccessed",
        "code": "110103",
        "subtype": None,
        "action": "R",
        "lifecycle": 6,
        "outcome": 0,
        "who": "participant:abc",
        "on": OBJECT,
        "detail": {"part": 7},
    }


def test_every_event_has_its_codes() -> None:
    assert set(CODINGS) == set(Event)
    assert all(coding.code.startswith("1101") and coding.action in "CRUDE" for coding in CODINGS.values())


@pytest.mark.parametrize(
    "change",
    [
        {"who": "Nguyễn Văn A"},
        {"who": "Anna Ivanova"},
        {"who": ""},
        {"on": "a b"},
        {"detail": {"finding": "cyst in the left kidney"}},
        {"detail": {"two words": 1}},
        {"detail": {f"field{index}": 1 for index in range(17)}},
    ],
)
def test_free_text_is_refused(change: dict[str, object]) -> None:
    values: dict[str, object] = {"event": Event.QUERIED, "who": "system"} | change
    with pytest.raises(ValueError, match="audit takes only"):
        Entry(**values)  # type: ignore[arg-type]


def test_several_entries_are_written_in_one_go(tmp_path: Path) -> None:
    audit = open_audit(tmp_path)
    audit.record(entry(1), entry(2), entry(3))
    read = list(read_lines(tmp_path, audit.key))
    assert [line.content["detail"].get("part") for line in read] == [None, 1, 2, 3]
    assert faults(tmp_path) == []


def test_the_chain_goes_on_over_files(tmp_path: Path) -> None:
    audit = filled(tmp_path, 40, file_limit_bytes=2000)
    names = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert names == [f"audit-{number:06}.jsonl" for number in range(1, len(names) + 1)]
    assert len(names) > 5
    assert [line.n for line in read_lines(tmp_path, audit.key)] == list(range(1, 41))
    assert faults(tmp_path) == []
    (tmp_path / names[2]).unlink()
    assert {fault for fault, _ in faults(tmp_path)} == {Fault.MISSING}
    (tmp_path / names[-1]).unlink()
    assert {fault for fault, _ in faults(tmp_path)} == {Fault.MISSING, Fault.TRUNCATED}


def test_anybody_can_follow_the_chain_without_the_key(tmp_path: Path) -> None:
    filled(tmp_path)
    for before, line in zip(lines(tmp_path), lines(tmp_path)[1:], strict=False):
        done = subprocess.run(["sha256sum"], input=before[:-1], capture_output=True, check=True)
        assert done.stdout.split()[0].decode() == json.loads(line)["prev"]


def test_threads_and_processes_share_one_audit(tmp_path: Path) -> None:
    audit = open_audit(tmp_path, file_limit_bytes=5000)
    script = (
        "import sys; from pathlib import Path; from bridge.audit import Audit, Entry, Event\n"
        "audit = Audit(Path(sys.argv[1]), file_limit_bytes=5000); print('ready', flush=True)\n"
        "for _ in range(100): audit.record(Entry(Event.QUERIED, 'other'))"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    threads = [threading.Thread(target=lambda: [audit.record(entry(n)) for n in range(50)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.stdout.close()
    assert other.wait(timeout=30) == 0
    verdict = checked(tmp_path)
    assert (verdict.events, verdict.findings, verdict.torn) == (201, [], 0)


# --- what is done to it ------------------------------------------------------------------------------------------


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_line_is_named(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "whole").exists():
        filled(tmp_path)
        (tmp_path / "whole").write_bytes(b"".join(lines(tmp_path)))
    content = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    number = data.draw(st.integers(0, EVENTS - 1))
    line = bytearray(content[number])
    at = data.draw(st.integers(0, len(line) - 2))
    line[at] ^= data.draw(st.integers(1, 255).filter(lambda mask: line[at] ^ mask != 10))
    content[number] = bytes(line)
    put(tmp_path, content)
    assert faults(tmp_path) == [(Fault.CHANGED, number + 1)]


def test_a_removed_line_is_missing(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = lines(tmp_path)
    for number in range(EVENTS - 1):
        put(tmp_path, whole[:number] + whole[number + 1 :])
        assert [finding.text for finding in checked(tmp_path).findings] == [
            f"Event {number + 1} is missing before event {number + 2}."
        ]


@pytest.mark.parametrize("left", range(EVENTS))
def test_a_truncated_audit_is_known_by_its_head(tmp_path: Path, left: int) -> None:
    audit = filled(tmp_path)
    whole = lines(tmp_path)
    put(tmp_path, whole[:left])
    assert faults(tmp_path) == [(Fault.TRUNCATED, None)]
    # What is written later does not cover it up.
    audit.record(entry())
    found = checked(tmp_path).findings
    assert {finding.fault for finding in found} == {Fault.MISSING}
    assert len(found) == EVENTS - left
    alerts = [line.content["detail"] for line in read_lines(tmp_path, audit.key)]
    assert {"trouble": "auditEndMissing"} in alerts


def test_an_inserted_line_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = lines(tmp_path)
    forged = whole[3].replace(b"participant:abc", b"participant:xyz")
    put(tmp_path, [*whole[:5], forged, *whole[5:]])
    assert faults(tmp_path) == [(Fault.CHANGED, 6)]
    put(tmp_path, [*whole[:5], whole[3], *whole[5:]])
    assert faults(tmp_path) == [(Fault.REPEATED, 6)]
    put(tmp_path, [*whole[:5], b"\n", *whole[5:]])
    assert faults(tmp_path) == [(Fault.CHANGED, 6)]
    put(tmp_path, [*whole[:5], b"x" * 100_000 + b"\n", *whole[5:]])
    assert {fault for fault, _ in faults(tmp_path)} == {Fault.CHANGED}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(EVENTS)))
def test_reordered_lines_are_named(tmp_path: Path, order: list[int]) -> None:
    if not (tmp_path / "whole").exists():
        filled(tmp_path)
        (tmp_path / "whole").write_bytes(b"".join(lines(tmp_path)))
    content = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    put(tmp_path, [content[number] for number in order])
    found = {fault for fault, _ in faults(tmp_path)}
    assert found == ({Fault.MOVED} if order != sorted(order) else set())


def test_a_line_of_another_audit_is_named(tmp_path: Path) -> None:
    filled(tmp_path / "one")
    filled(tmp_path / "other")
    put(
        tmp_path / "one",
        [*lines(tmp_path / "one")[:4], lines(tmp_path / "other")[4], *lines(tmp_path / "one")[5:]],
    )
    assert faults(tmp_path / "one") == [(Fault.CHANGED, 5)]


def test_two_histories_by_the_same_key_do_not_fit_together(tmp_path: Path) -> None:
    filled(tmp_path / "one", 4)
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "one").iterdir():
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "other" / path.name).chmod(0o600)
    for name, part in (("one", 100), ("other", 200)):
        audit = open_audit(tmp_path / name)
        audit.record(entry(part), entry(part), entry(part))
        audit.close()
    put(tmp_path / "one", lines(tmp_path / "one")[:5] + lines(tmp_path / "other")[5:])
    assert faults(tmp_path / "one") == [(Fault.CHAIN, 6), (Fault.HEAD, None)]


def test_a_lost_head_is_named_and_told_in_the_audit(tmp_path: Path) -> None:
    audit = filled(tmp_path)
    (tmp_path / "head").unlink()
    assert faults(tmp_path) == [(Fault.HEAD, None)]
    audit.record(entry())
    assert faults(tmp_path) == []
    assert {"trouble": "auditHeadMissing"} in [
        line.content["detail"] for line in read_lines(tmp_path, audit.key)
    ]


def test_an_anchor_kept_elsewhere_shows_a_whole_older_state(tmp_path: Path) -> None:
    audit = filled(tmp_path)
    older = {name: (tmp_path / name).read_bytes() for name in ("head", "audit-000001.jsonl")}
    audit.record(entry())
    audit.close()
    anchor = str(checked(tmp_path).end)
    audit.record(entry())
    audit.close()
    assert faults(tmp_path, anchor) == []
    for name, content in older.items():
        (tmp_path / name).write_bytes(content)
    assert faults(tmp_path) == []
    assert faults(tmp_path, anchor) == [(Fault.TRUNCATED, None)]
    audit.record(entry(5))
    assert faults(tmp_path, anchor) == [(Fault.ANCHOR, None)]


# --- crashes and disks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [1, 2, 100, 300])
def test_a_line_torn_by_a_crash_is_kept_and_no_fault(tmp_path: Path, torn: int) -> None:
    audit = filled(tmp_path)
    whole = lines(tmp_path)
    last = whole[-1][:torn]
    put(tmp_path, [*whole, last])
    assert (faults(tmp_path), checked(tmp_path).torn) == ([], 1)
    audit.record(entry(99))
    verdict = checked(tmp_path)
    assert (verdict.findings, verdict.torn, verdict.events) == ([], 1, EVENTS + 2)
    assert lines(tmp_path)[EVENTS] == last + b"\n"
    put(tmp_path, [*whole, b"{another}\n", *lines(tmp_path)[EVENTS + 1 :]])
    assert faults(tmp_path) == [(Fault.CHANGED, EVENTS + 1)]


def test_a_killed_writer_leaves_a_sound_audit(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from bridge.audit import Audit, Entry, Event\n"
        "audit = Audit(Path(sys.argv[1]))\n"
        "while True:\n    audit.record(Entry(Event.QUERIED, 'system')); print('done', flush=True)"
    )
    said = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(10):
            assert writer.stdout.readline() == "done\n"
        writer.kill()
        said += 10 + writer.communicate()[0].count("done\n")
    verdict = checked(tmp_path)
    assert verdict.findings == []
    assert said <= verdict.events <= said + 3 + 3


def test_a_failed_write_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = filled(tmp_path)
    write = os.pwrite

    def write_half(file: int, content: bytes, offset: int) -> int:
        write(file, content[: len(content) // 2], offset)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write_half)
        with pytest.raises(AuditError, match="No space left"):
            audit.record(entry())
    assert (faults(tmp_path), checked(tmp_path).torn) == ([], 0)
    audit.record(entry())
    assert (faults(tmp_path), checked(tmp_path).events) == ([], EVENTS + 1)


def break_mode(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_mode, "chmod 600"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(b"short"), "32 bytes"),
    ],
)
def test_a_bad_key_is_refused(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    filled(tmp_path)
    damage(tmp_path / "seal.key")
    with pytest.raises(ConfigError, match=says):
        open_audit(tmp_path)


def test_the_audit_is_private(tmp_path: Path) -> None:
    filled(tmp_path / "audit")
    for path in [tmp_path / "audit", *(tmp_path / "audit").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
