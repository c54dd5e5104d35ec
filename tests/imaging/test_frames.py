"""Codestreams of frames: made once, kept sealed and bounded, made anew when they are lost, and made beforehand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid

from bridge.audit import AUDIT_FOLDER, Audit
from bridge.errors import BridgeError, LimitExceeded, NotFound
from bridge.imaging import frames as frames_module
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.sharpening import PREVIEWS_WITHIN_S, Sharpener
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf
from bridge.imaging.errors import DicomError
from bridge.imaging.frames import FAILED_S, Frames, Outline, Refused, key_of
from bridge.imaging.framestore import FrameStore
from bridge.imaging.keptframes import Known
from bridge.imaging.pixels.progressive import decode_preview
from bridge.imaging.premaking import NICENESS, Premaker
from bridge.imaging.study import Instance
from bridge.imaging.workers import WorkerLost, Workers
from bridge.vault import ObjectKind, Vault
from tests.imaging.corpus import archive_in, ct_slice
from tests.imaging.pictures import files_with_pixels

SIDE = 128


class CountingWorkers:
    """Counts what workers are asked for, and fails as they do if it is told to."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.calls = 0
        self.failure: BridgeError | None = None

    def call(self, *arguments: object, **more: object) -> bytes:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return self._workers.call(*arguments, **more)  # type: ignore[arg-type]


@dataclass
class Place:
    """An archive with one study, and what is kept of its frames."""

    folder: Path
    archive: Archive
    shelf: Shelf
    vault: Vault
    store: FrameStore
    workers: CountingWorkers
    frames: Frames
    study: str

    @contextmanager
    def first(self) -> Iterator[tuple[OpenStudy, Instance]]:
        with self.shelf.study(self.study) as opened:
            yield opened, opened.reader.instances()[0]

    def get(self, wish: Callable[[Outline], tuple[int, int]]) -> bytes:
        with self.first() as (opened, instance):
            return self.frames.get(opened, instance, 0, wish).data

    def derived_bytes(self) -> int:
        return sum(each.size_bytes for each in self.vault.derived.kept())


def everything(outline: Outline) -> tuple[int, int]:
    return 0, outline.size_bytes


def preview(outline: Outline) -> tuple[int, int]:
    return 0, outline.prefix_bytes(2)


def rest(outline: Outline) -> tuple[int, int]:
    return outline.prefix_bytes(2), outline.size_bytes


def take_in(archive: Archive, *contents: bytes) -> str:
    with archive.arrivals() as arrivals:
        kept = [arrivals.keep(content) for content in contents]
    return kept[0].study


def slices(count: int) -> list[bytes]:
    study, series = generate_uid(), generate_uid()
    return [ct_slice(number, study, series, side=SIDE) for number in range(count)]


@pytest.fixture
def archive(tmp_path: Path, workers: Workers) -> Iterator[Archive]:
    with archive_in(tmp_path / "data", workers) as archive:
        yield archive


@contextmanager
def place_in(folder: Path, archive: Archive, workers: Workers, study: str, **more: Any) -> Iterator[Place]:
    shelf, vault, counting = Shelf(archive), Vault(folder), CountingWorkers(workers)
    store = FrameStore(vault.derived, **more)
    frames = Frames(store, counting)  # type: ignore[arg-type]
    try:
        yield Place(folder, archive, shelf, vault, store, counting, frames, study)
    finally:
        shelf.close()
        store.close()


@pytest.fixture
def place(tmp_path: Path, archive: Archive, workers: Workers) -> Iterator[Place]:
    with place_in(tmp_path / "data", archive, workers, take_in(archive, *slices(1))) as place:
        yield place


def test_the_beginning_and_the_rest_are_the_whole(place: Place) -> None:
    whole = place.get(everything)
    assert place.get(preview) + place.get(rest) == whole
    assert place.get(lambda outline: (3, outline.size_bytes - 5)) == whole[3:-5]
    assert place.get(lambda outline: (7, 9)) == whole[7:9]
    assert place.workers.calls == 1


def test_what_is_kept_is_what_was_made(place: Place) -> None:
    made = place.get(everything)
    place.store.close()
    with place.first() as (opened, instance):
        kept = place.frames.ready(opened, instance, 0, everything)
        assert kept is not None
        assert kept.data == made
        stored = opened.frame(instance, 0)
    values = np.frombuffer(stored, "<i2").reshape(SIDE, SIDE)
    np.testing.assert_array_equal(decode_preview(made, 0), values)
    assert place.workers.calls == 1


