"""HTJ2K whose first bytes are a small picture already (ISO 15444-15; PS3.5 10.18, transfer syntaxes .201 and .202).

Resolution comes first in the codestream (RPCL) and each one is a tile-part of its own, whose length the header
tells (TLM). So whoever has the header knows how many bytes a half- or quarter-size picture takes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np

from bridge.imaging.pixels.codestreams import read_jpeg2000
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.native import Values

# PS3.5 10.18 wants one side of the smallest picture to be 64 at most; going further down saves a hundredth more.
_SMALLEST_SIDE = 16
# However small a picture is, it can be asked for at a quarter.
LEVELS = 5
_SOT = 0xFF90
_MAX_BITS = 16
_SSIZ = 42  # Where the first component's precision stands: SOC 2, SIZ marker to Csiz 40 bytes.
_QUARTER = 2
_ROOM_BITS = 2


@dataclass(frozen=True, slots=True)
class Progressive:
    """A codestream, and where its resolutions end: `ends[-1]` is all of it, `ends[-2]` half size, and so on down."""

    data: bytes
    ends: tuple[int, ...]

    @property
    def preview_bytes(self) -> int:
        """Length of the prefix that is a picture of a quarter of the width and height, or the smallest there is."""
        return self.ends[max(0, len(self.ends) - 1 - _QUARTER)]


def encode_progressive(values: Values, bits_stored: int, *, decorrelate: bool = True) -> Progressive:
    """Encodes stored values without loss, in RPCL.

    Args:
        values: (rows, columns) or (rows, columns, 3).
        bits_stored: how many of each value's bits count; told in the codestream as its precision.
        decorrelate: of three samples: they are RGB, and the codestream keeps them as YBR_RCT.

    Raises:
        PixelError: values of floating point, or of more than 16 bits.
    """
    if values.dtype.kind not in "iu" or bits_stored > _MAX_BITS:
        raise PixelError("HTJ2K is written for pictures of up to 16 bits.", "unsupported")
    signed = values.dtype.kind == "i"
    cell_bits = 8 if bits_stored <= 8 else 16
    cells = values.astype(f"{values.dtype.kind}{cell_bits // 8}", copy=False)
    if not signed and bits_stored < cell_bits:
        # The encoder centres values as its cells have it; moved by this, they are centred for their true precision.
        cells = cells + cells.dtype.type((1 << cell_bits - 1) - (1 << bits_stored - 1))
    with plain_faults("The picture"):
        encoded = imagecodecs.htj2k_encode(
            np.ascontiguousarray(cells),
            reversible=True,
            rgb=values.ndim == 3 and decorrelate,
            planar=False,
            resolutions=_decompositions(*values.shape[:2]),
            tlm=True,
            tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
        )
    data = _with_precision(bytes(encoded), bits_stored, signed)
    return Progressive(data, resolution_ends(data))


def decode_preview(prefix: bytes, skipped: int) -> Values:
    """Decodes the first bytes of a progressive codestream to the picture that leaves `skipped` resolutions out.

    A smaller picture strays beyond the range of values at sharp edges. The decoder would let such values come out at
    the other end, so it is told of two bits more, and they are brought back to the nearest value here.
    """
    with plain_faults("The preview"):
        head = read_jpeg2000(prefix)
        if head.bits > _MAX_BITS:
            raise PixelError("HTJ2K is read in part for pictures of up to 16 bits.", "unsupported")
        roomy = _with_precision(prefix, head.bits + _ROOM_BITS, head.signed)
        values: Values = imagecodecs.htj2k_decode(roomy, planar=False, skipres=skipped)
        numbers = values.astype(np.int32)
        least, most = 0, (1 << head.bits) - 1
        if head.signed:
            least, most = -(1 << head.bits - 1), (1 << head.bits - 1) - 1
        else:
            numbers -= (1 << head.bits + _ROOM_BITS - 1) - (1 << head.bits - 1)
        kind = ("i" if head.signed else "u") + ("1" if head.bits <= 8 else "2")
        return np.clip(numbers, least, most).astype(kind)


def resolution_ends(data: bytes) -> tuple[int, ...]:
    """Where each resolution ends in a codestream that has one tile-part for each; the last end is the codestream's."""
    at = 2
    ends: list[int] = []
    while at + 12 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            (length,) = struct.unpack_from(">I", data, at + 6)
            at += length
            ends.append(at)
        else:
            at += 2 + length
        if length < 2 or at > len(data):
            raise PixelError("The HTJ2K picture is damaged.")
    if not ends:
        raise PixelError("The HTJ2K picture holds nothing.")
    ends[-1] = len(data)
    return tuple(ends)


def _decompositions(rows: int, columns: int) -> int:
    levels = LEVELS
    while max(rows, columns) >> levels > _SMALLEST_SIDE:
        levels += 1
    return levels


def _with_precision(data: bytes, bits: int, signed: bool) -> bytes:
    """Says the true precision where the encoder said that of its cells. The quantisation's own bits may stay larger."""
    header = bytearray(data[:64])
    (samples,) = struct.unpack_from(">H", header, _SSIZ - 2)
    for sample in range(samples):
        header[_SSIZ + 3 * sample] = (bits - 1) | (0x80 if signed else 0)
    return bytes(header) + data[64:]
