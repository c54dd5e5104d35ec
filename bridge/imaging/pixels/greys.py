"""From stored values to the screen's 256 greys: modality, VOI, presentation, in this order (PS3.3 C.11, PS3.4 N.2).

Values of up to 16 bits go through one table with an entry for each possible value, so a picture costs one look-up
a pixel and is exact; wider and floating-point ones are computed band by band.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.imaging.pixels.colours import Picture
from bridge.imaging.pixels.decoding import Frame
from bridge.imaging.pixels.display import Display, Window
from bridge.imaging.pixels.native import Values

Numbers = npt.NDArray[np.float64]

_BAND_PIXELS = 1 << 20
# Without a window the darkest and brightest thousandth are let go: a speck of metal must not make the rest grey.
_TAIL = 0.001


def to_grey(frame: Frame, display: Display, window: Window | None = None) -> Picture:
    """The frame in 8-bit greys, black 0.

    Args:
        frame: values of one sample.
        display: how the object wants it shown.
        window: instead of what the object says; in modality values (HU for CT).
    """
    chosen = _choose(frame, display, window)
    values = frame.values
    kind = values.dtype
    if kind.kind not in "iu" or kind.itemsize > 2 or values.size < 1 << kind.itemsize * 8:
        return _banded(values, display, chosen)
    # Signed values stand in the table at their bit pattern.
    patterns = np.arange(1 << kind.itemsize * 8, dtype=f"u{kind.itemsize}")
    table = _greys(patterns.view(kind), display, chosen)
    return np.take(table, np.ascontiguousarray(values).view(patterns.dtype))


def _banded(values: Values, display: Display, window: Window | None) -> Picture:
    picture = np.empty(values.shape, np.uint8)
    rows = max(1, _BAND_PIXELS // values.shape[1])
    for top in range(0, values.shape[0], rows):
        picture[top : top + rows] = _greys(values[top : top + rows], display, window)
    return picture


def _greys(stored: Values, display: Display, window: Window | None) -> Picture:
    numbers = np.nan_to_num(_modality(stored, display), nan=0.0, posinf=1e300, neginf=-1e300)
    if window is None and display.voi_lut is not None:
        lut = display.voi_lut
        share = lut.of(numbers) / float((1 << lut.bits) - 1)
    else:
        share = windowed(numbers, window or Window(0.5, 1.0, "LINEAR_EXACT"))
    if display.inverted:
        share = 1.0 - share
    picture = np.rint(np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)
    if display.padding is not None:
        # Padding lies outside of the picture, and what surrounds a picture is black (PS3.3 C.7.5.1.1.2).
        picture[(stored >= display.padding[0]) & (stored <= display.padding[1])] = 0
    return picture


def windowed(numbers: Numbers, window: Window) -> Numbers:
    """The share of full brightness (PS3.3 C.11.2.1.2 and .3); LINEAR may pass beyond 0 and 1."""
    if window.curve == "SIGMOID":
        slope: Numbers = -4 * (numbers - window.centre) / window.width
        return 1.0 / (1.0 + np.exp(np.clip(slope, -700.0, 700.0)))
    if window.curve == "LINEAR_EXACT":
        return (numbers - window.centre) / window.width + 0.5
    if window.width == 1.0:
        return (numbers > window.centre - 0.5).astype(np.float64)
    return (numbers - (window.centre - 0.5)) / (window.width - 1.0) + 0.5


def _modality(stored: Values, display: Display) -> Numbers:
    if display.modality_lut is not None:
        return display.modality_lut.of(stored.astype(np.float64)).astype(np.float64)
    return stored.astype(np.float64) * display.slope + display.intercept


def _choose(frame: Frame, display: Display, window: Window | None) -> Window | None:
    """The window to use; None where the object's VOI LUT is used."""
    if window is not None or display.voi_lut is not None:
        return window
    if display.windows:
        return display.windows[0]
    if frame.values.dtype.kind == "u" and frame.bits_stored <= 8 and display.modality_lut is None:
        full = (1 << frame.bits_stored) - 1
        ends = (display.intercept, full * display.slope + display.intercept)
    else:
        ends = _extent(frame.values, display)
    low, high = min(ends), max(ends)
    return Window((low + high) / 2, high - low or 1.0, "LINEAR_EXACT")


def _extent(values: Values, display: Display) -> tuple[float, float]:
    """The modality values between which nearly all of the picture lies, padding left aside."""
    sample: npt.NDArray[Any] = values.ravel()[:: max(1, values.size // _BAND_PIXELS)]
    if display.padding is not None:
        shown = sample[(sample < display.padding[0]) | (sample > display.padding[1])]
        sample = shown if shown.size else sample
    if sample.dtype.kind == "f":
        finite = sample[np.isfinite(sample)]
        sample = finite if finite.size else np.zeros(1)
    ends = np.quantile(_modality(sample, display), (_TAIL, 1 - _TAIL), method="nearest")
    return float(np.clip(ends[0], -1e12, 1e12)), float(np.clip(ends[1], -1e12, 1e12))