def test_a_start_anew_finds_what_was_kept(place: Place, workers: Workers) -> None:
    made = place.get(everything)
    with place_in(place.folder, place.archive, workers, place.study) as again:
        assert again.get(everything) == made
        assert again.workers.calls == 0
        assert again.store.size_bytes > len(made)


def test_what_is_altered_torn_or_gone_is_made_anew(place: Place, workers: Workers) -> None:
    made = place.get(everything)
    place.store.close()
    (path,) = (place.folder / "derived" / place.study).iterdir()
    whole = path.read_bytes()
    for damaged in (
        whole[:-1000],
        whole[: len(whole) // 2],
        whole[:40],
        b"",
        whole[:-40] + b"x" + whole[-39:],
    ):
        path.write_bytes(damaged)
        with place_in(place.folder, place.archive, workers, place.study) as again:
            assert again.get(everything) == made
            assert again.workers.calls == 1
        for other in path.parent.iterdir():
            other.unlink()
        path.write_bytes(whole)
    path.unlink()
    path.parent.rmdir()
    with place_in(place.folder, place.archive, workers, place.study) as again:
        assert again.get(everything) == made


def test_many_who_ask_at_once_have_it_made_once(place: Place) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(place.get(everything))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert place.workers.calls == 1


def test_a_frame_that_is_not_there_is_not_found(place: Place) -> None:
    with place.first() as (opened, instance), pytest.raises(NotFound):
        place.frames.get(opened, instance, 1, everything)
    assert place.derived_bytes() == 0


def test_a_refusal_is_remembered(tmp_path: Path, archive: Archive, workers: Workers) -> None:
    # Lossy JPEG 2000: without loss it takes many times the bytes.
    study = take_in(archive, files_with_pixels()["JPEG2000.dcm"].read_bytes())
    with place_in(tmp_path / "data", archive, workers, study) as place:
        for _ in range(2):
            with pytest.raises(Refused):
                place.get(preview)
        assert place.workers.calls == 1
        place.store.close()
        with pytest.raises(Refused):
            place.get(preview)
        assert place.workers.calls == 1


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (DicomError("The object needs more memory than it may have.", "tooLarge"), Refused),
        (DicomError("The object cannot be read."), Refused),
        (WorkerLost("Reading the object took too long.", "tooLarge"), WorkerLost),
        (LimitExceeded("Too many objects are being read just now; try again in a moment."), LimitExceeded),
    ],
)
def test_what_failed_once_is_tried_again_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, failure: BridgeError, told: type[BridgeError]
) -> None:
    clock = Clock()
    monkeypatch.setattr(place.frames, "_now_s", clock)
    place.workers.failure = failure
    with pytest.raises(told):
        place.get(preview)
    assert place.derived_bytes() == 0
    if told is not LimitExceeded:
        # Not at once: a reader who turns the pages would have it tried each time.
        with pytest.raises(Refused):
            place.get(preview)
        assert place.workers.calls == 1
    place.workers.failure = None
    clock.now_s += FAILED_S
    assert len(place.get(preview)) > 0


def test_a_refusal_of_another_sort_that_was_kept_does_not_stand(place: Place) -> None:
    with place.first() as (_, instance):
        key = key_of(instance, 0)
    place.store.put(place.study, key, Known((), "", "tooLarge", False), b"")
    place.store.close()
    assert len(place.get(preview)) > 0


def test_nobody_waits_for_ever_for_who_makes_the_same_frame(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "TURN_TIMEOUT_S", 0.05)
    at_work, go_on = threading.Event(), threading.Event()
    real = place.workers.call

    def slow(*arguments: object, **more: object) -> bytes:
        at_work.set()
        assert go_on.wait(20)
        return real(*arguments, **more)

    monkeypatch.setattr(place.workers, "call", slow)
    first = threading.Thread(target=lambda: place.get(everything))
    first.start()
    try:
        assert at_work.wait(20)
        with pytest.raises(LimitExceeded):
            place.get(everything)
    finally:
        go_on.set()
        first.join()
    assert len(place.get(everything)) > 0


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        (WorkerLost("Reading the object failed; it may be damaged on purpose."), 1),
        (LimitExceeded("Too many objects are being read just now; try again in a moment."), 1),
        (DicomError("The object cannot be read."), 4),
    ],
)
def test_previews_end_where_workers_are_lost_or_short_but_not_at_a_damaged_object(
    tmp_path: Path, archive: Archive, workers: Workers, failure: BridgeError, calls: int
) -> None:
    study = take_in(archive, *slices(5))
    with place_in(tmp_path / "data", archive, workers, study) as place:
        entry, uids = series_of(place)
        with place.shelf.study(study) as opened:
            place.frames.get(opened, opened.reader.instance(uids[-1]), 0, everything)
        place.workers.failure, place.workers.calls = failure, 0
        sharpener = Sharpener(place.shelf, place.frames)
        got = [piece.location for piece in sharpener.previews(entry, "", uids, 2)]
        assert place.workers.calls == calls
        # What is there already is given nevertheless.
        assert got == [f"instances/{uids[-1]}/frames/1"]


