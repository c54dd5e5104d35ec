"""Objects that come in by STOW-RS: taken apart as they arrive, kept by a few threads, and never as a whole in memory.

Each object stands for itself: what was whole when a request broke off is kept, and nothing of the one that was not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from bridge.audit import Entry
from bridge.errors import BridgeError, Conflict, LimitExceeded, ProtocolError, public_error
from bridge.imaging.access import SessionGate, imported, refused
from bridge.imaging.archive import Archive, Arrivals
from bridge.imaging.arriving import Arriving
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.multipart import Event, MultipartParser, PartBegins, PartEnds, media_type
from bridge.imaging.dicomweb.shelf import Threads
from bridge.imaging.dicomweb.stow import Failure, Stored
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import InstanceNote

LANES = 8
"""Objects that are kept at one time, of all uploads."""
UPLOADS_LIMIT = 32
SHARE = 8
"""Uploads of one sender, so that none of them keeps the others out."""
KEEPING_LIMIT = LANES // 2
"""Objects of one upload that are kept at one time; the other lanes are for other senders."""
STALLED_S = 60.0
SLOWEST_BYTES = 64 * 1024
"""Less than so much within `STALLED_S` of waiting for it is no upload: a place in the row is not held for ever."""
IDLE_S = 5.0
"""A sender that makes a request for each object writes on where it stopped, if it comes back within this time."""
FAILURES_LIMIT = 1_000
"""More objects than these that cannot be kept are no upload but a mistake."""
_TAKEN = frozenset({"application/dicom", "application/octet-stream", ""})

_LATE = "The body did not arrive in time."

_log = structlog.get_logger(__name__)
MakeGate = Callable[[], SessionGate]


@dataclass(slots=True, eq=False)
class _Lane:
    arrivals: Arrivals
    used_s: float = 0.0
    is_open: bool = False


@dataclass(slots=True)
class _Noting:
    """A gate that notes what passes it."""

    gate: SessionGate
    note: InstanceNote | None = None
    study: str = ""

    def check(self, note: InstanceNote) -> None:
        self.note = note
        self.gate.check(note)

    def enter(self, study: StudyEntry) -> None:
        self.study = study.id
        self.gate.enter(study)


@dataclass(slots=True)
class Upload:
    """What became of one request. `results` are in the order of the objects; None is not known yet."""

    results: list[InstanceNote | Failure | None] = field(default_factory=list)
    imported: Counter[str] = field(default_factory=Counter)
    """By study, what is new."""
    conflicts: Counter[str] = field(default_factory=Counter)
    failures: int = 0

    def entries(self, who: str) -> list[Entry]:
        """For the audit."""
        taken = [imported(who, study, count) for study, count in self.imported.items()]
        return taken + [refused(who, study, count) for study, count in self.conflicts.items()]

    @property
    def stored(self) -> Stored:
        return Stored(
            [each for each in self.results if isinstance(each, InstanceNote)],
            [each for each in self.results if isinstance(each, Failure)],
        )


class Uploads:
    """For one event loop."""

    def __init__(self, archive: Archive, now_s: Callable[[], float] = time.monotonic) -> None:
        self.door = Arrivals(archive)
        """Where objects begin."""
        self.now_s = now_s
        self._threads = Threads("uploads", LANES)
        # The one that was used last comes first, so that few streams are open for a single sender.
        self._lanes: asyncio.LifoQueue[_Lane] = asyncio.LifoQueue()
        for _ in range(LANES):
            self._lanes.put_nowait(_Lane(Arrivals(archive)))
        self._running: Counter[str] = Counter()
        """By sender."""

    async def take(self, request: web.Request, who: str, make_gate: MakeGate, upload: Upload) -> None:
        """Everything that the request brings. `upload` says what became of it, also when it breaks off.

        Raises ProtocolError for a body that is not as it should be, LimitExceeded, ConnectionError.
        """
        if self._running.total() >= UPLOADS_LIMIT or self._running[who] >= SHARE:
            raise LimitExceeded("Too many uploads are running just now; try again in a moment.")
        self._running[who] += 1
        receiving = _Receiving(self, make_gate, upload)
        try:
            try:
                await receiving.run(request)
            finally:
                await receiving.settle()
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]

    async def keep_one(self, arriving: Arriving, gate: SessionGate) -> Upload:
        """What became of an object that came in by another way."""
        upload = Upload([None])
        await self.keep(arriving, _Noting(gate), upload, 0)
        return upload

    async def keep(self, arriving: Arriving, gate: _Noting, upload: Upload, place: int) -> None:
        """Keeps one object and notes what became of it."""
        lane = await self._lanes.get()
        try:
            lane.is_open = True
            kept = await self._threads.run(lambda: lane.arrivals.keep(arriving, gate))
            upload.results[place] = kept.note
            if kept.is_new:
                upload.imported[kept.study] += 1
        except Exception as error:
            _fail(upload, place, error, gate)
        finally:
            arriving.close()
            lane.used_s = self.now_s()
            self._lanes.put_nowait(lane)

    async def let_idle_go(self) -> None:
        """To be called now and then: closes what nobody writes to any more."""
        lanes = [self._lanes.get_nowait() for _ in range(self._lanes.qsize())]
        idle = [lane for lane in lanes if lane.is_open and self.now_s() - lane.used_s >= IDLE_S]
        for lane in reversed(lanes):
            if lane not in idle:
                self._lanes.put_nowait(lane)
        try:
            for lane in idle:
                await self._threads.run(lane.arrivals.close)
                lane.is_open = False
        finally:
            for lane in idle:
                self._lanes.put_nowait(lane)

    async def close(self) -> None:
        """What is being kept is waited for."""
        await asyncio.to_thread(self._threads.close)
        while not self._lanes.empty():
            await asyncio.to_thread(self._lanes.get_nowait().arrivals.close)


class _Receiving:
    """One request's body."""

    def __init__(self, uploads: Uploads, make_gate: MakeGate, upload: Upload) -> None:
        self._uploads = uploads
        self._make_gate = make_gate
        self._upload = upload
        self._keeping: set[asyncio.Task[None]] = set()
        self._arriving: Arriving | None = None

    async def run(self, request: web.Request) -> None:
        body = _body_of(request.headers.get("Content-Type", ""))
        pace = _Pace(request, self._uploads.now_s)
        while chunk := await pace.next():
            for event in body.feed(chunk):
                await self._take(event)
            if self._upload.failures > FAILURES_LIMIT:
                raise ProtocolError("Hardly anything of what was sent is DICOM.")
        body.finish()
        if isinstance(body, _Single):
            await self._take(PartEnds())

    async def settle(self) -> None:
        """Lets the object go that is not whole, and waits for those that are."""
        if self._arriving is not None:
            self._arriving.close()
            self._arriving = None
        while self._keeping:
            await asyncio.wait(self._keeping)

    async def _take(self, event: Event) -> None:
        if isinstance(event, PartBegins):
            self._upload.results.append(None)
            self._begin(event)
        elif isinstance(event, PartEnds):
            if self._arriving is not None:
                await self._keep(self._arriving)
        elif self._arriving is not None:
            try:
                self._arriving.write(event)
            except BridgeError as error:
                self._drop(error)

    def _begin(self, part: PartBegins) -> None:
        try:
            if part.media_type not in _TAKEN:
                raise DicomError("Only application/dicom is taken.", "wrongType")
            self._arriving = self._uploads.door.begin()
        except BridgeError as error:
            self._drop(error)

    def _drop(self, error: BridgeError) -> None:
        """What is still to come of this object is not looked at."""
        if self._arriving is not None:
            self._arriving.close()
            self._arriving = None
        _fail(self._upload, len(self._upload.results) - 1, error, None)

    async def _keep(self, arriving: Arriving) -> None:
        while len(self._keeping) >= KEEPING_LIMIT:
            await asyncio.wait(self._keeping, return_when=asyncio.FIRST_COMPLETED)
        self._arriving = None
        place = len(self._upload.results) - 1
        keeping = self._uploads.keep(arriving, _Noting(self._make_gate()), self._upload, place)
        task = asyncio.create_task(keeping)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)


