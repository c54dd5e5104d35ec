"""How the pixels of one object are laid out: the Image Pixel module (PS3.3 C.7.6.3), read once and checked.

`PixelFormat` is small and serialisable, so that a frame can be handed to a worker without its dataset.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from pydicom.dataset import Dataset

from bridge.imaging.pixels.faults import (
    MAX_FRAME_BYTES,
    MAX_FRAME_PIXELS,
    MAX_SAMPLES,
    PixelError,
    plain_faults,
)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"

# A deflated dataset is inflated as a whole before a frame of it can be found, so here it is native.
NATIVE = frozenset(
    {IMPLICIT_LITTLE, EXPLICIT_LITTLE, ENCAPSULATED_UNCOMPRESSED, DEFLATED, EXPLICIT_BIG, DEFLATED_FRAMES}
)
# The retired processes .52 to .69 are those that libjpeg reads too (progressive and lossless); arithmetic and
# hierarchical ones end in a plain error.
JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 52, 53, 55, 57, 70))
JPEG_LS = frozenset({JPEG_LS_LOSSLESS, "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
MPEG2 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in ("100", "100.1", "101", "101.1"))
H264 = frozenset(f"1.2.840.10008.1.2.4.{n}{f}" for n in range(102, 107) for f in ("", ".1"))
HEVC = frozenset({"1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108"})
VIDEO = MPEG2 | H264 | HEVC

_PHOTOMETRIC_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_PARTIAL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
_FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


class PixelFormat(msgspec.Struct, frozen=True):
    """The shape of one frame and the meaning of its bits.

    `swapped_words`: 8-bit pixels were sent in big-endian 16-bit words (VR OW), so each two bytes stand exchanged.
    """

    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool
    frames: int
    is_float: bool = False
    swapped_words: bool = False

    def __post_init__(self) -> None:
        _check(self)

    @property
    def pixels(self) -> int:
        """Pixels in a frame."""
        return self.rows * self.columns

    @property
    def is_grey(self) -> bool:
        """Whether one sample is a brightness, and no index into a palette."""
        return self.photometric in ("MONOCHROME1", "MONOCHROME2")

    @property
    def native_bits(self) -> int:
        """Bits of one frame when it is not compressed."""
        per_pixel = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.pixels * per_pixel * self.bits_allocated

    @classmethod
    def of(cls, dataset: Dataset, transfer_syntax: str | None = None) -> PixelFormat:
        """Reads and checks the Image Pixel module.

        Raises:
            PixelError: there are no pixels, or what is said of them cannot be.
        """
        with plain_faults("The description of the picture"):
            syntax = transfer_syntax or str(dataset.file_meta.TransferSyntaxUID)
            float_bits = next((bits for name, bits in _FLOATS.items() if name in dataset), None)
            allocated = _whole(dataset, "BitsAllocated") if float_bits is None else float_bits
            stored = _whole(dataset, "BitsStored", allocated)
            samples = _whole(dataset, "SamplesPerPixel", 1)
            photometric = dataset.get("PhotometricInterpretation") or (
                "RGB" if samples == 3 else "MONOCHROME2"
            )
            return cls(
                transfer_syntax=syntax,
                rows=_whole(dataset, "Rows"),
                columns=_whole(dataset, "Columns"),
                samples=samples,
                photometric=str(photometric).strip(),
                bits_allocated=allocated,
                bits_stored=allocated if float_bits else stored,
                high_bit=allocated - 1 if float_bits else _whole(dataset, "HighBit", stored - 1),
                signed=_whole(dataset, "PixelRepresentation", 0) == 1,
                planar=samples > 1 and _whole(dataset, "PlanarConfiguration", 0) == 1,
                frames=_whole(dataset, "NumberOfFrames", 1) or 1,
                is_float=float_bits is not None,
                swapped_words=syntax == EXPLICIT_BIG and allocated <= 8 and _pixel_vr(dataset) == "OW",
            )


def _pixel_vr(dataset: Dataset) -> str:
    """The VR of the pixels as sent, without converting them."""
    element = dataset.get_item("PixelData")
    return "" if element is None else str(element.VR)


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise PixelError(f"The object does not say its {keyword}.")
        return default
    return int(value)


def _check(form: PixelFormat) -> None:
    """Refuses what no object can mean, and what is too large to hold."""
    if not (1 <= form.rows <= 0xFFFF and 1 <= form.columns <= 0xFFFF and 1 <= form.frames <= 0x7FFFFFFF):
        raise PixelError("The picture's rows, columns or frames are out of range.")
    expected = _PHOTOMETRIC_SAMPLES.get(form.photometric)
    if expected is None:
        raise PixelError("The picture's colours are of a kind that is not handled.", "unsupported")
    if not 1 <= form.samples <= MAX_SAMPLES or form.samples != expected:
        raise PixelError("The picture's samples per pixel do not fit its kind of colours.")
    if form.bits_allocated not in ((32, 64) if form.is_float else (1, 8, 16, 32)):
        raise PixelError("The picture's bits allocated are not handled.", "unsupported")
    if not 1 <= form.bits_stored <= form.bits_allocated:
        raise PixelError("The picture stores more bits than it allocates.")
    if not form.bits_stored - 1 <= form.high_bit < form.bits_allocated:
        raise PixelError("The picture's high bit does not fit its bits.")
    if form.bits_allocated == 1 and form.samples != 1:
        raise PixelError("A one-bit picture has one sample per pixel.")
    size_bytes = math.ceil(form.pixels * form.samples * form.bits_allocated / 8)
    if form.pixels > MAX_FRAME_PIXELS or size_bytes > MAX_FRAME_BYTES:
        raise PixelError("One frame of the picture is too large.", "tooLarge")
