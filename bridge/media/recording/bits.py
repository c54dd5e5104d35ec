"""Reads codec headers bit by bit; whatever is asked beyond the end raises MalformedPayload."""

from __future__ import annotations

from bridge.media.recording.samples import MalformedPayload

# Longer codes do not fit any field that is read (ITU-T H.264 section 9.1: 32 bits).
MAX_LEADING_ZEROS = 32


class BitReader:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def bits(self, count: int) -> int:
        if count > self._left:
            raise MalformedPayload("a header is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.bits(1) == 1

    def exp_golomb(self) -> int:
        """ue(v) of H.264; AV1's uvlc() is the same code."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > MAX_LEADING_ZEROS:
                raise MalformedPayload("a number is too long")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed_exp_golomb(self) -> int:
        code = self.exp_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)
