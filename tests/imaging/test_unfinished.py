"""Large objects in pieces, without a server: what is a piece, whose it is, and nothing in the clear on the disk."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.errors import BridgeError, Conflict, LimitExceeded, NotFound, ProtocolError
from bridge.imaging import unfinished
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.unfinished import PIECE_LEAST_BYTES, Unfinished, UnfinishedObjects

PIECE = PIECE_LEAST_BYTES
ROOM = 1 << 40


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(tmp_path: Path, clock: Clock) -> Iterator[UnfinishedObjects]:
    objects = UnfinishedObjects(tmp_path, clock)
    yield objects
    objects.close()


def begun(
    objects: UnfinishedObjects, who: str = "one", key: str = "k", size_bytes: int = 3 * PIECE
) -> Unfinished:
    return objects.begin(who, key, size_bytes, ROOM)[0]


def test_pieces_of_any_size_come_together_again(objects: UnfinishedObjects) -> None:
    content = secrets.token_bytes(5 * PIECE + 3)
    one = begun(objects, size_bytes=len(content))
    for begin, end in (
        (0, PIECE),
        (PIECE, 3 * PIECE + 1),
        (3 * PIECE + 1, 5 * PIECE + 2),
        (5 * PIECE + 2, None),
    ):
        assert not one.is_whole
        one.append(begin, content[begin:end])
    assert one.is_whole
    assert b"".join(one.read()) == content


@pytest.mark.parametrize(
    ("offset", "size_bytes", "error"),
    [
        (0, PIECE, Conflict),
        (2 * PIECE, PIECE, Conflict),
        (2**60, PIECE, Conflict),
        (PIECE, 3 * PIECE, ProtocolError),
        (PIECE, PIECE - 1, ProtocolError),
        (PIECE, 0, ProtocolError),
    ],
)
def test_what_is_not_the_next_piece_changes_nothing(
    objects: UnfinishedObjects, offset: int, size_bytes: int, error: type[BridgeError]
) -> None:
    one = begun(objects)
    one.append(0, b"a" * PIECE)
    with pytest.raises(error):
        one.append(offset, b"b" * size_bytes)
    one.append(PIECE, b"c" * 2 * PIECE)
    assert b"".join(one.read()) == b"a" * PIECE + b"c" * 2 * PIECE


def test_the_same_sender_finds_its_object_again_and_nobody_else_does(objects: UnfinishedObjects) -> None:
    one, is_new = objects.begin("one", "k", PIECE, ROOM)
    assert is_new
    assert objects.begin("one", "k", PIECE, ROOM) == (one, False)
    assert objects.begin("one", "k", PIECE + 1, ROOM)[1]
    assert objects.begin("two", "k", PIECE, ROOM)[1]
    assert objects.find("one", one.id) is one
    with pytest.raises(NotFound):
        objects.find("two", one.id)


def test_the_disk_holds_no_name_and_nothing_that_can_be_read(
    objects: UnfinishedObjects, tmp_path: Path
) -> None:
    one = begun(objects)
    one.append(0, (b"PATIENT^NAME" * PIECE)[: 3 * PIECE])
    assert list(tmp_path.iterdir()) == []
    held = [
        Path(f"/proc/self/fd/{each}").read_bytes()
        for each in os.listdir("/proc/self/fd")
        if str(tmp_path) in _target(each)
    ]
    assert [len(each) > 3 * PIECE for each in held] == [True]
    assert b"PATIENT" not in held[0]


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def test_a_full_disk_costs_the_piece_and_nothing_else(
    objects: UnfinishedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = begun(objects)
    one.append(0, b"a" * PIECE)
    real = os.pwrite

    def half(file: int, content: memoryview, place: int) -> int:
        if len(content) <= PIECE // 2 + 16:
            raise OSError(28, "No space left on device")
        return real(file, content[: PIECE // 2], place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        with pytest.raises(BridgeError) as told:
            one.append(PIECE, b"b" * PIECE)
    assert told.value.code == "storageFailed"
    one.append(PIECE, b"c" * 2 * PIECE)
    assert b"".join(one.read()) == b"a" * PIECE + b"c" * 2 * PIECE


def test_nothing_begins_that_could_not_end(objects: UnfinishedObjects) -> None:
    objects.begin("one", "k", PIECE, 2 * PIECE)
    with pytest.raises(BridgeError) as told:
        objects.begin("two", "k", PIECE, 3 * PIECE)
    assert told.value.code == "storageFailed"
    with pytest.raises(LimitExceeded) as large:
        objects.begin("two", "k", INSTANCE_LIMIT_BYTES + 1, 1 << 50)
    assert large.value.code == "tooLarge"


def test_a_sender_has_a_few_and_the_one_left_lying_goes_first(
    objects: UnfinishedObjects, clock: Clock
) -> None:
    own = [begun(objects, key=f"k{number}") for number in range(unfinished.OF_ONE_SENDER)]
    with pytest.raises(LimitExceeded):
        begun(objects, key="more")
    begun(objects, who="two")
    clock.now_s += unfinished.BUSY_S
    objects.use(own[0])
    begun(objects, key="more")
    assert [each.is_closed for each in own] == [False, True] + [False] * (len(own) - 2)
    with pytest.raises(NotFound):
        own[1].append(0, b"a" * PIECE)


def test_all_senders_together_are_bounded(objects: UnfinishedObjects) -> None:
    for number in range(unfinished.UNFINISHED_LIMIT):
        begun(objects, who=f"{number}")
    with pytest.raises(LimitExceeded):
        begun(objects, who="one more")


def test_what_nobody_comes_back_to_is_forgotten(objects: UnfinishedObjects, clock: Clock) -> None:
    one = begun(objects)
    one.append(0, b"a" * PIECE)
    clock.now_s += unfinished.FORGOTTEN_S - 1
    objects.let_old_go()
    assert objects.find("one", one.id) is one
    clock.now_s += 1
    objects.let_old_go()
    assert one.is_closed
    assert objects.ids() == set()


def test_one_of_which_nothing_came_is_forgotten_soon(objects: UnfinishedObjects, clock: Clock) -> None:
    one = begun(objects)
    clock.now_s += unfinished.EMPTY_S - 1
    objects.let_old_go()
    assert not one.is_closed
    clock.now_s += 1
    objects.let_old_go()
    assert one.is_closed
    assert objects.ids() == set()


def test_one_sender_cannot_have_the_whole_disk_kept_free(objects: UnfinishedObjects) -> None:
    free_bytes = 20 * INSTANCE_LIMIT_BYTES
    for key in ("a", "b"):
        objects.begin("one", key, INSTANCE_LIMIT_BYTES, free_bytes)
    with pytest.raises(LimitExceeded) as told:
        objects.begin("one", "c", 2 * PIECE, free_bytes)
    assert told.value.code == "tooMany"
    objects.begin("two", "a", INSTANCE_LIMIT_BYTES, free_bytes)


def test_room_is_not_kept_for_who_stopped_sending(objects: UnfinishedObjects, clock: Clock) -> None:
    left = objects.begin("one", "k", 100 * PIECE, 300 * PIECE)[0]
    left.append(0, b"a" * PIECE)
    with pytest.raises(BridgeError) as told:
        objects.begin("two", "k", 100 * PIECE, 300 * PIECE)
    assert told.value.code == "storageFailed"
    clock.now_s += unfinished.RESERVED_S
    objects.begin("two", "k", 100 * PIECE, 300 * PIECE)
    left.append(PIECE, b"b" * PIECE)
    assert objects.find("one", left.id).received_bytes == 2 * PIECE


def test_what_is_forgotten_leaves_nothing_open(objects: UnfinishedObjects, tmp_path: Path) -> None:
    def count_open() -> int:
        return sum(str(tmp_path) in _target(each) for each in os.listdir("/proc/self/fd"))

    kept, ended, forgotten = (begun(objects, key=key) for key in "abc")
    for each in (kept, ended, forgotten):
        each.append(0, b"a" * PIECE)
    objects.end(ended)
    objects.forget(forgotten)
    assert ended.is_closed
    assert forgotten.is_closed
    for each in objects.gone():
        each.close()
    assert count_open() == 1
    assert objects.gone() == []
    objects.close()
    assert count_open() == 0


def test_letting_go_waits_for_a_thread_at_work(
    objects: UnfinishedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = begun(objects)
    writing, go_on = threading.Event(), threading.Event()
    real = os.pwrite

    def slow(file: int, content: memoryview, place: int) -> int:
        writing.set()
        assert go_on.wait(10)
        return real(file, content, place)

    monkeypatch.setattr(os, "pwrite", slow)
    worker = threading.Thread(target=lambda: one.append(0, b"a" * PIECE))
    worker.start()
    assert writing.wait(10)
    objects.forget(one)
    go_on.set()
    worker.join(10)
    with pytest.raises(NotFound):
        next(one.read())