def test_previews_that_take_too_long_to_make_are_left_out(
    tmp_path: Path, archive: Archive, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, clock = take_in(archive, *slices(5)), Clock()
    with place_in(tmp_path / "data", archive, workers, study) as place:
        real = place.workers.call

        def slow(*arguments: object, **more: object) -> bytes:
            clock.now_s += PREVIEWS_WITHIN_S / 2
            return real(*arguments, **more)

        monkeypatch.setattr(place.workers, "call", slow)
        entry, uids = series_of(place)
        sharpener = Sharpener(place.shelf, place.frames, clock)
        for shown in (2, 4, 5):
            assert len(list(sharpener.previews(entry, "", uids, 2))) == shown


def series_of(place: Place) -> tuple[StudyEntry, list[str]]:
    """The study's entry, and its objects in their order."""
    (entry,) = [each for each in place.archive.catalogue.all() if each.id == place.study]
    with place.shelf.study(place.study) as opened:
        return entry, [each.note.sop_instance for each in opened.reader.instances()]


def test_the_studies_not_looked_at_for_longest_make_room(
    tmp_path: Path, archive: Archive, workers: Workers
) -> None:
    studies = [take_in(archive, *slices(1)) for _ in range(3)]
    with place_in(tmp_path / "data", archive, workers, studies[0]) as place:
        size_bytes = len(place.get(everything))
    with place_in(tmp_path / "data", archive, workers, studies[0], limit_bytes=size_bytes * 5 // 2) as place:
        place.get(everything)
        place.study = studies[1]
        place.get(everything)
        place.study = studies[0]
        place.get(preview)  # The second is the one not looked at for longest now.
        place.study = studies[2]
        place.get(everything)
        assert {each.id for each in place.vault.derived.kept()} == {studies[0], studies[2]}
        assert place.store.size_bytes <= size_bytes * 5 // 2
        place.study = studies[1]
        assert len(place.get(everything)) > 0


def test_without_room_frames_are_made_each_time_and_nothing_is_kept(
    tmp_path: Path, archive: Archive, workers: Workers
) -> None:
    study = take_in(archive, *slices(1))
    for limits in ({"limit_bytes": 100}, {"free_bytes": 1 << 60}):
        with place_in(tmp_path / "data", archive, workers, study, **limits) as place:
            assert place.get(preview) + place.get(rest) == place.get(everything)
            assert place.workers.calls == 3
            assert place.derived_bytes() == 0


def test_what_is_counted_is_what_lies_on_the_disk(place: Place, tmp_path: Path, workers: Workers) -> None:
    place.get(everything)
    assert place.store.size_bytes == place.derived_bytes()
    # Another server, or the command line, writes and drops too.
    other = take_in(place.archive, *slices(2))
    with place_in(tmp_path / "data", place.archive, workers, other) as beside:
        beside.get(everything)
        place.store.tidy()
        assert place.store.size_bytes == place.derived_bytes() > len(place.get(everything))
        beside.store.forget(place.study)
        place.store.tidy()
        assert place.store.size_bytes == place.derived_bytes()
    assert len(place.get(everything)) > 0


def test_a_refusal_counts_with_what_it_takes(tmp_path: Path, archive: Archive, workers: Workers) -> None:
    study = take_in(archive, files_with_pixels()["JPEG2000.dcm"].read_bytes())
    with place_in(tmp_path / "data", archive, workers, study) as place:
        with pytest.raises(Refused):
            place.get(preview)
        assert place.store.size_bytes == place.derived_bytes() > 0


def test_a_smaller_limit_drops_what_is_too_much_the_longest_unused_first(
    tmp_path: Path, archive: Archive, workers: Workers
) -> None:
    studies = [take_in(archive, *slices(1)) for _ in range(3)]
    with place_in(tmp_path / "data", archive, workers, studies[0]) as place:
        for place.study in (studies[1], studies[0], studies[2]):
            place.get(everything)
        limit_bytes = place.derived_bytes() - 1
    with place_in(tmp_path / "data", archive, workers, studies[0], limit_bytes=limit_bytes) as place:
        place.store.tidy()
        assert {each.id for each in place.vault.derived.kept()} == {studies[0], studies[2]}


def test_a_limit_of_nothing_frees_everything_and_keeps_nothing(
    tmp_path: Path, archive: Archive, workers: Workers
) -> None:
    lossy = take_in(archive, files_with_pixels()["JPEG2000.dcm"].read_bytes())
    study = take_in(archive, *slices(1))
    with place_in(tmp_path / "data", archive, workers, study) as place:
        place.get(everything)
        place.study = lossy
        with pytest.raises(Refused):
            place.get(preview)
    with place_in(tmp_path / "data", archive, workers, study, limit_bytes=0) as place:
        place.store.tidy()
        assert place.vault.derived.kept() == []
        assert len(place.get(preview)) > 0
        place.study = lossy
        with pytest.raises(Refused):
            place.get(preview)
        assert place.vault.derived.kept() == []


def test_nothing_is_left_or_kept_again_of_a_study_that_is_shredded(place: Place) -> None:
    place.get(everything)
    audit = Audit(place.folder / AUDIT_FOLDER)
    with place.first() as (opened, instance):  # Somebody is just looking at it.
        place.archive.shred(place.study, audit, "staff")
        place.store.forget(place.study)
        place.frames.get(opened, instance, 0, everything)
    audit.close()
    assert place.vault.derived.kept() == []


def test_what_is_kept_of_studies_that_are_gone_is_dropped(place: Place) -> None:
    place.get(everything)
    place.store.forget_others({place.study})
    assert len(place.vault.derived.kept()) == 1
    place.store.forget_others(set())
    assert place.vault.derived.kept() == []
    assert len(place.get(everything)) > 0


def test_the_record_of_what_was_received_is_not_touched(place: Place) -> None:
    imaging = place.folder / "imaging" / place.study
    before = {path.name: path.read_bytes() for path in imaging.iterdir()}
    place.get(everything)
    assert {path.name: path.read_bytes() for path in imaging.iterdir()} == before
    (ref,) = place.vault.objects(ObjectKind.STUDY)
    assert list(place.vault.verify(ref)) == []


# --- beforehand ----------------------------------------------------------------------------------------------------


@contextmanager
def premaking(place: Place, is_busy: Callable[[], bool] = lambda: False) -> Iterator[Premaker]:
    def stored() -> list[str]:
        return [ref.id for ref in place.vault.objects(ObjectKind.STUDY)]

    premaker = Premaker(place.archive.catalogue, place.shelf, place.frames, stored, is_busy)
    premaker.start()
    try:
        yield premaker
    finally:
        premaker.close()


def until(condition: Callable[[], bool]) -> None:
    """Bounded by the test's own limit."""
    bell = threading.Event()
    deadline_s = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline_s
        bell.wait(0.02)


def test_what_arrives_is_made_before_anybody_asks(place: Place) -> None:
    with premaking(place) as premaker:
        until(lambda: premaker.is_idle)  # What came before the start is made by the sweep.
        assert premaker.made == 1
        study = take_in(place.archive, *slices(5))
        until(lambda: premaker.made == 6)
        place.study = study
        assert len(place.get(preview)) > 0
        assert place.workers.calls == 0


def test_it_goes_on_on_a_busy_server_only_more_slowly(place: Place) -> None:
    with premaking(place, is_busy=lambda: True) as premaker:
        until(lambda: premaker.made == 1)


def test_its_worker_has_the_lowest_priority(place: Place) -> None:
    with premaking(place) as premaker:
        until(lambda: premaker.made == 1)
        assert premaker.worker_pids
        for pid in premaker.worker_pids:
            assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16]) == NICENESS


def test_what_was_kept_of_lost_studies_goes_when_it_starts(place: Place) -> None:
    place.get(everything)
    place.store.close()
    lost = place.folder / "derived" / "abcdefghijklmnop"
    lost.mkdir()
    (lost / "00000001.parts").write_bytes(b"whatever")
    with premaking(place) as premaker:
        until(lambda: premaker.is_idle)
    assert [each.id for each in place.vault.derived.kept()] == [place.study]


def test_a_study_that_goes_while_it_is_made_does_no_harm(place: Place) -> None:
    audit = Audit(place.folder / AUDIT_FOLDER)
    with premaking(place) as premaker:
        study = take_in(place.archive, *slices(12))
        until(lambda: premaker.made >= 3)
        place.shelf.forget(study)
        place.store.forget(study)
        place.archive.shred(study, audit, "staff")
        place.store.forget(study)
        other = take_in(place.archive, *slices(2))
        place.study = other
        until(lambda: place.store.size_bytes > 0 and premaker.is_idle)
        assert study not in {each.id for each in place.vault.derived.kept()}
        place.get(everything)
        assert place.workers.calls == 0
    audit.close()
