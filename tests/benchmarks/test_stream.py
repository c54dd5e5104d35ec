import struct

import pytest

from benchmarks import stream


def test_a_viewer_gets_six_datagrams_of_the_size_meant_for_each_frame():
    for extension_bytes in (0, 8, 12):
        packets = list(stream.frame_packets(0, 7, 96, extension_bytes))
        assert len(packets) == 6
        assert {len(packet) + extension_bytes + 16 for packet in packets} == {1112}


def test_the_reel_holds_the_same_frames():
    [(rid, frames_per_second, frames)] = stream.reel(12)
    assert (rid, frames_per_second) == ("v", 30)
    assert [keyframe for keyframe, _ in frames] == [True] + [False] * 299
    for number in (0, 1):
        payloads = [packet[16:] for packet in stream.frame_packets(number, 7, 96, 12)]
        assert b"".join(payloads) == frames[number][1]


def test_numbers_go_on_from_frame_to_frame_and_wrap():
    seen = []
    for number in range(10_920, 10_925):
        for packet in stream.frame_packets(number, 7, 100, 0):
            first, marker_and_type, sequence, timestamp, ssrc = struct.unpack("!BBHII", packet[:12])
            assert (first, marker_and_type & 0x7F, ssrc) == (0x80, 100, 7)
            assert timestamp == number * 3000
            seen.append((sequence, marker_and_type >> 7))
    assert [sequence for sequence, _ in seen] == [(10_920 * 6 + at) % 65_536 for at in range(30)]
    assert [marker for _, marker in seen] == [0, 0, 0, 0, 0, 1] * 5


def test_a_descriptor_says_where_a_frame_begins():
    starts = [packet[12] & 0x10 for packet in stream.frame_packets(3, 7, 96, 0)]
    assert starts == [0x10, 0, 0, 0, 0, 0]


def test_what_would_not_be_six_packets_is_refused():
    with pytest.raises(ValueError):
        stream.part_bytes(200)
