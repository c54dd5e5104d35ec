"""AV1 in RTP (RTP payload format for AV1, version 1.0) to temporal units with sizes and `av1C` (AV1 in ISOBMFF)."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.media.recording.bits import BitReader
from bridge.media.recording.samples import Configuration, MalformedPayload, Sample

CONTINUES, CONTINUED, NEW_SEQUENCE = 0x80, 0x40, 0x08
HAS_EXTENSION, HAS_SIZE = 0x04, 0x02
SEQUENCE_HEADER, TEMPORAL_DELIMITER, TILE_GROUP, TILE_LIST, PADDING = 1, 2, 4, 8, 15
# They do not belong into a container (AV1 in ISOBMFF, section 2.4).
DROPPED = frozenset({TEMPORAL_DELIMITER, TILE_LIST, PADDING})
MAX_LEB128_LEN = 8
MAX_OBUS = 4096
MAX_SEQUENCE_HEADER_LEN = 256


class Av1Depacketizer:
    def __init__(self) -> None:
        self._configuration: Configuration | None = None
        self._sequence_header = b""

    def sample(self, payloads: Sequence[bytes]) -> Sample | None:
        keyframe = bool(payloads[0][0] & NEW_SEQUENCE)
        header = b""
        units: list[bytes] = []
        for obu in _obus(payloads):
            kind = obu[0] >> 3 & 0x0F
            if kind in DROPPED:
                continue
            if not units and kind == TILE_GROUP:
                raise MalformedPayload("an AV1 frame without its header")
            sized = _with_size(obu)
            if kind == SEQUENCE_HEADER:
                header = sized
            units.append(sized)
        if not units:
            return None
        data = b"".join(units)
        if not keyframe or not header:
            return Sample(data, False)
        if self._configuration is None or header != self._sequence_header:
            self._configuration = configuration_of(header)
            self._sequence_header = header
        return Sample(data, True, self._configuration)


def _obus(payloads: Sequence[bytes]) -> list[bytes]:
    """The OBUs of one temporal unit, fragments joined (section 4.4)."""
    obus: list[bytes] = []
    open_obu: list[bytes] = []
    for payload in payloads:
        head = payload[0]
        elements = _elements(payload)
        if bool(head & CONTINUES) != bool(open_obu):
            raise MalformedPayload("fragments of an AV1 unit do not fit")
        for number, element in enumerate(elements):
            open_obu.append(element)
            if number == len(elements) - 1 and head & CONTINUED:
                break
            joined = b"".join(open_obu)
            open_obu = []
            if joined:
                obus.append(joined)
    if open_obu or len(obus) > MAX_OBUS:
        raise MalformedPayload("an AV1 unit without its end, or too many")
    return obus


def _elements(payload: bytes) -> list[bytes]:
    count = payload[0] >> 4 & 3
    elements: list[bytes] = []
    at = 1
    while at < len(payload):
        if count and len(elements) == count - 1:
            elements.append(payload[at:])
            break
        length, at = _read_leb128(payload, at)
        if at + length > len(payload):
            raise MalformedPayload("an AV1 element is cut short")
        elements.append(payload[at : at + length])
        at += length
    if not elements or (count and len(elements) != count):
        raise MalformedPayload("an AV1 packet without its elements")
    return elements


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for position, byte in enumerate(data[at : at + MAX_LEB128_LEN]):
        value |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return value, at + position + 1
    raise MalformedPayload("an AV1 length is cut short")


def _leb128(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _with_size(obu: bytes) -> bytes:
    if obu[0] & 0x80:
        raise MalformedPayload("not an AV1 unit")
    if obu[0] & HAS_SIZE:
        return obu
    at = 2 if obu[0] & HAS_EXTENSION else 1
    if len(obu) < at:
        raise MalformedPayload("an AV1 unit is cut short")
    return b"".join((bytes((obu[0] | HAS_SIZE,)), obu[1:at], _leb128(len(obu) - at), obu[at:]))


def configuration_of(sequence_header: bytes) -> Configuration:
    """From a sequence header OBU with its size. Raises MalformedPayload."""
    if len(sequence_header) > MAX_SEQUENCE_HEADER_LEN:
        raise MalformedPayload("an AV1 sequence header of an impossible length")
    _, at = _read_leb128(sequence_header, 2 if sequence_header[0] & HAS_EXTENSION else 1)
    reader = BitReader(sequence_header[at:])
    profile = reader.bits(3)
    # still_picture
    reader.bits(1)
    reduced = reader.flag()
    level, tier = (reader.bits(5), 0) if reduced else _read_operating_points(reader)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    width, height = reader.bits(width_bits) + 1, reader.bits(height_bits) + 1
    _skip_tools(reader, reduced)
    colour = _read_colour(reader, profile)
    depth = 12 if colour & 0x20 else 10 if colour & 0x40 else 8
    record = bytes((0x81, profile << 5 | level, tier << 7 | colour, 0)) + sequence_header
    codec_string = f"av01.{profile}.{level:02d}{'H' if tier else 'M'}.{depth:02d}"
    return Configuration("av1", codec_string, min(width, 0xFFFF), min(height, 0xFFFF), record)


def _read_operating_points(reader: BitReader) -> tuple[int, int]:
    """Level and tier of the first operating point (AV1 bitstream specification, section 5.5.1)."""
    delay_bits = 0
    if reader.flag():
        reader.bits(64)
        if reader.flag():
            reader.exp_golomb()
        if reader.flag():
            delay_bits = reader.bits(5) + 1
            reader.bits(32 + 5 + 5)
    display_delay = reader.flag()
    points = []
    for _ in range(reader.bits(5) + 1):
        reader.bits(12)
        level = reader.bits(5)
        points.append((level, reader.bits(1) if level > 7 else 0))
        if delay_bits and reader.flag():
            reader.bits(2 * delay_bits + 1)
        if display_delay and reader.flag():
            reader.bits(4)
    return points[0]


def _skip_tools(reader: BitReader, reduced: bool) -> None:
    """From frame_id_numbers_present_flag to film grain's predecessor, cdef and restoration."""
    if not reduced and reader.flag():
        reader.bits(7)
    # 128 superblocks, filter intra, intra edge filter
    reader.bits(3)
    if not reduced:
        # interintra, masked compound, warped motion, dual filter
        reader.bits(4)
        order_hint = reader.flag()
        if order_hint:
            reader.bits(2)
        screen_content = 2 if reader.flag() else reader.bits(1)
        if screen_content and not reader.flag():
            reader.bits(1)
        if order_hint:
            reader.bits(3)
    # super resolution, cdef, restoration
    reader.bits(3)


def _read_colour(reader: BitReader, profile: int) -> int:
    """The bits of `av1C`'s third byte below the tier (section 5.5.2, color_config)."""
    high = reader.flag()
    twelve = profile == 2 and high and reader.flag()
    mono = profile != 1 and reader.flag()
    primaries, transfer, matrix = (
        (reader.bits(8), reader.bits(8), reader.bits(8)) if reader.flag() else (2, 2, 2)
    )
    position = 0
    if mono:
        reader.bits(1)
        subsampling = (1, 1)
    elif (primaries, transfer, matrix) == (1, 13, 0):
        subsampling = (0, 0)
    else:
        reader.bits(1)
        subsampling = {0: (1, 1), 1: (0, 0)}.get(profile, (1, 0))
        if profile == 2 and twelve:
            across = reader.bits(1)
            subsampling = (across, reader.bits(1) if across else 0)
        if subsampling == (1, 1):
            position = reader.bits(2)
    return high << 6 | twelve << 5 | mono << 4 | subsampling[0] << 3 | subsampling[1] << 2 | position
