"""Recordings over HTTP (`docs/protocol.md`): who asks, what is asked, what is answered. A table of small handlers.

Everything passes `_admitted`, which proves the right and has the audit written before anything is shown. What is stored
and how is the library's business; errors are raised, and `bridge.guard` puts them on the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from bridge.audit import Entry, Event, Outcome
from bridge.auth import Auth, ReplayGrant, ReplayRefused
from bridge.download import send_export
from bridge.errors import LimitExceeded, NotFound, ProtocolError
from bridge.exchange import bearer, encode, encoded_answer, json_answer, read_body, whole_number
from bridge.ids import RecordingId, RecordingState, SessionId
from bridge.recordings import views
from bridge.recordings.accesses import Look
from bridge.recordings.export import Format, Report, Sink, export
from bridge.recordings.index import RecordingReader, TrackIndex
from bridge.recordings.layout import ref_of
from bridge.recordings.library import Library
from bridge.recordings.readers import FRESH_S
from bridge.store import RecordingRecord, SessionRecord, Store

_ID = "[a-z0-9]{1,32}"
_RECORDING = f"/api/recordings/{{recording:{_ID}}}"
_TRACK = f"{_RECORDING}/tracks/{{track:[0-9]{{1,8}}}}"
LIST_LIMIT = 500
FRAMES_LIMIT = 600
"""Parts whose frames are told at once: ten minutes."""

_Ms = Annotated[int, Meta(ge=0, le=2**40)]
_Text = Annotated[str, Meta(max_length=1000)]


class _NewMark(Struct, rename="camel"):
    at_ms: _Ms
    until_ms: _Ms | None = None
    text: _Text = ""


class _NewClip(Struct, rename="camel"):
    begin_ms: _Ms
    end_ms: _Ms
    title: _Text = ""


class _Hold(Struct):
    hold: bool


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A recording, and who may replay it."""

    grant: ReplayGrant
    row: RecordingRecord

    @property
    def on(self) -> str:
        return str(ref_of(self.row.id))


