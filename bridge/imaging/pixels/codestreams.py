"""What a compressed frame says of itself, read from its first markers, before a decoder allocates anything for it.

JPEG and JPEG-LS: ISO 10918-1 B.2.2 and ISO 14495-1 C.2.2; JPEG 2000 and HTJ2K: ISO 15444-1 A.5, A.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import PixelFormat

# A tile, a precinct and a code-block each cost a decoder some hundred bytes, whatever the picture's size.
MAX_TILES = 4096
MAX_BLOCKS = 1 << 20
_RPCL = 2
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
_SOF_NOT_HANDLED = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_LONE = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True, slots=True)
class Codestream:
    """A frame's own header.

    `lossless`: by JPEG's process 14. `reversible`: by JPEG 2000's 5/3 wavelet. `ycc`: whether markers say that three
    components are YCbCr; None: they do not. `by_resolution`: how often the smallest resolution of a JPEG 2000 picture
    is doubled, if its one tile has all packets of a resolution before those of the next; else None.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool = False
    lossless: bool = False
    high_throughput: bool = False
    reversible: bool = False
    ycc: bool | None = None
    by_resolution: int | None = None

    def check(self, form: PixelFormat) -> None:
        """Raises `PixelError` where the frame is not of the size that its object says."""
        if (self.rows, self.columns, self.samples) != (form.rows, form.columns, form.samples):
            raise PixelError("The compressed frame has another size than the object says.")
        if not 1 <= self.bits <= 32 or self.bits > form.bits_allocated:
            raise PixelError("The compressed frame has more bits than the object says.")


def read_jpeg(data: bytes) -> Codestream:
    """Reads a JPEG or JPEG-LS frame's markers up to the start of its first scan."""
    if data[:2] != b"\xff\xd8":
        raise PixelError("The compressed frame is not a JPEG picture.")
    at = 2
    frame: Codestream | None = None
    ids = b""
    jfif, adobe = False, None
    while True:
        marker, body, at = _jpeg_segment(data, at)
        if marker in _SOF_NOT_HANDLED:
            raise PixelError("The JPEG picture is of a kind that is not handled.", "unsupported")
        if marker in _SOF:
            if frame is not None or len(body) < 6:
                raise PixelError("The JPEG picture's header is damaged.")
            bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
            frame = Codestream(rows, columns, samples, bits, lossless=marker == 0xC3)
            ids = body[6::3][:samples]
        elif marker == 0xE0 and body[:4] == b"JFIF":
            jfif = True
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif marker == 0xDA:
            break
    if frame is None:
        raise PixelError("The JPEG picture has no header.")
    ycc = None if frame.samples != 3 else _is_ycc(ids, jfif, adobe)
    return Codestream(frame.rows, frame.columns, frame.samples, frame.bits, lossless=frame.lossless, ycc=ycc)


