"""How an object wants its values shown: what PS3.3 C.11 says of modality and VOI, padding, and shape of pixels.

`Display` is read from the dataset for one frame (functional groups included), and serialisable beside `PixelFormat`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from pydicom.dataset import Dataset

from bridge.imaging.pixels.colours import Lut, Palette, big_endian, read_lut
from bridge.imaging.pixels.faults import PixelError, plain_faults

Curve = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
# Of more windows than these nobody can choose.
MAX_WINDOWS = 64
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_MAX_ASPECT = 20.0


class Window(msgspec.Struct, frozen=True):
    """The range of modality values that is spread over the screen's greys."""

    centre: float
    width: float
    curve: Curve = "LINEAR"

    def __post_init__(self) -> None:
        least = 1.0 if self.curve == "LINEAR" else 0.0
        if not (math.isfinite(self.centre) and math.isfinite(self.width)) or abs(self.centre) > 1e12:
            raise PixelError("The window is no pair of numbers.", "malformed")
        if not least <= self.width <= 1e12 or self.width == 0:
            raise PixelError("The window's width is out of range.", "malformed")


class Display(msgspec.Struct, frozen=True):
    """What is needed to show one frame as its object wants it.

    `padding`: stored values from the one to the other are no picture. `aspect`: height of a pixel through its width.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi_lut: Lut | None = None
    windows: tuple[Window, ...] = ()
    inverted: bool = False
    padding: tuple[int, int] | None = None
    aspect: float = 1.0
    palette: Palette | None = None

    @classmethod
    def of(cls, dataset: Dataset, index: int = 0) -> Display:
        """Reads what concerns the frame `index` (from 0).

        Raises:
            PixelError: what the object says cannot be.
        """
        with plain_faults("How the picture is to be shown"):
            return _read(dataset, index)


def middle_frame(frames: int) -> int:
    """The frame (from 0) that shows best what a run of frames is about."""
    return frames // 2 if frames > 1 else 0


def _read(dataset: Dataset, index: int) -> Display:
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    modality = _group(dataset, index, "PixelValueTransformationSequence")
    voi = _group(dataset, index, "FrameVOILUTSequence")
    slope = _number(modality, "RescaleSlope", 1.0)
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    modality_lut = _lut(dataset, "ModalityLUTSequence", signed)
    reaches_below = signed or (modality_lut is None and _number(modality, "RescaleIntercept", 0.0) < 0)
    return Display(
        slope=slope if slope != 0 else 1.0,
        intercept=_number(modality, "RescaleIntercept", 0.0),
        modality_lut=modality_lut,
        voi_lut=_lut(voi, "VOILUTSequence", reaches_below and modality_lut is None, big_endian(dataset)),
        windows=_windows(voi),
        inverted=photometric == "MONOCHROME1"
        or str(dataset.get("PresentationLUTShape") or "").strip() == "INVERSE",
        padding=_padding(dataset, signed) if photometric.startswith("MONOCHROME") else None,
        aspect=_aspect(dataset, _group(dataset, index, "PixelMeasuresSequence")),
        palette=Palette.of(dataset) if photometric == "PALETTE COLOR" else None,
    )


def _group(dataset: Dataset, index: int, macro: str) -> Dataset:
    """Where a functional group of the frame stands: its own, the one for all frames, or the dataset itself."""
    own: Any = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared: Any = dataset.get("SharedFunctionalGroupsSequence") or ()
    for groups in (own[index : index + 1], shared[:1]):
        for group in groups:
            items = group.get(macro)
            if items:
                item: Dataset = items[0]
                return item
    return dataset


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        return []
    many = value if isinstance(value, (list, tuple)) or hasattr(value, "insert") else [value]
    return [float(number) for number in many]


def _number(dataset: Dataset, keyword: str, default: float) -> float:
    numbers = _numbers(dataset, keyword)
    number = numbers[0] if numbers else default
    if not math.isfinite(number) or abs(number) > 1e12:
        raise PixelError(f"The object's {keyword} is no number.")
    return number


def _windows(dataset: Dataset) -> tuple[Window, ...]:
    """Those that can be used; one that cannot is left out rather than the picture refused."""
    said = str(dataset.get("VOILUTFunction") or "LINEAR").strip()
    curve: Curve = "SIGMOID" if said == "SIGMOID" else "LINEAR_EXACT" if said == "LINEAR_EXACT" else "LINEAR"
    windows = []
    pairs = zip(_numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth"), strict=False)
    for centre, width in list(pairs)[:MAX_WINDOWS]:
        try:
            windows.append(Window(centre, width, curve))
        except PixelError:
            continue
    return tuple(windows)


def _lut(dataset: Dataset, sequence: str, signed: bool, big: bool = False) -> Lut | None:
    items: Any = dataset.get(sequence)
    if not items or "LUTDescriptor" not in items[0] or "LUTData" not in items[0]:
        return None
    descriptor = [int(number) for number in items[0]["LUTDescriptor"].value]
    return read_lut(descriptor, items[0]["LUTData"].value, signed, big)


def _padding(dataset: Dataset, signed: bool) -> tuple[int, int] | None:
    value: Any = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    limit: Any = dataset.get("PixelPaddingRangeLimit")
    ends = [_as_stored(int(value), signed), _as_stored(int(value if limit in (None, "") else limit), signed)]
    return min(ends), max(ends)


def _as_stored(value: int, signed: bool) -> int:
    """The value in the pixels' own sign: the VR is "US or SS", and not every writer chose the right one."""
    if signed and value > 0x7FFF:
        return value - 0x10000
    return value & 0xFFFF if not signed and value < 0 else value


def _aspect(dataset: Dataset, measures: Dataset) -> float:
    """Height of a pixel through its width. A spacing says it best, a ratio where there is none (PS3.3 C.7.6.3.1.7)."""
    pairs = [_numbers(measures, "PixelSpacing"), *(_numbers(dataset, name) for name in _SPACINGS)]
    pairs.append(_numbers(dataset, "PixelAspectRatio"))
    for pair in pairs:
        if len(pair) == 2 and min(pair) > 0 and math.isfinite(sum(pair)):
            ratio = pair[0] / pair[1]
            # A ratio beyond this is a slip of the writer, and would make a picture of a line.
            return ratio if 1 / _MAX_ASPECT <= ratio <= _MAX_ASPECT else 1.0
    return 1.0
