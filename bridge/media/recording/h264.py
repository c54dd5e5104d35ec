"""H.264 in RTP (RFC 6184, packetization mode 1) to length-prefixed access units and `avcC` (ISO/IEC 14496-15)."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.media.recording.bits import BitReader
from bridge.media.recording.samples import Configuration, MalformedPayload, Sample

IDR_SLICE = 5
SEQUENCE_PARAMETERS = 7
PICTURE_PARAMETERS = 8
LAST_SLICE = 5
LAST_SINGLE = 23
STAP_A = 24
FU_A = 28
FU_START, FU_END = 0x80, 0x40
# Access unit delimiter, end of sequence, end of stream, filler: framing that a container does itself.
DROPPED = frozenset({9, 10, 11, 12})
# More, and longer ones, are not met; the count in `avcC` has five bits.
MAX_PICTURE_PARAMETERS = 31
MAX_PARAMETERS_LEN = 2048
MAX_UNITS = 4096
# Profiles whose parameter sets hold the chroma format (ITU-T H.264 section 7.3.2.1.1).
PROFILES_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# Crop units by chroma_format_idc (table 6-1): width and height.
CROP_UNITS = ((1, 1), (2, 2), (2, 1), (1, 1))


class H264Depacketizer:
    def __init__(self) -> None:
        self._sequence_parameters = b""
        self._picture_parameters: dict[int, bytes] = {}
        self._configuration: Configuration | None = None
        self._configured: tuple[bytes, ...] = ()

    def sample(self, payloads: Sequence[bytes]) -> Sample | None:
        pictures: list[bytes] = []
        keyframe = has_slice = has_parameters = False
        for unit in _units(payloads):
            kind = unit[0] & 0x1F
            if kind in (SEQUENCE_PARAMETERS, PICTURE_PARAMETERS):
                self._learn(kind, unit)
                has_parameters = True
                if unit in self._configured:
                    continue
            elif kind in DROPPED:
                continue
            elif kind <= LAST_SLICE:
                if not has_slice and (len(unit) < 2 or not unit[1] & 0x80):
                    raise MalformedPayload("an H.264 picture without its first slice")
                has_slice = True
                keyframe |= kind == IDR_SLICE
            pictures.append(unit)
        if not has_slice:
            return None
        configuration = self._configure() if keyframe or has_parameters else None
        if configuration is not None:
            pictures = [unit for unit in pictures if unit not in self._configured]
        data = b"".join([piece for unit in pictures for piece in (len(unit).to_bytes(4, "big"), unit)])
        return Sample(data, keyframe and configuration is not None, configuration)

    def _learn(self, kind: int, unit: bytes) -> None:
        if len(unit) > MAX_PARAMETERS_LEN or len(unit) < 2:
            raise MalformedPayload("a parameter set of an impossible length")
        if kind == SEQUENCE_PARAMETERS:
            if unit != self._sequence_parameters:
                # Picture parameter sets belong to the sequence's.
                self._picture_parameters.clear()
            self._sequence_parameters = unit
            return
        number = BitReader(unit[1:9]).exp_golomb()
        if len(self._picture_parameters) < MAX_PICTURE_PARAMETERS or number in self._picture_parameters:
            self._picture_parameters[number] = unit

    def _configure(self) -> Configuration | None:
        """None: the parameter sets never came, so nobody could decode the picture."""
        sequence = self._sequence_parameters
        pictures = tuple(self._picture_parameters[number] for number in sorted(self._picture_parameters))
        if not sequence or not pictures:
            return None
        if (sequence, *pictures) != self._configured:
            self._configuration = configuration_of(sequence, pictures)
            self._configured = (sequence, *pictures)
        return self._configuration


def _units(payloads: Sequence[bytes]) -> list[bytes]:
    """The NAL units of one access unit."""
    units: list[bytes] = []
    fragments: list[bytes] = []
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == FU_A and len(payload) > 2:
            mark = payload[1]
            if bool(mark & FU_START) == bool(fragments):
                raise MalformedPayload("fragments of an H.264 unit do not fit")
            if mark & FU_START:
                fragments.append(bytes((payload[0] & 0xE0 | mark & 0x1F,)))
            fragments.append(payload[2:])
            if mark & FU_END:
                units.append(b"".join(fragments))
                fragments = []
        elif fragments:
            raise MalformedPayload("an H.264 unit without its end")
        elif 1 <= kind <= LAST_SINGLE:
            units.append(payload)
        elif kind == STAP_A:
            units.extend(_aggregated(payload))
        else:
            raise MalformedPayload("a packetization of H.264 that was not agreed")
    if fragments or len(units) > MAX_UNITS:
        raise MalformedPayload("an H.264 unit without its end, or too many")
    return units


def _aggregated(payload: bytes) -> list[bytes]:
    units = []
    at = 1
    while at < len(payload):
        end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
        unit = payload[at + 2 : end]
        if not unit or end > len(payload):
            raise MalformedPayload("an aggregation of H.264 units is cut short")
        units.append(unit)
        at = end
    return units


def configuration_of(sequence: bytes, pictures: Sequence[bytes]) -> Configuration:
    """Raises MalformedPayload where the sequence parameter set cannot be read."""
    width, height, chroma = _read_sequence_parameters(sequence)
    profile = sequence[1:4]
    parts = [
        b"\x01",
        profile,
        b"\xff\xe1",
        len(sequence).to_bytes(2, "big"),
        sequence,
        bytes((len(pictures),)),
    ]
    for unit in pictures:
        parts += [len(unit).to_bytes(2, "big"), unit]
    if profile[0] in (100, 110, 122, 144):
        chroma_format, luma_depth, chroma_depth = chroma
        parts.append(bytes((0xFC | chroma_format, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0)))
    return Configuration("h264", f"avc1.{profile.hex()}", width, height, b"".join(parts))


def _read_sequence_parameters(unit: bytes) -> tuple[int, int, tuple[int, int, int]]:
    """Width and height after cropping; chroma format and the bit depths over 8 (ITU-T H.264 section 7.3.2.1)."""
    # Bytes that keep start codes out (section 7.4.1).
    reader = BitReader(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile = reader.bits(8)
    # Constraint flags and level, seq_parameter_set_id
    reader.bits(16)
    reader.exp_golomb()
    chroma = (1, 0, 0)
    if profile in PROFILES_WITH_CHROMA:
        chroma = _read_chroma(reader)
    reader.exp_golomb()
    _skip_order_count(reader)
    # max_num_ref_frames, gaps_in_frame_num_value_allowed_flag
    reader.exp_golomb()
    reader.bits(1)
    width = (reader.exp_golomb() + 1) * 16
    height_units = reader.exp_golomb() + 1
    frames_only = reader.flag()
    if not frames_only:
        reader.bits(1)
    fields = 1 if frames_only else 2
    height = height_units * 16 * fields
    reader.bits(1)
    if reader.flag():
        unit_x, unit_y = CROP_UNITS[chroma[0]]
        width -= unit_x * (reader.exp_golomb() + reader.exp_golomb())
        height -= unit_y * fields * (reader.exp_golomb() + reader.exp_golomb())
    if not (0 < width <= 0xFFFF and 0 < height <= 0xFFFF):
        raise MalformedPayload("an impossible picture size")
    return width, height, chroma


def _read_chroma(reader: BitReader) -> tuple[int, int, int]:
    chroma_format = reader.exp_golomb()
    if chroma_format > 3:
        raise MalformedPayload("an unknown chroma format")
    if chroma_format == 3:
        reader.bits(1)
    luma_depth, chroma_depth = reader.exp_golomb(), reader.exp_golomb()
    if luma_depth > 6 or chroma_depth > 6:
        raise MalformedPayload("an unknown bit depth")
    reader.bits(1)
    if reader.flag():
        for number in range(12 if chroma_format == 3 else 8):
            if reader.flag():
                _skip_scaling_list(reader, 16 if number < 6 else 64)
    return chroma_format, luma_depth, chroma_depth


def _skip_scaling_list(reader: BitReader, length: int) -> None:
    last = 8
    for _ in range(length):
        following = (last + reader.signed_exp_golomb()) % 256
        if following == 0:
            return
        last = following


def _skip_order_count(reader: BitReader) -> None:
    kind = reader.exp_golomb()
    if kind == 0:
        reader.exp_golomb()
    elif kind == 1:
        reader.bits(1)
        reader.exp_golomb()
        reader.exp_golomb()
        for _ in range(min(reader.exp_golomb(), 255)):
            reader.exp_golomb()
