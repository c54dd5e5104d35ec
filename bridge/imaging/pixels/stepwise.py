"""One frame as a codestream that sharpens as it comes: which frames are worth it, and how they are made. For workers.

HTJ2K without loss, resolution by resolution (`progressive`). A frame that is stored so already stays as it is.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec
import numpy as np

from bridge.imaging.layout import InstanceNote
from bridge.imaging.pixels.codestreams import read_jpeg2000
from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.format import DEFLATED, HTJ2K_LOSSLESS_RPCL, NATIVE, VIDEO, PixelFormat
from bridge.imaging.pixels.progressive import decode_preview, encode_progressive, resolution_ends

GROWTH_LIMIT = 1.5
"""Of a frame that is compressed already: what lost something before takes many times more bytes without loss."""
_ALWAYS_GROWS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55))
_EACH_UNPACKS_ALL = frozenset({DEFLATED})
"""Every frame costs inflating the whole object."""
_GREYS = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOURS = frozenset({"RGB", "YBR_FULL", "YBR_RCT", "YBR_ICT"})
"""Their meaning stays what the object says. Indices into a palette cannot be made smaller by averaging."""
_TAG_BYTES = 12
_PROVED = 2
"""The resolution that proves whose tile-parts these are."""


class Stepwise(msgspec.Struct, frozen=True, array_like=True):
    """`ends`: how many bytes each resolution takes from the beginning, the smallest one first. `tag` is another one for
    another codestream. `data` is empty where the frame as stored is it."""

    ends: tuple[int, ...]
    tag: str
    data: bytes


def may_pay(note: InstanceNote) -> bool:
    """Whether it is worth trying with the frames of this object; some are still refused when they are looked at."""
    return (
        note.frames > 0
        and note.bits_allocated in (8, 16)
        and note.transfer_syntax not in VIDEO | _ALWAYS_GROWS | _EACH_UNPACKS_ALL
        and note.photometric in (_GREYS if note.samples == 1 else _COLOURS)
    )


def stepwise(form: PixelFormat, data: bytes, index: int) -> Stepwise:
    """Makes one frame so. `data` and `index` are as for `decode_frame`.

    Raises:
        PixelError: the frame cannot be read, or not be given so (`unsupported`).
    """
    if form.transfer_syntax == HTJ2K_LOSSLESS_RPCL:
        return Stepwise(_stored_ends(form, data), _tag(data), b"")
    if form.photometric not in _GREYS | _COLOURS or form.bits_allocated not in (8, 16):
        raise PixelError("This picture's values do not become a smaller picture.", "unsupported")
    if form.signed and (form.bits_stored <= 8 or form.samples > 1):
        # Decoders in browsers take bytes for unsigned.
        raise PixelError("This picture's values are of a rare kind.", "unsupported")
    frame = decode_frame(form, data, index)
    with plain_faults("The frame"):
        made = encode_progressive(frame.values, frame.bits_stored, decorrelate=frame.photometric == "RGB")
    if not np.array_equal(decode_preview(made.data, 0), frame.values):
        # Nobody compares it with the original later: better as stored than nearly right.
        raise PixelError("This picture's values do not come back exactly.", "unsupported")
    if form.transfer_syntax not in NATIVE and len(made.data) > GROWTH_LIMIT * len(data):
        raise PixelError("This picture takes fewer bytes as it is stored.", "unsupported")
    return Stepwise(made.ends, _tag(made.data), made.data)


def _stored_ends(form: PixelFormat, data: bytes) -> tuple[int, ...]:
    """Of somebody else's codestream, which need not have a tile-part for each resolution."""
    head = read_jpeg2000(data)
    head.check(form)
    ends = resolution_ends(data)
    if head.by_resolution is None or len(ends) != head.by_resolution + 1:
        raise PixelError("This picture's resolutions do not lie one after the other.", "unsupported")
    skipped = min(_PROVED, head.by_resolution)
    prefix = data[: ends[len(ends) - 1 - skipped]]
    if not np.array_equal(decode_preview(prefix, skipped), decode_preview(data, skipped)):
        raise PixelError("This picture's resolutions do not lie one after the other.", "unsupported")
    return ends


def _tag(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()[:_TAG_BYTES]
    return base64.urlsafe_b64encode(digest).decode("ascii")
