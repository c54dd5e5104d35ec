"""Makes the codestreams of frames (`frames`) before anybody asks for them: of what arrives, and of what came lately.

One thread with one worker of its own, at the lowest priority, that steps back while requests and arrivals are in hand.
What it has to do is a set of studies, not of frames: what is missing of each is seen from what is kept. So nothing is
lost if the set is full, the worker fails, or the server starts anew: it is made when it is asked for, or by the sweep
over the studies that came last.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from bridge.errors import BridgeError
from bridge.imaging.catalogue import Catalogue
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf
from bridge.imaging.frames import Frames, Refused, key_of
from bridge.imaging.keptframes import FrameKey
from bridge.imaging.pixels.stepwise import may_pay
from bridge.imaging.study import Instance
from bridge.imaging.workers import Workers

_log = structlog.get_logger(__name__)

STUDIES_LIMIT = 256
"""Of those that wait; what comes on top is made when it is asked for."""
GIVEN_UP_LIMIT = 50_000
FRAMES_LIMIT = 500
"""Of one object: long loops are looked at from their beginning."""
SWEEP_STUDIES = 100
SWEEP_DAYS = 14
LOOK_S = 3600.0
PATIENCE_S = 0.25
"""So long it waits for a quiet moment before each frame, and then goes on: some frames a second on a busy server."""
LULL_S = 0.03
"""After the last arrival."""
STEP_S = 0.01
IDLE_S = 60.0
"""Then its worker is let go."""
NICENESS = 19
_DAY_MS = 24 * 3600 * 1000


class Premaker:
    """Started by `start`; `close` waits for its thread."""

    def __init__(
        self,
        catalogue: Catalogue,
        shelf: Shelf,
        frames: Frames,
        stored: Callable[[], Iterable[str]],
        is_busy: Callable[[], bool],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`stored` gives the ids of all studies; `is_busy` says whether requests are being answered just now."""
        self._catalogue = catalogue
        self._stored = stored
        self._shelf = shelf
        self._frames = frames
        self._is_busy = is_busy
        self._now_ms = now_ms
        self._arrived: OrderedDict[str, None] = OrderedDict()
        self._older: OrderedDict[str, None] = OrderedDict()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._last_arrival_s = 0.0
        self._workers: Workers | None = None
        self._given_up: set[FrameKey] = set()
        self._thread = threading.Thread(target=self._run, name="premaking", daemon=True)
        self.made = 0
        """Frames so far."""
        self.is_idle = False
        """Whether there is nothing to do."""

    @property
    def worker_pids(self) -> list[int]:
        with self._changed:
            return self._workers.pids if self._workers is not None else []

    def start(self) -> None:
        self._catalogue.listen(self.note)
        self._thread.start()

    def note(self, study: str) -> None:
        """Something came into a study. Never waits for long."""
        self._last_arrival_s = time.monotonic()
        with self._changed:
            if study in self._arrived or len(self._arrived) < STUDIES_LIMIT:
                self._arrived[study] = None
                self._changed.notify()

    def close(self) -> None:
        self._stopped.set()
        with self._changed:
            self._changed.notify()
            workers = self._workers
        if workers is not None:
            workers.close()
        if self._thread.is_alive():
            self._thread.join()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        looked_s = -LOOK_S
        while not self._stopped.is_set():
            if time.monotonic() - looked_s >= LOOK_S:
                looked_s = time.monotonic()
                self._guarded(self._look_back)
            study, is_older = self._next()
            if study:
                self._guarded(lambda study=study, is_older=is_older: self._make(study, is_older))  # type: ignore[misc]
        self._let_worker_go()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BridgeError:
            return  # Shredded meanwhile, or damaged: whoever asks for it is told.
        except Exception as error:
            # It serves convenience only, and must not fall silent for one odd study.
            _log.warning("pictures not made beforehand", reason=type(error).__name__)

    def _look_back(self) -> None:
        """Forgets what is kept of studies that are gone, and puts down those that came lately."""
        self._frames.store.forget_others(set(self._stored()))
        if self._frames.store.is_filling:
            return
        entries = self._catalogue.all()
        since_ms = self._now_ms() - SWEEP_DAYS * _DAY_MS
        with self._changed:
            for entry in entries[:SWEEP_STUDIES]:
                if entry.last_at_ms >= since_ms:
                    self._older[entry.id] = None

    def _next(self) -> tuple[str, bool]:
        """The next study, those that arrive first; "" if there is none after a while."""
        with self._changed:
            if not self._arrived and not self._older:
                self.is_idle = True
                self._changed.wait_for(lambda: self._arrived or self._stopped.is_set(), IDLE_S)
            self.is_idle = False
            if self._stopped.is_set():
                return "", False
            if self._arrived:
                return self._arrived.popitem(last=False)[0], False
            if self._older:
                return self._older.popitem(last=False)[0], True
        self._let_worker_go()
        return "", False

    def _make(self, study: str, is_older: bool) -> None:
        """All that is missing of a study."""
        with self._shelf.study(study) as opened:
            missing = self._missing(opened)
        for instance, frame in missing:
            if self._stopped.is_set():
                return
            if is_older and self._arrived:
                with self._changed:
                    self._older[study] = None
                return
            self._wait_for_quiet()
            began_s = time.monotonic()
            self._make_frame(study, instance, frame)
            if is_older:
                self._stopped.wait(time.monotonic() - began_s)  # Half of its time at most.

    def _missing(self, opened: OpenStudy) -> list[tuple[Instance, int]]:
        wanted = {
            key_of(instance, frame): (instance, frame)
            for instance in opened.reader.instances()
            if may_pay(instance.note)
            for frame in range(min(instance.note.frames, FRAMES_LIMIT))
        }
        missing = self._frames.store.missing(opened.reader.id, list(wanted))
        return [wanted[key] for key in missing if key not in self._given_up]

    def _make_frame(self, study: str, instance: Instance, frame: int) -> None:
        key = key_of(instance, frame)
        try:
            with self._shelf.study(study) as opened:
                self._frames.make_beforehand(opened, instance, frame, self._worker())
            self.made += 1
        except Refused:
            pass  # That is kept too.
        except BridgeError as error:
            if error.code in ("notFound", "shuttingDown"):
                raise
        if self._frames.store.missing(study, [key]):
            # It failed, or there is no room: not again and again.
            if len(self._given_up) >= GIVEN_UP_LIMIT:
                self._given_up.clear()
            self._given_up.add(key)

    def _wait_for_quiet(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s and not self._stopped.is_set():
            if not self._is_busy() and time.monotonic() - self._last_arrival_s >= LULL_S:
                return
            self._stopped.wait(STEP_S)

    def _worker(self) -> Workers:
        with self._changed:
            if self._workers is None:
                self._workers = Workers(1)
            for pid in self._workers.pids:
                with suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
            return self._workers

    def _let_worker_go(self) -> None:
        with self._changed:
            workers, self._workers = self._workers, None
        if workers is not None:
            workers.close()
