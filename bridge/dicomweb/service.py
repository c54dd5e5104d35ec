"""DICOMweb's handlers: who asks, what is asked for, which answer. A table of small handlers.

Everything passes `Access`, which proves the right and has the audit written before anything is shown. What is read and
how is `bridge.imaging`'s business; errors are raised, and `bridge.guard` puts them on the wire.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from aiohttp import web

from bridge.dicomweb.imaging import Imaging
from bridge.dicomweb.ranges import PartWish
from bridge.dicomweb.sending import send_json, send_pieces, send_whole
from bridge.dicomweb.thin import Thin, send_part
from bridge.dicomweb.uploads import Upload
from bridge.errors import ProtocolError
from bridge.exchange import bearer
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.accepting import (
    ANY,
    OCTETS,
    FrameChoice,
    Range,
    not_acceptable,
    object_choice,
    ranges_of,
    rendered_choice,
    require_json,
)
from bridge.imaging.dicomweb.matching import query_of
from bridge.imaging.dicomweb.qido import Finder, Found
from bridge.imaging.dicomweb.sharpening import is_wanted, without
from bridge.imaging.dicomweb.wado import FRAMES_LIMIT, METADATA_TYPE, Piece, Target, whole
from bridge.imaging.frames import Refused
from bridge.imaging.pixels.rendering import (
    DEFAULT_QUALITY,
    Rendering,
    parse_viewport,
    parse_window,
    thumbnail,
)

BASE = "/dicom-web"
_UID = "[0-9.]{1,64}"
_STUDIES = f"{BASE}/studies"
_STUDY = f"{_STUDIES}/{{study:{_UID}}}"
_SERIES = f"{_STUDY}/series/{{series:{_UID}}}"
_INSTANCE = f"{_SERIES}/instances/{{instance:{_UID}}}"
_FRAMES = f"{_INSTANCE}/frames/{{frames:[0-9,]{{1,120000}}}}"
_BULK = f"{_INSTANCE}/bulkdata/{{path:[0-9A-F/]{{8,200}}}}"
_PICTURES = ("image/jpeg", "image/png")
_NO_FUZZY = (
    '299 bridge "The fuzzymatching parameter is not supported. Only literal matching has been performed."'
)
_IGNORED = '299 bridge "There are search parameters that are not supported for studies; they were ignored."'
_MORE = '299 bridge "There are additional results that can be requested."'
_PREFLIGHT_S = 600
_HEADERS = "Accept, Authorization, Content-Type, If-Range, Range"
_EXPOSED = "Accept-Ranges, Content-Encoding, Content-Range, ETag, Warning"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DicomWeb:
    """The handlers; `add_routes` is the table."""

    def __init__(
        self, imaging: Imaging, base_url: Callable[[web.BaseRequest], str], allowed_origins: Iterable[str]
    ) -> None:
        self._imaging = imaging
        self._access = imaging.access
        self._thin = Thin(imaging)
        self._base_url = base_url
        self._origins = frozenset(allowed_origins)

    def add_routes(self, app: web.Application) -> None:
        table: list[tuple[str, str, Handler]] = [
            ("POST", _STUDIES, self.store),
            ("POST", _STUDY, self.store),
            ("GET", _STUDIES, self.find_studies),
            ("GET", f"{BASE}/series", self.find_series),
            ("GET", f"{BASE}/instances", self.find_instances),
            ("GET", f"{_STUDY}/series", self.find_series),
            ("GET", f"{_STUDY}/instances", self.find_instances),
            ("GET", f"{_SERIES}/instances", self.find_instances),
            ("GET", _FRAMES, self.get_frames),
            ("GET", f"{_SERIES}/previews", self.get_previews),
            ("GET", f"{_FRAMES}/rendered", self.get_rendered),
            ("GET", f"{_FRAMES}/thumbnail", self.get_thumbnail),
            ("GET", _BULK, self.get_bulk),
            ("OPTIONS", f"{BASE}/{{rest:.*}}", self.preflight),
        ]
        for level in (_STUDY, _SERIES, _INSTANCE):
            table += [
                ("GET", level, self.get_objects),
                ("GET", f"{level}/metadata", self.get_metadata),
                ("GET", f"{level}/rendered", self.get_rendered),
                ("GET", f"{level}/thumbnail", self.get_thumbnail),
            ]
        table.append(("*", f"{BASE}/{{rest:.*}}", self.nothing))
        for method, path, handler in table:
            app.router.add_route(method, path, handler)
        app.on_response_prepare.append(self._share)

    # --- store -----------------------------------------------------------------------------------------------------

    async def store(self, request: web.Request) -> web.StreamResponse:
        visitor = await self._access.sender(bearer(request))
        require_json(_accepted(request))
        study = request.match_info.get("study", "")
        await self._imaging.ledger.settle()
        upload = Upload()
        try:
            gate = functools.partial(self._access.gate, visitor, study)
            await self._imaging.uploads.take(request, visitor.who, gate, upload)
        finally:
            # What is kept is kept, so it is in the audit too if the rest never came.
            await self._imaging.ledger.record(*upload.entries(visitor.who))
        stored = upload.stored
        if not upload.results:
            raise ProtocolError("Nothing was sent.")
        base = self._base(request)
        body = await self._imaging.reading.run(lambda: msgspec.json.encode(stored.told(base, study)))
        headers = {"Content-Type": METADATA_TYPE}
        if stored.status == 503:
            headers["Retry-After"] = "10"
        return await send_whole(request, body, headers, stored.status)

    # --- search ----------------------------------------------------------------------------------------------------

    async def find_studies(self, request: web.Request) -> web.StreamResponse:
        return await self._find(request, lambda finder, entries: finder.studies(entries))

    async def find_series(self, request: web.Request) -> web.StreamResponse:
        is_all = "study" not in request.match_info
        return await self._find(request, lambda finder, entries: finder.series(entries, with_study=is_all))

    async def find_instances(self, request: web.Request) -> web.StreamResponse:
        is_all = "study" not in request.match_info
        of_series = "series" in request.match_info
        return await self._find(
            request,
            lambda finder, entries: finder.instances(entries, with_study=is_all, with_series=not of_series),
        )

    async def _find(
        self, request: web.Request, find: Callable[[Finder, list[StudyEntry]], Found]
    ) -> web.StreamResponse:
        visitor = await self._access.visitor(bearer(request))
        require_json(_accepted(request))
        named = [("SeriesInstanceUID", uid)] if (uid := request.match_info.get("series")) else []
        query = query_of([*request.query.items(), *named])
        study = request.match_info.get("study")
        known: list[StudyEntry] | None = None
        if study is not None:
            known = [await self._access.study(visitor, study)]
        else:
            await self._access.note_query(visitor)
        finder = Finder(self._imaging.shelf, query, self._base(request))

        def work() -> tuple[bytes, Found]:
            found = find(finder, known if known is not None else self._access.visible(visitor))
            return gzip.compress(msgspec.json.encode(found.rows), 6, mtime=0), found

        body, found = await self._imaging.reading.run(work)
        said = ((query.fuzzy, _NO_FUZZY), (found.ignored, _IGNORED), (found.more, _MORE))
        warnings = [warning for is_so, warning in said if is_so]
        return await send_json(request, self._imaging.reading, iter([body]), METADATA_TYPE, warnings)

    # --- retrieve --------------------------------------------------------------------------------------------------

    async def get_objects(self, request: web.Request) -> web.StreamResponse:
        syntaxes, multipart = object_choice(_accepted(request))
        entry, target = await self._admitted(request, "objects")
        if not multipart and not target.instance:
            raise not_acceptable()
        imaging = self._imaging
        threads = imaging.reading if "*" in syntaxes else imaging.decoding
        pieces = imaging.retriever.files(entry, target, syntaxes)
        return await send_pieces(request, threads, pieces, "application/dicom", multipart=multipart)

    async def get_metadata(self, request: web.Request) -> web.StreamResponse:
        require_json(_accepted(request))
        entry, target = await self._admitted(request, "metadata")
        wanted = _fields(request)
        told = self._imaging.retriever.metadata(entry, target, self._base(request), wanted)
        return await send_json(request, self._imaging.reading, told, METADATA_TYPE)

    async def get_frames(self, request: web.Request) -> web.StreamResponse:
        entry, target = await self._admitted(request, "frames")
        numbers = _frames(request)
        imaging = self._imaging
        ranges = _accepted(request)
        wish = PartWish.of(request)
        if is_wanted(ranges, len(numbers)):
            try:
                return await self._thin.send_frame(request, entry, target, numbers[0], wish)
            except Refused as error:
                if wish.level is not None or not error.is_stored_so:
                    ranges = without(ranges)

        def work() -> tuple[FrameChoice, tuple[bytes, str] | None]:
            choice, frame = imaging.retriever.choose_frames(entry, target, numbers, ranges)
            if frame is None:
                return choice, None
            piece = Piece(choice.content_type, (frame,), len(frame))
            return choice, whole(piece, multipart=choice.multipart)

        choice, answer = await imaging.reading.run(work)
        if answer is not None:
            body, content_type = answer
            headers = {"Content-Type": content_type}
            return await send_part(request, body, headers, None if choice.multipart else wish)
        threads = imaging.decoding if choice.target else imaging.reading
        pieces = imaging.retriever.frames(entry, target, numbers, choice)
        return await send_pieces(request, threads, pieces, choice.type, multipart=choice.multipart)

    async def get_previews(self, request: web.Request) -> web.StreamResponse:
        entry, target = await self._admitted(request, "frames")
        return await self._thin.send_previews(request, entry, target.series, _accepted(request))

    async def get_rendered(self, request: web.Request) -> web.StreamResponse:
        entry, target = await self._admitted(request, "frames")
        ranges = _accepted(request)
        numbers = _frames(request) if "frames" in request.match_info else None
        imaging = self._imaging
        if target.instance and numbers is None and _wants_video(ranges):
            made = await imaging.decoding.run(lambda: imaging.retriever.video(entry, target))
            return await send_whole(request, made, {"Content-Type": "video/mp4"})
        type = rendered_choice(ranges, _PICTURES)
        pieces = imaging.retriever.rendered(entry, target, numbers, _rendering(request, type))
        is_one = target.instance != "" and (numbers is None or len(numbers) == 1)
        return await send_pieces(request, imaging.decoding, pieces, type, multipart=not is_one)

    async def get_thumbnail(self, request: web.Request) -> web.StreamResponse:
        entry, target = await self._admitted(request, "frames")
        type = rendered_choice(_accepted(request), _PICTURES)
        said = request.query.get("viewport")
        wanted = msgspec.structs.replace(thumbnail(), media_type=type)
        if said is not None:
            wanted = msgspec.structs.replace(wanted, viewport=parse_viewport(said))
        number = _frames(request)[0] if "frames" in request.match_info else None
        imaging = self._imaging
        made = await imaging.decoding.run(lambda: imaging.retriever.thumbnail(entry, target, number, wanted))
        return await send_whole(request, made, {"Content-Type": type})

    async def get_bulk(self, request: web.Request) -> web.StreamResponse:
        entry, target = await self._admitted(request, "values")
        path = request.match_info["path"]
        imaging = self._imaging
        shape = await imaging.reading.run(lambda: imaging.retriever.bulk_shape(entry, target, path))
        family = shape.type.partition("/")[0] + "/*"
        taken = [each for each in _accepted(request) if each.type in (ANY, OCTETS, shape.type, family)]
        if shape.parts != 1:
            taken = [each for each in taken if each.multipart or each.type == ANY]
        if not taken:
            raise not_acceptable()
        pieces = imaging.retriever.bulk(entry, target, path)
        multipart = shape.parts != 1 or taken[0].multipart
        return await send_pieces(request, imaging.decoding, pieces, shape.type, multipart=multipart)

    # --- other sites -----------------------------------------------------------------------------------------------

    async def preflight(self, request: web.Request) -> web.Response:
        """What a browser asks before a page of another site may ask (the Fetch standard, "CORS protocol")."""
        headers = {"Allow": "GET, POST, OPTIONS"}
        if request.headers.get("Origin", "").lower() in self._origins:
            headers |= {
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": _HEADERS,
                "Access-Control-Max-Age": str(_PREFLIGHT_S),
            }
        return web.Response(status=204, headers=headers)

    async def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        if not request.path.startswith(f"{BASE}/"):
            return
        origin = request.headers.get("Origin", "")
        if origin and origin.lower() in self._origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
            response.headers.add("Vary", "Origin")

    async def nothing(self, _request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    # --- what all need ---------------------------------------------------------------------------------------------

    async def _admitted(self, request: web.Request, unit: str) -> tuple[StudyEntry, Target]:
        """The study of the path, if the token opens it. Raises NotAuthorised, NotFound, AuditError."""
        visitor = await self._access.visitor(bearer(request))
        where = request.match_info
        entry = await self._access.study(visitor, where["study"], unit)
        return entry, Target(where.get("series", ""), where.get("instance", ""))

    def _base(self, request: web.Request) -> str:
        return self._base_url(request) + BASE


def _accepted(request: web.Request) -> list[Range]:
    """What the query says counts before the header (PS3.18 8.3.3.1)."""
    if "accept" in request.query:
        return ranges_of(request.query.getall("accept"))
    return ranges_of(request.headers.getall("Accept", ()))


def _frames(request: web.Request) -> list[int]:
    numbers = [int(each) if 0 < len(each) < 9 else 0 for each in request.match_info["frames"].split(",")]
    if not all(numbers) or len(numbers) > FRAMES_LIMIT:
        raise ProtocolError("Frames are a list of numbers from 1 on, with commas between them.")
    return numbers


def _fields(request: web.Request) -> frozenset[str] | None:
    """The attributes that metadata are to tell; None for all. Raises ProtocolError."""
    query = query_of(("includefield", each) for each in request.query.getall("includefield", ()))
    return None if query.everything or not query.include else query.include


def _rendering(request: web.Request, type: str) -> Rendering:
    asked = request.query
    quality = asked.get("quality", str(DEFAULT_QUALITY))
    if not (quality.isascii() and quality.isdigit() and len(quality) < 4):
        raise ProtocolError("The quality is a number from 1 to 100.")
    return Rendering(
        media_type="image/png" if type == "image/png" else "image/jpeg",
        window=parse_window(asked["window"]) if "window" in asked else None,
        viewport=parse_viewport(asked["viewport"]) if "viewport" in asked else None,
        quality=int(quality),
    )


def _wants_video(ranges: list[Range]) -> bool:
    """Whether a video is wanted more than a picture."""
    first = ranges[0].type if ranges else ""
    return first in ("video/mp4", "video/*")
