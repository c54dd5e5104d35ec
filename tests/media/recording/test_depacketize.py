"""Frames of packets, codec by codec: what is whole, what is broken, and what strangers may send."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.recording import opus
from bridge.media.recording.depacketize import MAX_FRAME_BYTES, Frame, FrameAssembler
from bridge.media.recording.reorder import Hole, Packet
from bridge.media.recording.samples import Codec, MalformedPayload
from tests.media.recording.sending import Sent, frame_of, pictures, sound, video

CODECS: tuple[Codec, ...] = ("vp8", "vp9", "h264", "av1", "opus")


def packet(codec: Codec, payload: bytes, *, timestamp: int = 0, marker: bool = True) -> Sent:
    return Sent(0, codec, 0, 0, timestamp, marker, False, payload)


def assembled(codec: Codec, items: list[Packet | Hole]) -> list[Frame]:
    assembler = FrameAssembler(codec)
    return [frame for item in items for frame in assembler.push(item)] + assembler.flush()


def units_of_annex_b(data: bytes) -> list[bytes]:
    pieces = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [piece for piece in pieces if piece]


def units_with_lengths(data: bytes) -> list[bytes]:
    units = []
    while data:
        length = int.from_bytes(data[:4], "big")
        units.append(data[4 : 4 + length])
        data = data[4 + length :]
    return units


def test_vp8_frames_are_what_the_encoder_made() -> None:
    frames = assembled("vp8", list(video("vp8", 20, keyframe_every=10)))
    assert [frame.sample.data for frame in frames] == pictures("vp8", 20, 10)
    assert [place for place, frame in enumerate(frames) if frame.sample.keyframe] == [0, 10]
    configuration = frames[0].sample.configuration
    assert configuration is not None
    assert (configuration.width, configuration.height) == (320, 240)
    assert not any(frame.broken for frame in frames)


def test_h264_units_are_what_the_encoder_made_but_for_the_parameter_sets() -> None:
    frames = assembled("h264", list(video("h264", 20, keyframe_every=10)))
    made = [units_of_annex_b(each) for each in pictures("h264", 20, 10)]
    kept = [[unit for unit in units if unit[0] & 0x1F not in (7, 8)] for units in made]
    assert [units_with_lengths(frame.sample.data) for frame in frames] == kept
    assert [place for place, frame in enumerate(frames) if frame.sample.keyframe] == [0, 10]
    configuration = frames[0].sample.configuration
    assert configuration is not None
    assert (configuration.width, configuration.height) == (320, 240)
    sequence = next(unit for unit in made[0] if unit[0] & 0x1F == 7)
    assert configuration.codec_string == f"avc1.{sequence[1:4].hex()}"
    assert sequence in configuration.record


def test_opus_packets_tell_how_long_they_are() -> None:
    frames = assembled("opus", list(sound(3)))
    assert [frame.sample.duration for frame in frames] == [960] * 3
    assert opus.duration(bytes((31 << 3 | 1,)) + b"ab") == 1_920
    assert opus.duration(bytes((3 << 3, 0))) == 2_880
    with pytest.raises(MalformedPayload):
        opus.duration(bytes((3 << 3 | 3, 3)))


@pytest.mark.parametrize("codec", ["vp8", "h264"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_frame_with_a_hole_is_left_out_and_the_next_one_says_so(codec: Codec, place: str) -> None:
    packets = video(codec, 3, width=640)
    broken = frame_of(packets, 1)
    assert len(broken) >= 3
    lost = {"first": broken[0], "middle": broken[1], "last": broken[-1]}[place]
    items: list[Packet | Hole] = [Hole(1) if each is lost else each for each in packets]
    frames = assembled(codec, items)
    assert [frame.timestamp for frame in frames] == [packets[0].timestamp, packets[-1].timestamp]
    assert (frames[1].broken, frames[1].lost_packets) == (True, 1)


def test_a_sender_without_markers_ends_its_frames_by_the_next_time_stamp() -> None:
    packets = [replace(each, marker=False) for each in video("vp8", 5)]
    frames = assembled("vp8", list(packets))
    assert [frame.sample.data for frame in frames] == pictures("vp8", 5, 30)


def test_packets_of_padding_say_nothing() -> None:
    packets = video("vp8", 2)
    items = [each for one in packets for each in (one, replace(one, payload=b"", marker=False))]
    assert not any(frame.broken for frame in assembled("vp8", list(items)))


def test_an_endless_frame_is_given_up() -> None:
    piece = packet("vp8", bytes(60_000), marker=False)
    head = replace(piece, payload=b"\x10" + bytes(60_000))
    items: list[Packet | Hole] = [
        head,
        *[piece] * (2 * MAX_FRAME_BYTES // 60_000),
        replace(piece, marker=True),
    ]
    assert assembled("vp8", [*items, *video("vp8", 1)])[0].broken


VP9_KEYFRAME = bytes.fromhex("824983420013f00ef0") + bytes(20)


def test_vp9_layers_of_one_picture_become_one_superframe() -> None:
    low, high = VP9_KEYFRAME, bytes(300)
    packets: list[Packet | Hole] = [
        packet("vp9", bytes((0x2C, 0x01, 0)) + low, marker=False),
        packet("vp9", bytes((0x68, 0x03, 0)) + high[:100], marker=False),
        packet("vp9", bytes((0x64, 0x03, 0)) + high[100:]),
    ]
    (frame,) = assembled("vp9", packets)
    assert frame.sample.keyframe
    assert frame.sample.data[: len(low) + len(high)] == low + high
    index = frame.sample.data[len(low) + len(high) :]
    assert index == b"\xc9" + len(low).to_bytes(2, "little") + len(high).to_bytes(2, "little") + b"\xc9"


def test_vp9_descriptors_of_all_kinds_are_taken_off() -> None:
    # Flexible with references and a 15-bit picture id; then a scalability structure with sizes and a picture group.
    flexible = bytes((0xF0 | 0x0C, 0x81, 0x02, 0x00, 0x03, 0x02)) + b"frame"
    structure = bytes((0x0E, 0x18, 1, 64, 0, 240, 1, 0x14, 7)) + VP9_KEYFRAME
    frames = assembled("vp9", [packet("vp9", structure), packet("vp9", flexible, timestamp=1)])
    assert [frame.sample.data for frame in frames] == [VP9_KEYFRAME, b"frame"]
    assert [frame.sample.keyframe for frame in frames] == [True, False]


def test_av1_units_get_sizes_and_fragments_are_joined() -> None:
    # Two units in the first packet, of which the second goes on in the next one; delimiters are dropped.
    first = bytes((0x60, 2, 0x12, 0x00, 0x30)) + bytes(100)
    second = bytes((0x90,)) + bytes(150)
    items: list[Packet | Hole] = [packet("av1", first, marker=False), packet("av1", second)]
    (frame,) = assembled("av1", items)
    assert frame.sample.data == bytes((0x32, 0xFA, 0x01)) + bytes(250)
    assert not frame.sample.keyframe


@pytest.mark.parametrize("codec", CODECS)
@given(payloads=st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=8))
@settings(max_examples=150)
def test_whatever_comes_makes_frames_or_breaks_them_but_never_fails(
    codec: Codec, payloads: list[tuple[bytes, bool]]
) -> None:
    items: list[Packet | Hole] = [packet(codec, payload, marker=marker) for payload, marker in payloads]
    for frame in assembled(codec, items):
        assert frame.sample.data
        assert not frame.sample.keyframe or frame.sample.configuration is not None


@pytest.mark.parametrize("codec", ["vp8", "h264"])
@given(st.data())
@settings(max_examples=100)
def test_a_keyframe_with_any_byte_changed_never_fails(codec: Codec, data: st.DataObject) -> None:
    packets = video(codec, 2)
    spoilt = data.draw(st.integers(0, len(packets) - 1))
    payload = bytearray(packets[spoilt].payload)
    place = data.draw(st.integers(0, min(len(payload), 60) - 1))
    payload[place] = data.draw(st.integers(0, 255))
    packets[spoilt] = replace(packets[spoilt], payload=bytes(payload))
    assembled(codec, list(packets))