class Replay:
    """The handlers; `add_routes` is the table."""

    def __init__(self, auth: Auth, store: Store, library: Library) -> None:
        self._auth = auth
        self._store = store
        self._library = library

    def add_routes(self, app: web.Application) -> None:
        table: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
            ("GET", "/api/recordings", self.list_recordings),
            ("GET", _RECORDING, self.get_recording),
            ("DELETE", _RECORDING, self.shred_recording),
            ("GET", f"{_RECORDING}/changes", self.get_changes),
            ("GET", f"{_TRACK}/parts", self.list_parts),
            ("GET", f"{_TRACK}/parts/{{part:[0-9]{{1,10}}}}", self.get_part),
            ("GET", f"{_TRACK}/frames", self.get_frames),
            ("POST", f"{_RECORDING}/marks", self.add_mark),
            ("DELETE", f"{_RECORDING}/marks/{{mark:{_ID}}}", self.remove_mark),
            ("POST", f"{_RECORDING}/clips", self.cut_clip),
            ("GET", f"{_RECORDING}/export", self.export_recording),
            ("POST", f"{_RECORDING}/hold", self.hold_recording),
        )
        for method, path, handler in table:
            app.router.add_route(method, path, handler)

    # --- what there is ---------------------------------------------------------------------------------------------

    async def list_recordings(self, request: web.Request) -> web.Response:
        grant = await self._auth.replay(bearer(request))
        session = SessionId(request.query["session"]) if "session" in request.query else None
        known = await self._store.get_session(session) if session is not None else None
        on = f"session/{known.id}" if known is not None else "session/all"
        await self._require(grant, session, on)
        await self._library.record(Entry(Event.QUERIED, grant.who, on))
        rows = await self._store.list_recordings(session, limit=LIST_LIMIT)
        sessions = await self._store.get_sessions({row.session for row in rows})
        return json_answer({"recordings": [await self._recorded(row, sessions[row.session]) for row in rows]})

    async def get_recording(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request)
        await self._library.record(Entry(Event.OBJECT_ACCESSED, asked.grant.who, asked.on))
        return await self._whole(asked, lambda reader: reader.events())

    async def get_changes(self, request: web.Request) -> web.Response:
        first = whole_number(request, "events", 0)
        asked = await self._admitted(request)
        await self._library.accesses.note(Look(asked.grant.who, asked.on))
        return await self._whole(asked, lambda reader: reader.events_as_written(first))

    async def list_parts(self, request: web.Request) -> web.Response:
        after = whole_number(request, "after", -1, least=-1)
        asked = await self._admitted(request)
        await self._library.accesses.note(Look(asked.grant.who, asked.on))
        reader = await self._library.readers.fresh(asked.row.id)
        track = _track(reader, request)

        def listed() -> dict[str, Any]:
            parts = [views.part_row(entry) for entry in track.parts if entry.number > after]
            return {"parts": parts, "findings": views.findings(track.findings())}

        return await self._told(listed)

    async def get_part(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request)
        number = int(request.match_info["part"])
        stream = int(request.match_info["track"])
        look = Look(asked.grant.who, asked.on, "parts", track=stream)
        reader = await self._library.readers.get(asked.row.id)
        track = reader.track(stream)
        if track is None or (track.live and track.entry(number) is None):
            reader = await self._library.readers.fresh(asked.row.id)
            track = _track(reader, request)
        await self._library.accesses.note(look, number)
        found = track
        body = await self._library.readers.run(lambda: found.read(number))
        return web.Response(
            body=body,
            content_type="application/octet-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def get_frames(self, request: web.Request) -> web.Response:
        first, last = whole_number(request, "from"), whole_number(request, "to")
        if not first <= last < first + FRAMES_LIMIT:
            raise LimitExceeded(f"Frames are told of 1 to {FRAMES_LIMIT} parts at once.", "tooLarge")
        asked = await self._admitted(request)
        await self._library.accesses.note(Look(asked.grant.who, asked.on))
        track = _track(await self._library.readers.fresh(asked.row.id), request)

        def stepped() -> dict[str, Any]:
            notes = [entry.note for number in range(first, last + 1) if (entry := track.entry(number))]
            starts = [start_us for note in notes for start_us in views.frame_starts(note)]
            end_us = max((note.start_us + note.duration_us for note in notes), default=0)
            return {"frames": starts, "endUs": end_us}

        return await self._told(stepped)

    # --- what can be done ------------------------------------------------------------------------------------------

    async def add_mark(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request)
        wish = await read_body(request, _NewMark)
        grant = asked.grant
        mark = await self._library.add_mark(
            asked.row, grant.who, grant.point, wish.at_ms, wish.until_ms, wish.text
        )
        return json_answer({"mark": mark}, 201)

    async def remove_mark(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request)
        await self._library.remove_mark(asked.row, asked.grant.who, request.match_info["mark"])
        return web.Response(status=204)

    async def cut_clip(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request)
        wish = await read_body(request, _NewClip)
        clip = await self._library.cut(asked.row, asked.grant.who, wish.begin_ms, wish.end_ms, wish.title)
        session = await self._store.get_session(clip.session)
        return json_answer({"recording": await self._recorded(clip, session)}, 201)

    async def export_recording(self, request: web.Request) -> web.StreamResponse:
        try:
            format = Format(request.query.get("format", ""))
        except ValueError:
            raise ProtocolError(f"The query needs a format: {', '.join(Format)}.") from None
        track = whole_number(request, "track", -1)
        asked = await self._admitted(request)
        reader = await self._library.readers.fresh(asked.row.id)
        if track >= 0 and reader.track(track) is None:
            raise NotFound("The recording has no such track.")
        detail: dict[str, int | str] = {"format": format.value} | ({"track": track} if track >= 0 else {})

        def note(outcome: Outcome, **more: int) -> Entry:
            return Entry(Event.OBJECT_EXPORTED, asked.grant.who, asked.on, outcome, detail | more)

        check = self._library.check_on(asked.row.id)

        def write(sink: Sink, wanted: Callable[[], None]) -> Report:
            def go_on(*_progress: int) -> None:
                wanted()
                check()

            chosen = track if track >= 0 else None
            report = export(reader, format, sink, track=chosen, progress=go_on)
            # The last parts may be gone since it was called.
            go_on()
            return report

        async def still_there() -> None:
            # Another process may have shredded it: what was gone was only left out then.
            await self._library.recording(asked.row.id)

        await self._library.record(note(Outcome.BEGUN))
        name = f"recording-{asked.row.id}"
        try:
            sent = await send_export(request, self._library, format, name, write, still_there)
        except BaseException:
            await self._library.record(note(Outcome.FAILED))
            raise
        report = sent.told
        await self._library.record(note(Outcome.DONE, sizeBytes=sent.size_bytes, **report.losses.counted()))
        return sent.response

    async def hold_recording(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request, staff=True)
        wish = await read_body(request, _Hold)
        await self._library.hold(asked.row, asked.grant.who, wish.hold)
        return web.Response(status=204)

    async def shred_recording(self, request: web.Request) -> web.Response:
        asked = await self._admitted(request, staff=True)
        await self._library.shred(asked.row.id, asked.grant.who)
        return web.Response(status=204)

    # --- who may ---------------------------------------------------------------------------------------------------

    async def _admitted(self, request: web.Request, *, staff: bool = False) -> _Admitted:
        """The recording of the path, if the token opens it. Raises NotAuthorised, NotFound, AuditError."""
        grant = await self._auth.replay(bearer(request))
        try:
            recording = RecordingId(request.match_info["recording"])
            on = str(ref_of(recording))
        except ValueError:
            raise NotFound("There is no such recording.") from None
        row = await self._store.get_recording(recording)
        await self._require(grant, None if staff else row.session, on)
        return _Admitted(grant, await self._library.recording(recording))

    async def _require(self, grant: ReplayGrant, session: SessionId | None, on: str) -> None:
        """`session` None is for the staff only. A refusal is in the audit before it is told."""
        try:
            grant.require(session)
        except ReplayRefused as refused:
            await self._library.accesses.note(Look(refused.who, on, "refusals", refused=True))
            raise

    # --- what is shown ---------------------------------------------------------------------------------------------

    async def _whole(
        self, asked: _Admitted, events: Callable[[RecordingReader], list[dict[str, Any]]]
    ) -> web.Response:
        row = asked.row
        # What is said to be over is shown with its end: nobody asks again.
        within_s = FRESH_S if row.state is RecordingState.RUNNING else 0.0
        reader = await self._library.readers.fresh(row.id, within_s=within_s)
        session = await self._store.get_session(row.session)
        started = await self._library.started(row)

        def shown() -> dict[str, Any]:
            recorded = views.recorded(row, session, started, reader.end_ms, reader.size_bytes)
            return {"recording": recorded, **views.whole(reader, events(reader))}

        return await self._told(shown)

    async def _told(self, content: Callable[[], dict[str, Any]]) -> web.Response:
        """An answer whose content is put together and encoded beside the event loop: hours of recording are long."""
        return encoded_answer(await self._library.readers.run(lambda: encode(content())))

    async def _recorded(self, row: RecordingRecord, session: SessionRecord) -> dict[str, Any]:
        started = await self._library.started(row)
        begin_ms = started.begin_ms if started is not None else 0
        end_ms = self._library.end_ms(row, begin_ms)
        size_bytes = 0 if row.state is RecordingState.SHREDDED else row.size_bytes
        return views.recorded(row, session, started, end_ms, size_bytes)


def _track(reader: RecordingReader, request: web.Request) -> TrackIndex:
    track = reader.track(int(request.match_info["track"]))
    if track is None:
        raise NotFound("The recording has no such track.")
    return track
