"""What the measurements of forwarding send: 30 frames of six equal packets a second, as VP8 (RFC 7741).

The pictures are none but for their heads: nothing on the way decodes them. As a reel for the native crowd, and as plain
RTP (RFC 3550) for a server that is fed that way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

FRAMES_PER_SECOND = 30
PACKETS_PER_FRAME = 6
PACKETS_PER_SECOND = FRAMES_PER_SECOND * PACKETS_PER_FRAME
DATAGRAM_BYTES = 1112
"""What a viewer receives: header, extensions, payload and the tag of AES-GCM."""
RID = "v"
CLOCK_HZ = 90_000
RTP_HEADER_BYTES = 12
TAG_BYTES = 16
DESCRIPTOR_BYTES = 4
LOOP_FRAMES = 300
_LARGEST_PART_BYTES = 1150
"""Of a frame in a packet, as the crowd cuts it: a frame that would fit into fewer is not sent as six."""
# RFC 6386 section 9.1: frame tag, start code and size of a keyframe, here 1280x720; and the tag of any other frame.
_KEYFRAME_HEAD = bytes([0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x00, 0x05, 0xD0, 0x02])
_OTHER_HEAD = bytes([0x11])

Reel = list[tuple[str, int, list[tuple[bool, bytes]]]]


def part_bytes(extension_bytes: int) -> int:
    """How much of a frame a packet holds, so that with so many bytes of extensions a datagram has the right size."""
    size_bytes = DATAGRAM_BYTES - RTP_HEADER_BYTES - extension_bytes - DESCRIPTOR_BYTES - TAG_BYTES
    if size_bytes * PACKETS_PER_FRAME <= _LARGEST_PART_BYTES * (PACKETS_PER_FRAME - 1):
        raise ValueError("such a frame would not be six packets")
    return size_bytes


def reel(extension_bytes: int) -> Reel:
    """A loop of ten seconds with one keyframe, at its beginning; all frames are of one size."""
    size_bytes = PACKETS_PER_FRAME * part_bytes(extension_bytes)
    keyframe, other = _frame(_KEYFRAME_HEAD, size_bytes), _frame(_OTHER_HEAD, size_bytes)
    return [(RID, FRAMES_PER_SECOND, [(True, keyframe)] + [(False, other)] * (LOOP_FRAMES - 1))]


def frame_packets(number: int, ssrc: int, payload_type: int, extension_bytes: int) -> Iterator[bytes]:
    """The RTP packets of the frame of this number, from 0 on.

    `extension_bytes`: of header extensions, which are added before a viewer has it.
    """
    share = part_bytes(extension_bytes)
    head = _OTHER_HEAD if number % LOOP_FRAMES else _KEYFRAME_HEAD
    frame = _frame(head, PACKETS_PER_FRAME * share)
    timestamp = number * CLOCK_HZ // FRAMES_PER_SECOND & 0xFFFF_FFFF
    for part in range(PACKETS_PER_FRAME):
        sequence = (number * PACKETS_PER_FRAME + part) & 0xFFFF
        marker = (part == PACKETS_PER_FRAME - 1) << 7
        header = struct.pack("!BBHII", 0x80, marker | payload_type, sequence, timestamp, ssrc)
        # X, S at the beginning of a partition; then I, and a picture id of 15 bits.
        descriptor = struct.pack("!BBH", 0x80 | (part == 0) << 4, 0x80, 0x8000 | number & 0x7FFF)
        yield header + descriptor + frame[part * share : (part + 1) * share]


def _frame(head: bytes, size_bytes: int) -> bytes:
    return head + bytes(size_bytes - len(head))
