"""Answers for thin lines: a frame in pieces that sharpen, small pictures of many objects at once, any range of bytes.

Who asks was admitted before. How frames are made and kept is `bridge.imaging.frames`' business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from bridge.dicomweb.imaging import Imaging
from bridge.dicomweb.ranges import PartWish, Unsatisfiable, etag, level_of
from bridge.dicomweb.sending import send_pieces, send_whole
from bridge.errors import ProtocolError
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.accepting import Range, not_acceptable
from bridge.imaging.dicomweb.sharpening import (
    CONTENT_TYPE,
    PREVIEW_LEVEL,
    PREVIEWS_LIMIT,
    TYPE,
    content_range,
    takes_previews,
)
from bridge.imaging.dicomweb.wado import Target

_UID = re.compile(r"[0-9.]{1,64}")


class Thin:
    """For one event loop."""

    def __init__(self, imaging: Imaging) -> None:
        self._imaging = imaging

    async def send_frame(
        self, request: web.Request, entry: StudyEntry, target: Target, number: int, wish: PartWish
    ) -> web.StreamResponse:
        """Raises Refused before anything is sent."""
        imaging, sharpener = self._imaging, self._imaging.sharpener
        try:
            cut = await imaging.reading.run(lambda: sharpener.ready(entry, target, number, wish.of_outline))
            if cut is None:
                cut = await imaging.decoding.run(
                    lambda: sharpener.made(entry, target, number, wish.of_outline)
                )
        except Unsatisfiable as error:
            return error.response()
        tag = etag(cut.outline.tag)
        headers = {"Content-Type": CONTENT_TYPE, "Accept-Ranges": "bytes", "ETag": tag}
        if not wish.is_for_part(tag):
            return await send_whole(request, cut.data, headers)
        headers["Content-Range"] = content_range(cut.start, len(cut.data), cut.outline.size_bytes)
        return await send_whole(request, cut.data, headers, 206)

    async def send_previews(
        self, request: web.Request, entry: StudyEntry, series: str, accepted: Sequence[Range]
    ) -> web.StreamResponse:
        """Of the instances that the query names."""
        instances = request.query.get("instances", "").split(",")
        if len(instances) > PREVIEWS_LIMIT or not all(_UID.fullmatch(each) for each in instances):
            raise ProtocolError(f"The instances are 1 to {PREVIEWS_LIMIT} UIDs, with commas between them.")
        said = level_of(request)
        level = PREVIEW_LEVEL if said is None else said
        if not takes_previews(accepted):
            raise not_acceptable()
        imaging, sharpener = self._imaging, self._imaging.sharpener
        are_ready = await imaging.reading.run(lambda: sharpener.are_ready(entry, series, instances))
        threads = imaging.reading if are_ready else imaging.decoding
        pieces = sharpener.previews(entry, series, instances, level)
        return await send_pieces(request, threads, pieces, TYPE, multipart=True)


async def send_part(
    request: web.Request, body: bytes, headers: dict[str, str], wish: PartWish | None
) -> web.StreamResponse:
    """Of an answer that may be had in pieces if there is a wish."""
    if wish is None:
        return await send_whole(request, body, headers)
    headers["Accept-Ranges"] = "bytes"
    try:
        cut = wish.of_bytes(len(body))
    except Unsatisfiable as error:
        return error.response()
    if cut is None:
        return await send_whole(request, body, headers)
    start, stop = cut
    headers["Content-Range"] = content_range(start, stop - start, len(body))
    return await send_whole(request, body[start:stop], headers, 206)
