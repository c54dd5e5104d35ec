"""Rendered pictures: a frame as a person sees it, in JPEG or PNG (PS3.18 section 8.3.5).

Order: colours or greys as the object or the request wants them, the part that is asked for, square pixels, flipping,
the size of the viewport.
"""

from __future__ import annotations

import math
from typing import Literal

import imagecodecs
import msgspec
import numpy as np

from bridge.imaging.pixels.colours import Picture, to_rgb
from bridge.imaging.pixels.decoding import Frame, decode_frame
from bridge.imaging.pixels.display import Curve, Display, Window
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.format import PixelFormat
from bridge.imaging.pixels.greys import to_grey
from bridge.imaging.pixels.scaling import scale

MediaType = Literal["image/jpeg", "image/png"]

MAX_VIEWPORT = 8192
THUMBNAIL_SIDE = 200
DEFAULT_QUALITY = 90
# Fast, and a tenth larger than the slowest.
_PNG_LEVEL = 3
_CURVES: dict[str, Curve] = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


class Viewport(msgspec.Struct, frozen=True):
    """The size to fit the picture into, and the part of the picture to show, in its own pixels.

    `part` is left, top, width, height; a negative width or height flips the picture (PS3.18 8.3.5.1.3).
    """

    columns: int
    rows: int
    part: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.columns <= MAX_VIEWPORT and 1 <= self.rows <= MAX_VIEWPORT):
            raise PixelError("The viewport's size is out of range.", "malformed")
        if self.part is not None and not all(
            math.isfinite(number) and abs(number) <= 1e6 for number in self.part
        ):
            raise PixelError("The viewport's part is out of range.", "malformed")


class Rendering(msgspec.Struct, frozen=True):
    """What a request wants. `quality` is of JPEG, 1 to 100."""

    media_type: MediaType = "image/jpeg"
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise PixelError("The quality is a number from 1 to 100.", "malformed")


def thumbnail(side: int = THUMBNAIL_SIDE) -> Rendering:
    """A small picture that fits into a square."""
    return Rendering(viewport=Viewport(side, side), quality=80)


def parse_window(text: str) -> Window:
    """Reads the request's `window`: centre, width and curve, as in "40,400,linear".

    Raises:
        PixelError: code `malformed`.
    """
    fields = text.split(",")
    curve = _CURVES.get(fields[2].strip().lower()) if len(fields) == 3 else "LINEAR"
    if len(fields) not in (2, 3) or curve is None:
        raise PixelError("A window is centre, width, and linear, linear-exact or sigmoid.", "malformed")
    centre, width = _floats(fields[:2], "A window is centre, width, and linear, linear-exact or sigmoid.")
    return Window(centre, width, curve)


def parse_viewport(text: str) -> Viewport:
    """Reads the request's `viewport`: width, height, and perhaps left, top, width and height of the part to show.

    Raises:
        PixelError: code `malformed`.
    """
    says = "A viewport is width and height, then perhaps left, top, width and height of a part."
    fields = text.split(",")
    if len(fields) not in (2, 6) or max(len(field) for field in fields) > 20:
        raise PixelError(says, "malformed")
    if not all(field.isascii() and field.isdigit() for field in fields[:2]):
        raise PixelError(says, "malformed")
    part: tuple[float, float, float, float] | None = None
    if len(fields) == 6:
        # An empty field means the whole from there, which 0 says too.
        left, top, width, height = _floats([field.strip() or "0" for field in fields[2:]], says)
        part = (left, top, width, height)
    return Viewport(int(fields[0]), int(fields[1]), part)


def render(form: PixelFormat, display: Display, data: bytes, index: int, wanted: Rendering) -> bytes:
    """Decodes one frame and renders it. `data` and `index` are as for `decode_frame`.

    Raises:
        PixelError: the frame cannot be read, or what is wanted is not part of it.
    """
    return render_frame(decode_frame(form, data, index), display, wanted)


def render_frame(frame: Frame, display: Display, wanted: Rendering) -> bytes:
    """Renders a decoded frame as JPEG or PNG."""
    with plain_faults("The picture"):
        picture = picture_of(frame, display, wanted.window)
        picture = _fit(picture, display.aspect, wanted.viewport)
        return encode_picture(picture, wanted.media_type, wanted.quality)


def picture_of(frame: Frame, display: Display, window: Window | None = None) -> Picture:
    """The frame in 8-bit greys or RGB, one pixel for each of its own."""
    if frame.photometric in ("MONOCHROME1", "MONOCHROME2"):
        return to_grey(frame, display, window)
    return to_rgb(frame, display.palette)


def encode_picture(picture: Picture, media_type: MediaType, quality: int = DEFAULT_QUALITY) -> bytes:
    """Encodes greys or RGB of 8 bits. JPEG in colours halves the chroma's columns (as YBR_FULL_422)."""
    picture = np.ascontiguousarray(picture)
    if media_type == "image/png":
        return bytes(imagecodecs.png_encode(picture, level=_PNG_LEVEL))
    return bytes(
        imagecodecs.jpeg8_encode(picture, level=quality, subsampling="422" if picture.ndim == 3 else None)
    )


def _fit(picture: Picture, aspect: float, viewport: Viewport | None) -> Picture:
    """Cuts, squares, flips and scales."""
    flip_x = flip_y = False
    if viewport is not None and viewport.part is not None:
        picture, flip_x, flip_y = _cut(picture, viewport.part)
    height, width = picture.shape[0] * max(aspect, 1.0), picture.shape[1] / min(aspect, 1.0)
    if viewport is not None:
        shrink = min(viewport.rows / height, viewport.columns / width)
    else:
        shrink = min(1.0, MAX_VIEWPORT / max(height, width)) if aspect != 1.0 else 1.0
    rows, columns = max(1, round(height * shrink)), max(1, round(width * shrink))
    picture = scale(picture, rows, columns)
    if flip_x:
        picture = picture[:, ::-1]
    return picture[::-1] if flip_y else picture


def _cut(picture: Picture, part: tuple[float, float, float, float]) -> tuple[Picture, bool, bool]:
    """The part of the picture, and whether it is flipped left to right and top to bottom."""
    left, top, width, height = part
    rows, columns = picture.shape[:2]
    first_x, first_y = max(0, round(left)), max(0, round(top))
    last_x = min(columns, round(left + abs(width))) if width else columns
    last_y = min(rows, round(top + abs(height))) if height else rows
    if first_x >= last_x or first_y >= last_y:
        raise PixelError("The viewport shows no part of the picture.", "malformed")
    return picture[first_y:last_y, first_x:last_x], width < 0, height < 0


def _floats(fields: list[str], says: str) -> list[float]:
    try:
        return [float(field) for field in fields]
    except ValueError:
        raise PixelError(says, "malformed") from None
