"""Retrieve for thin links: one frame of a study that was admitted, as a codestream that sharpens as it comes.

For threads; it knows neither who asks nor HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.accepting import Range
from bridge.imaging.dicomweb.shelf import Shelf
from bridge.imaging.dicomweb.wado import Target, selected
from bridge.imaging.frames import Cut, Frames, Wish
from bridge.imaging.pixels.format import HTJ2K_LOSSLESS_RPCL

TYPE = "image/jphc"
CONTENT_TYPE = f"{TYPE}; transfer-syntax={HTJ2K_LOSSLESS_RPCL}"


def is_wanted(ranges: Sequence[Range], count: int) -> bool:
    """Whether a single frame in this form is what a client wants most."""
    return count == 1 and bool(ranges) and _names_it(ranges[0])


def without(ranges: Sequence[Range]) -> list[Range]:
    """What a client takes besides it."""
    return [each for each in ranges if not _names_it(each)]


def _names_it(each: Range) -> bool:
    return each.type == TYPE and each.transfer_syntax == HTJ2K_LOSSLESS_RPCL and not each.multipart


class Sharpener:
    """For threads."""

    def __init__(self, shelf: Shelf, frames: Frames) -> None:
        self._shelf = shelf
        self._frames = frames

    def ready(self, entry: StudyEntry, target: Target, number: int, wish: Wish) -> Cut | None:
        """A piece of a frame, by its number from 1 on, if it was made before. Raises NotFound, Refused, VaultError, and
        what the wish raises."""
        with self._shelf.study(entry.id) as opened:
            return self._frames.ready(opened, selected(opened, target)[0], number - 1, wish)

    def made(self, entry: StudyEntry, target: Target, number: int, wish: Wish) -> Cut:
        """As `ready`, but made now if it was not. Raises DicomError, LimitExceeded too."""
        with self._shelf.study(entry.id) as opened:
            return self._frames.get(opened, selected(opened, target)[0], number - 1, wish)
