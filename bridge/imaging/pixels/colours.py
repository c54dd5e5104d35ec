"""Colours of decoded frames as RGB of 8 bits: YBR of every kind, palettes (PS3.3 C.7.6.3.1.2, C.7.9)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from bridge.imaging.pixels.decoding import Frame
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.native import Values

MAX_LUT_ENTRIES = 1 << 16
# Rows converted at once: bounds the memory for floating-point values in between.
_BAND_PIXELS = 1 << 20
_FULL = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]], np.float32)
_PARTIAL = np.array([[1.1644, 0.0, 1.596], [1.1644, -0.3917, -0.8129], [1.1644, 2.0173, 0.0]], np.float32)
_CHANNELS = ("Red", "Green", "Blue")

Picture = npt.NDArray[np.uint8]


class Lut(msgspec.Struct, frozen=True):
    """A look-up table: `entries` are little-endian 16-bit words of `bits` bits; inputs below `first` meet the first."""

    first: int
    bits: int
    entries: bytes

    @property
    def values(self) -> npt.NDArray[np.uint16]:
        """The entries as numbers."""
        return np.frombuffer(self.entries, "<u2")

    def of(self, inputs: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint16]:
        """The entry for each input; beyond either end it is the last one of that end."""
        table = self.values
        entries: npt.NDArray[np.uint16] = table[
            np.clip(np.rint(inputs) - self.first, 0, len(table) - 1).astype(np.intp)
        ]
        return entries


class Palette(msgspec.Struct, frozen=True):
    """The colour of each stored value."""

    red: Lut
    green: Lut
    blue: Lut

    @classmethod
    def of(cls, dataset: Dataset) -> Palette:
        """Reads the Palette Color Lookup Table module, segmented tables too.

        Raises:
            PixelError: a table is missing or does not fit its descriptor.
        """
        with plain_faults("The picture's palette"):
            return cls(*(_channel(dataset, name) for name in _CHANNELS))


def to_rgb(frame: Frame, palette: Palette | None) -> Picture:
    """The frame in RGB with 8 bits for each.

    Raises:
        PixelError: it is no colour picture, or its palette is missing.
    """
    with plain_faults("The picture's colours"):
        if frame.photometric == "PALETTE COLOR":
            if palette is None:
                raise PixelError("The picture's palette is missing.")
            return _through_palette(frame.values, palette)
        values = eight_bits(frame.values, frame.bits_stored)
        if frame.photometric == "RGB":
            return values
        if frame.photometric in ("YBR_FULL", "YBR_FULL_422", "YBR_ICT"):
            return _ybr(values, _FULL, 0.0)
        if frame.photometric in ("YBR_PARTIAL_422", "YBR_PARTIAL_420"):
            return _ybr(values, _PARTIAL, 16.0)
    raise PixelError("The picture's colours are of a kind that is not handled.", "unsupported")


def eight_bits(values: Values, bits_stored: int) -> Picture:
    """The most significant 8 bits of unsigned values; fewer bits are spread over the whole range."""
    if values.dtype.kind == "i":
        raise PixelError("A picture in colours cannot have negative values.", "unsupported")
    if bits_stored > 8:
        high: Picture = (values >> values.dtype.type(bits_stored - 8)).astype(np.uint8)
        return high
    if bits_stored == 8:
        return np.ascontiguousarray(values, np.uint8)
    spread: Picture = (values.astype(np.uint16) * 255 // ((1 << bits_stored) - 1)).astype(np.uint8)
    return spread


def _ybr(values: Picture, matrix: npt.NDArray[np.float32], black: float) -> Picture:
    picture = np.empty_like(values)
    rows = max(1, _BAND_PIXELS // values.shape[1])
    for top in range(0, values.shape[0], rows):
        band = values[top : top + rows].astype(np.float32)
        band -= np.array([black, 128.0, 128.0], np.float32)
        picture[top : top + rows] = np.clip(np.rint(band @ matrix.T), 0, 255)
    return picture


def _through_palette(values: Values, palette: Palette) -> Picture:
    picture = np.empty((*values.shape, 3), np.uint8)
    for channel, lut in enumerate((palette.red, palette.green, palette.blue)):
        table = lut.values
        # Entries of 16 bits that never pass 255 are of 8 bits in truth: seen from several makers.
        colours = table >> 8 if lut.bits > 8 and table.max() > 0xFF else table
        index = np.clip(values.astype(np.int64) - lut.first, 0, len(colours) - 1)
        picture[..., channel] = colours.astype(np.uint8)[index]
    return picture


def _channel(dataset: Dataset, name: str) -> Lut:
    descriptor = [int(number) for number in dataset[f"{name}PaletteColorLookupTableDescriptor"].value]
    segmented = f"Segmented{name}PaletteColorLookupTableData"
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    if segmented in dataset:
        count, first, bits = lut_descriptor(descriptor, signed)
        data = dataset[segmented].value
        # Where entries have 8 bits, so have the segments' codes and lengths.
        bytewise = bits == 8 and isinstance(data, bytes)
        words = np.frombuffer(data, np.uint8) if bytewise else _words(data, bits, big_endian(dataset))
        return Lut(first, bits, expand_segments(words.astype(np.uint16), count, bits).astype("<u2").tobytes())
    return read_lut(
        descriptor, dataset[f"{name}PaletteColorLookupTableData"].value, signed, big_endian(dataset)
    )


def big_endian(dataset: Dataset) -> bool:
    """Whether words inside opaque values of this dataset have their high byte first."""
    return dataset.original_encoding[1] is False


def lut_descriptor(descriptor: list[int], signed: bool) -> tuple[int, int, int]:
    """Number of entries, first input and bits of an entry (PS3.3 C.11.1.1.1)."""
    count, first, bits = descriptor
    count &= 0xFFFF
    if signed and first > 0x7FFF:
        first -= 0x10000
    if not signed and first < 0:
        first += 0x10000
    if not 1 <= bits <= 16:
        raise PixelError("A look-up table of the picture has impossible entries.")
    return count or MAX_LUT_ENTRIES, first, bits


def read_lut(descriptor: list[int], data: bytes | list[int] | int, signed: bool, big: bool = False) -> Lut:
    """A look-up table from its descriptor and data, which may be bytes of words, packed bytes, or numbers."""
    count, first, bits = lut_descriptor(descriptor, signed)
    entries = _words(data, bits, big, count)
    if len(entries) < count:
        raise PixelError("A look-up table of the picture is cut off.")
    return Lut(first, bits, entries[:count].astype("<u2").tobytes())


def _words(data: bytes | list[int] | int, bits: int, big: bool, count: int = 0) -> npt.NDArray[np.uint16]:
    """The table's entries as numbers; 8-bit ones may stand two in a word (PS3.3 C.7.6.3.1.6)."""
    if isinstance(data, bytes):
        packed = bits <= 8 and count and len(data) < 2 * count
        kind = "u1" if packed else (">u2" if big else "<u2")
        size = np.dtype(kind).itemsize
        return np.frombuffer(data, kind, len(data) // size).astype(np.uint16)
    numbers = np.asarray([data] if isinstance(data, int) else data, np.int64).ravel().astype(np.uint16)
    if bits <= 8 and count and len(numbers) < count:
        return np.frombuffer(numbers.astype("<u2").tobytes(), np.uint8).astype(np.uint16)
    return numbers


def expand_segments(words: npt.NDArray[np.uint16], count: int, bits: int = 16) -> npt.NDArray[np.uint16]:
    """Unfolds a segmented table to `count` entries (PS3.3 C.7.9.2): runs, lines, and repeats of earlier segments."""
    unfolding = _Unfolding(words, count, bits)
    with plain_faults("A segmented look-up table of the picture"):
        unfolding.segments(0, len(words), None)
    if unfolding.filled < count:
        raise PixelError("A segmented look-up table of the picture is cut off.")
    return unfolding.table


class _Unfolding:
    """A segmented table, and how far it is unfolded. `bits`: of a code or length; an offset fills 32."""

    def __init__(self, words: npt.NDArray[np.uint16], count: int, bits: int) -> None:
        self.table = np.zeros(count, np.uint16)
        self.filled = 0
        self._words = words
        self._offset_words = 4 if bits == 8 else 2
        self._shift = 8 if bits == 8 else 16

    def segments(self, at: int, end: int, limit: int | None) -> None:
        """Unfolds from `at` on, `limit` segments at most. Only outermost segments may repeat others."""
        while at + 1 < end and self.filled < len(self.table) and limit != 0:
            code, length = int(self._words[at]), int(self._words[at + 1])
            if length == 0 or code > 2 or (code == 2 and limit is not None):
                raise PixelError("A segmented look-up table of the picture is damaged.")
            at += 2
            if code == 0:
                self._fill(self._words[at : at + length])
                at += length
            elif code == 1:
                self._line(int(self._words[at]), length)
                at += 1
            else:
                parts = self._words[at : at + self._offset_words]
                start = sum(int(part) << self._shift * n for n, part in enumerate(parts))
                self.segments(start, at, length)
                at += self._offset_words
            limit = None if limit is None else limit - 1

    def _line(self, last: int, length: int) -> None:
        if self.filled == 0:
            raise PixelError("A segmented look-up table of the picture begins with a line.")
        line = np.linspace(int(self.table[self.filled - 1]), last, length + 1)[1:]
        self._fill(np.rint(line).astype(np.uint16))

    def _fill(self, entries: npt.NDArray[np.uint16]) -> None:
        entries = entries[: len(self.table) - self.filled]
        self.table[self.filled : self.filled + len(entries)] = entries
        self.filled += len(entries)
