"""Retrieve for thin links: one frame of a study that was admitted, as a codestream that sharpens as it comes.

For threads; it knows neither who asks nor HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from bridge.errors import BridgeError, LimitExceeded
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.accepting import ANY, Range
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf
from bridge.imaging.dicomweb.wado import Piece, Target, selected
from bridge.imaging.frames import Cut, Frames, Outline, Wish
from bridge.imaging.pixels.format import HTJ2K_LOSSLESS_RPCL
from bridge.imaging.study import Instance
from bridge.imaging.workers import WorkerLost

TYPE = "image/jphc"
PREVIEW_LEVEL = 2
"""Where none is said."""
PREVIEWS_LIMIT = 100
"""Of one request."""
PREVIEWS_WITHIN_S = 20.0
"""So long previews that have to be made first keep a thread; the rest is asked for again."""
CONTENT_TYPE = f"{TYPE}; transfer-syntax={HTJ2K_LOSSLESS_RPCL}"


def is_wanted(ranges: Sequence[Range], count: int) -> bool:
    """Whether a single frame in this form is what a client wants most."""
    return count == 1 and bool(ranges) and _names_it(ranges[0])


def without(ranges: Sequence[Range]) -> list[Range]:
    """What a client takes besides it."""
    return [each for each in ranges if not _names_it(each)]


def _names_it(each: Range) -> bool:
    return each.type == TYPE and each.transfer_syntax == HTJ2K_LOSSLESS_RPCL and not each.multipart


def takes_previews(ranges: Sequence[Range]) -> bool:
    """Whether a client takes many of them in one answer."""
    return any(
        each.type == ANY
        or (each.multipart and each.type == TYPE and each.transfer_syntax in (HTJ2K_LOSSLESS_RPCL, "*"))
        for each in ranges
    )


def content_range(start: int, length: int, size_bytes: int) -> str:
    """Which bytes of the whole these are (RFC 9110 14.4)."""
    return f"bytes {start}-{start + length - 1}/{size_bytes}"


class Sharpener:
    """For threads."""

    def __init__(self, shelf: Shelf, frames: Frames, now_s: Callable[[], float] = time.monotonic) -> None:
        self._shelf = shelf
        self._frames = frames
        self._now_s = now_s

    def ready(self, entry: StudyEntry, target: Target, number: int, wish: Wish) -> Cut | None:
        """A piece of a frame, by its number from 1 on, if it was made before. Raises NotFound, Refused, VaultError, and
        what the wish raises."""
        with self._shelf.study(entry.id) as opened:
            return self._frames.ready(opened, selected(opened, target)[0], number - 1, wish)

    def made(self, entry: StudyEntry, target: Target, number: int, wish: Wish) -> Cut:
        """As `ready`, but made now if it was not. Raises DicomError, LimitExceeded too."""
        with self._shelf.study(entry.id) as opened:
            return self._frames.get(opened, selected(opened, target)[0], number - 1, wish)

    def are_ready(self, entry: StudyEntry, series: str, instances: Sequence[str]) -> bool:
        """Whether nothing has to be made for these previews. Raises NotFound, VaultError."""
        with self._shelf.study(entry.id) as opened:
            return self._frames.are_known(opened, _in_series(opened, series, instances))

    def previews(
        self, entry: StudyEntry, series: str, instances: Sequence[str], level: int
    ) -> Iterator[Piece]:
        """The first frame of each of these instances at a level, in their order.

        Those that are not given so, or fail, are left out: who asks for them alone is told why. So are all that are
        left where workers are short or lost, or it takes too long. Raises NotFound before the first.
        """

        def wish(outline: Outline) -> tuple[int, int]:
            return 0, outline.prefix_bytes(level)

        end_s = self._now_s() + PREVIEWS_WITHIN_S
        with self._shelf.study(entry.id) as opened:
            for instance in _in_series(opened, series, instances):
                try:
                    cut = self._frames.ready(opened, instance, 0, wish)
                    if cut is None:
                        if self._now_s() >= end_s:
                            continue
                        cut = self._frames.get(opened, instance, 0, wish)
                except (WorkerLost, LimitExceeded):
                    end_s = self._now_s()  # What is made already is given even so.
                    continue
                except BridgeError:
                    continue
                span = content_range(0, len(cut.data), cut.outline.size_bytes)
                location = f"instances/{instance.note.sop_instance}/frames/1"
                yield Piece(CONTENT_TYPE, (cut.data,), len(cut.data), location, span)


def _in_series(opened: OpenStudy, series: str, instances: Sequence[str]) -> list[Instance]:
    return [selected(opened, Target(series, each))[0] for each in instances]