def _jpeg_segment(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The marker at `at`, its body, and where the next one begins."""
    while at + 1 < len(data) and data[at] == 0xFF and data[at + 1] == 0xFF:
        at += 1
    if at + 4 > len(data) or data[at] != 0xFF:
        raise PixelError("The JPEG picture's header is damaged.")
    marker = data[at + 1]
    if marker in _LONE:
        return marker, b"", at + 2
    (length,) = struct.unpack_from(">H", data, at + 2)
    end = at + 2 + length
    if length < 2 or end > len(data):
        raise PixelError("The JPEG picture's header is cut off.")
    return marker, data[at + 4 : end], end


def _is_ycc(ids: bytes, jfif: bool, adobe: int | None) -> bool | None:
    """What the markers say of the colours: an Adobe marker first, component names next, JFIF last."""
    if adobe is not None:
        return adobe == 1
    if ids in (b"RGB", b"rgb"):
        return False
    return True if jfif else None


def read_jpeg2000(data: bytes) -> Codestream:
    """Reads the main header of a JPEG 2000 codestream, bare or in a JP2 file."""
    at = 0
    if data[:12] == _JP2_SIGNATURE:
        at = _codestream_in_jp2(data)
    if data[at : at + 4] != b"\xff\x4f\xff\x51":
        raise PixelError("The compressed frame is not a JPEG 2000 picture.")
    at += 2
    size: tuple[Codestream, int] | None = None
    high_throughput = reversible = False
    by_resolution: int | None = None
    while data[at : at + 2] != b"\xff\x90":
        if at + 4 > len(data) or data[at] != 0xFF:
            raise PixelError("The JPEG 2000 picture's header is damaged.")
        marker, length = struct.unpack_from(">HH", data, at)
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            raise PixelError("The JPEG 2000 picture's header is cut off.")
        if marker == 0xFF51:
            size = _siz(body)
        elif marker == 0xFF50:
            high_throughput = True
        elif marker in (0xFF52, 0xFF53) and size is not None:
            style = body if marker == 0xFF52 else _as_cod(body, size[0].samples)
            _check_blocks(style, *size)
            reversible = style[9] == 1 and (reversible or marker == 0xFF52)
            by_resolution = body[5] if marker == 0xFF52 and body[1] == _RPCL and size[1] == 1 else None
        at += 2 + length
    if size is None:
        raise PixelError("The JPEG 2000 picture has no size.")
    return replace(
        size[0], high_throughput=high_throughput, reversible=reversible, by_resolution=by_resolution
    )


def _codestream_in_jp2(data: bytes) -> int:
    """Where the contiguous codestream begins in a JP2 file (ISO 15444-1 I.5.4)."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        if kind == b"jp2c":
            return at + header
        if length < header:
            break
        at += length
    raise PixelError("The JPEG 2000 file holds no picture.")


def _siz(body: bytes) -> tuple[Codestream, int]:
    """The picture's size, and the number of its tiles."""
    if len(body) < 39:
        raise PixelError("The JPEG 2000 picture's size is cut off.")
    _, right, bottom, left, top, tile_w, tile_h, tile_x, tile_y, samples = struct.unpack_from(">H8IH", body)
    parts = body[36 : 36 + 3 * samples]
    if (
        not 1 <= samples <= 4
        or len(parts) != 3 * samples
        or right <= left
        or bottom <= top
        or not (tile_w and tile_h)
    ):
        raise PixelError("The JPEG 2000 picture's size is damaged.")
    if set(parts[1::3]) | set(parts[2::3]) != {1} or len(set(parts[0::3])) != 1:
        raise PixelError("The JPEG 2000 picture's components differ in size.", "unsupported")
    tiles = -(-(right - min(tile_x, right)) // tile_w) * -(-(bottom - min(tile_y, bottom)) // tile_h)
    if not 1 <= tiles <= MAX_TILES:
        raise PixelError("The JPEG 2000 picture has too many tiles.", "tooLarge")
    bits, signed = (parts[0] & 0x7F) + 1, bool(parts[0] & 0x80)
    return Codestream(bottom - top, right - left, samples, bits, signed), tiles


def _as_cod(body: bytes, samples: int) -> bytes:
    """A component's coding style in the form of the default one (both end in the same fields)."""
    wide = samples > 256
    style = body[2 if wide else 1 : 3 if wide else 2]
    return style + bytes(4) + body[3 if wide else 2 :]


def _check_blocks(body: bytes, size: Codestream, tiles: int) -> None:
    """Bounds what a decoder keeps a record of: code-blocks and precincts of every resolution and tile."""
    if len(body) < 10:
        raise PixelError("The JPEG 2000 picture's coding style is cut off.")
    levels, block_w, block_h = body[5], body[6] + 2, body[7] + 2
    if levels > 32 or block_w > 10 or block_h > 10 or block_w + block_h > 12:
        raise PixelError("The JPEG 2000 picture's coding style is damaged.")
    area = size.rows * size.columns * size.samples
    blocks = 2 * (area >> (block_w + block_h)) + tiles * size.samples * (3 * levels + 1)
    precincts = tiles * size.samples * (levels + 1)
    if body[0] & 1:
        for level, exponents in enumerate(body[10 : 11 + levels]):
            shrink = 2 * (levels - level)
            precincts += (area >> shrink) >> ((exponents & 15) + (exponents >> 4))
    if blocks > MAX_BLOCKS or precincts > MAX_BLOCKS:
        raise PixelError("The JPEG 2000 picture is cut into too many blocks.", "tooLarge")
