"""Whatever happens to a worker is told in plain words, and the next call finds a fresh one."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from bridge.errors import LimitExceeded
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import decode_metadata, json_of
from bridge.imaging.parsing import parsed_of
from bridge.imaging.part10 import file_meta
from bridge.imaging.scratch import Scratch
from bridge.imaging.worker import MESSAGE_BYTES
from bridge.imaging.workers import WorkerLost, Workers
from tests.imaging.corpus import ct_slice

PARSE = "bridge.imaging.parsing:parse_object"
VALID = ct_slice(1, "1.2", "1.2.3", side=64)


@pytest.fixture
def pool() -> Iterator[Workers]:
    made = Workers(1)
    made.call(PARSE, VALID)
    yield made
    made.close()


def until(holds: Callable[[], bool]) -> None:
    """Waits for what the kernel is about to do."""
    for _ in range(2_000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def still_works(pool: Workers) -> bool:
    return parsed_of(pool.call(PARSE, VALID)).note.study == "1.2"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_that_dies_is_replaced(pool: Workers, how: signal.Signals) -> None:
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    thread, errors = in_thread(lambda: pool.call(PARSE, VALID))
    os.kill(pid, how)
    os.kill(pid, signal.SIGCONT)
    thread.join(30)
    assert still_works(pool)
    # If it died before it was asked, the call may have met the same end.
    assert all(isinstance(error, WorkerLost) for error in errors)
    assert pool.pids != [pid]
    assert not psutil.pid_exists(pid)
    assert pool.lost == 1


def test_a_worker_that_hangs_is_killed_in_time(pool: Workers) -> None:
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    begun_s = time.monotonic()
    with pytest.raises(WorkerLost, match="too long") as caught:
        pool.call(PARSE, VALID, timeout_s=0.5)
    assert time.monotonic() - begun_s < 10
    assert caught.value.code == "tooLarge"
    assert still_works(pool)
    assert not psutil.pid_exists(pid)


def test_what_takes_too_much_memory_is_refused(pool: Workers) -> None:
    deflater = zlib.compressobj(wbits=-15)
    element = b"\x09\x00\x01\x10OB\0\0" + (200 << 20).to_bytes(4, "little")
    bomb = deflater.compress(element + bytes(200 << 20)) + deflater.flush()
    content = file_meta("1.2", "1.2.3", DeflatedExplicitVRLittleEndian) + bomb
    assert len(content) < 300_000
    with pytest.raises(DicomError, match="memory") as caught:
        pool.call(PARSE, content, memory_bytes=64 << 20)
    assert caught.value.code == "tooLarge"
    assert still_works(pool)


def test_what_the_function_says_is_told_on(pool: Workers) -> None:
    with pytest.raises(DicomError, match=r"This is no DICOM file\.") as caught:
        pool.call(PARSE, b"something else")
    assert caught.value.code == "wrongType"
    assert pool.lost == 0


def test_only_functions_of_imaging_are_run(pool: Workers) -> None:
    with pytest.raises(DicomError):
        pool.call("os:system", b"true")
    with pytest.raises(DicomError):
        pool.call("bridge.imaging.parsing:nothing", b"")
    assert still_works(pool)


def test_a_long_reply_comes_whole(pool: Workers) -> None:
    text = os.urandom(30_000).hex().encode()
    more = b"".join(
        struct.pack("<HH2sH", 0x7FE1, number, b"LT", len(text)) + text for number in range(0x1000, 0x1030)
    )
    reply = pool.call(PARSE, VALID + more)
    assert len(reply) > 10 * MESSAGE_BYTES
    told = json_of(decode_metadata(parsed_of(reply).metadata))
    assert told["7FE1102F"]["Value"] == [text.decode()]


def test_the_payload_cannot_be_changed_once_it_was_handed_on(pool: Workers) -> None:
    with Scratch.of(VALID) as payload:
        pool.call(PARSE, payload)
        with pytest.raises(OSError, match="Operation not permitted"):
            os.write(payload.seal(), b"more")
        assert bytes(payload.view()) == VALID


def test_more_callers_than_workers_wait_their_turn(pool: Workers) -> None:
    done: list[bool] = []
    threads = [threading.Thread(target=lambda: done.append(still_works(pool))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [True] * 12


def test_who_waits_too_long_for_a_worker_is_told(pool: Workers) -> None:
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    thread, errors = in_thread(lambda: pool.call(PARSE, VALID, timeout_s=5))
    until(lambda: pool._idle.empty())
    with pytest.raises(LimitExceeded, match="Too many"):
        pool.call(PARSE, VALID, timeout_s=0.1)
    os.kill(pid, signal.SIGCONT)
    thread.join(30)
    assert errors == []


def test_a_worker_knows_nothing_of_the_servers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_SECRET_OF_THE_SERVER", "s3cret")
    pool = Workers(1)
    try:
        assert still_works(pool)
        (pid,) = pool.pids
        assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()
        limits = Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
        # Standard streams and one socket: no file of the server's.
        links = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert all(link == "/dev/null" or link.startswith("socket:") for link in links)
    finally:
        pool.close()


def test_nothing_is_left_behind(pool: Workers) -> None:
    own = psutil.Process()
    files, (pid,) = own.num_fds(), pool.pids
    for _ in range(50):
        pool.call(PARSE, VALID)
        with pytest.raises(DicomError):
            pool.call(PARSE, b"no")
    assert own.num_fds() <= files
    assert psutil.Process(pid).num_fds() < 12
    pool.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(LimitExceeded):
        pool.call(PARSE, VALID)


def test_a_call_may_be_cut_off_by_closing(pool: Workers) -> None:
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    thread, errors = in_thread(lambda: pool.call(PARSE, VALID))
    until(lambda: pool._idle.empty())
    pool.close()
    thread.join(30)
    assert [type(error) for error in errors] == [WorkerLost]
    assert pool.pids == []


def test_a_worker_that_does_not_come_up_says_nothing_of_the_object() -> None:
    pool = Workers(1)
    try:
        os.kill(pool.pids[0], signal.SIGKILL)
        with pytest.raises(LimitExceeded, match="just now"):
            pool.call(PARSE, VALID)
        assert still_works(pool)
    finally:
        pool.close()


def test_workers_are_ready_before_they_are_wanted_if_told_so() -> None:
    pool = Workers(2, waiting=False)
    try:
        assert pool.pids == []
        pool.prepare()
        there = sorted(pool.pids)
        assert len(there) == 2
        pool.prepare()
        assert still_works(pool)
        assert sorted(pool.pids) == there
    finally:
        pool.close()
    pool.prepare()
    assert pool.pids == []