class _Single:
    """A body that is one object."""

    def __init__(self) -> None:
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            yield PartBegins({"content-type": "application/dicom"})
        yield memoryview(data)

    def finish(self) -> None:
        if not self._begun:
            raise ProtocolError("The request's body is empty.")


def _body_of(content_type: str) -> MultipartParser | _Single:
    """Raises ProtocolError (`wrongType`) for what is not taken."""
    if media_type(content_type)[0] == "application/dicom":
        return _Single()
    parser = MultipartParser(content_type)
    if parser.type not in _TAKEN:
        raise ProtocolError("Objects are taken as application/dicom only.", "wrongType")
    return parser


class _Pace:
    """A body as it comes, if it comes at all. Only waiting for the sender counts, not what we take to keep things."""

    def __init__(self, request: web.Request, now_s: Callable[[], float]) -> None:
        self._content = request.content
        self._now_s = now_s
        self._waited_s = 0.0
        self._came_bytes = 0

    async def next(self) -> bytes:
        """Raises ProtocolError (`joinTimeout`) for a body that stands still, or as good as that."""
        began_s = self._now_s()
        try:
            async with asyncio.timeout(STALLED_S):
                chunk = await self._content.readany()
        except TimeoutError:
            raise ProtocolError(_LATE, "joinTimeout") from None
        except (web.PayloadAccessError, ValueError):
            raise ProtocolError("The request's body is cut off.") from None
        self._waited_s += self._now_s() - began_s
        self._came_bytes += len(chunk)
        if self._waited_s >= STALLED_S:
            if self._came_bytes < SLOWEST_BYTES and chunk:
                raise ProtocolError(_LATE, "joinTimeout")
            self._waited_s, self._came_bytes = 0.0, 0
        return chunk


def _fail(upload: Upload, place: int, error: Exception, gate: _Noting | None) -> None:
    if not isinstance(error, BridgeError):
        _log.error("object not kept", error=type(error).__name__)
        public = public_error(error)
        error = BridgeError(public.text, public.code)
    if isinstance(error, Conflict):
        upload.conflicts[gate.study if gate is not None else ""] += 1
    upload.results[place] = Failure.of(error, gate.note if gate is not None else None)
    upload.failures += 1
