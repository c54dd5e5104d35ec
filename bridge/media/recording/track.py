"""One track's recording: packets of a tap in, parts out. Pure and synchronous, so that a thread may run it.

It owns reordering, depacketizing, the choice of the layer and the open part; memory is bounded whatever comes. It must
not know storage, encryption, sessions, or how a keyframe request reaches the publisher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bridge.media.recording import opus
from bridge.media.recording.decodable import DecodableGate, KeyframeAsking
from bridge.media.recording.depacketize import Frame, FrameAssembler
from bridge.media.recording.layers import LayerChoice
from bridge.media.recording.parts import Part, PartBuilder
from bridge.media.recording.reorder import AUDIO_WAIT_US, VIDEO_WAIT_US, Hole, Packet, ReorderWindow
from bridge.media.recording.samples import CLOCK_RATE_HZ, Codec, Configuration, Sample
from bridge.media.recording.timeline import StreamClock

# The relay takes no more layers.
MAX_LAYERS = 8
# Longer silences are gaps; shorter ones are filled, so that players do not stumble over each lost packet of sound.
LONGEST_FILL_TICKS = 2 * opus.RATE_HZ
# A microphone that is open in a silent room says so every 400 ms (DTX, RFC 7587 section 3.1.3): nothing is missing.
LONGEST_DTX_TICKS = opus.RATE_HZ // 2


@dataclass(frozen=True, slots=True)
class TrackCounts:
    """Totals of a track: frames kept, and skipped for want of a keyframe; packets lost, and come too late."""

    frames: int
    skipped: int
    lost_packets: int
    late_packets: int


class _Stream:
    """One layer of one codec."""

    def __init__(self, codec: Codec, origin_us: int) -> None:
        self.codec = codec
        self.window = ReorderWindow(AUDIO_WAIT_US if codec == "opus" else VIDEO_WAIT_US)
        self.assembler = FrameAssembler(codec)
        self.clock = StreamClock(CLOCK_RATE_HZ[codec], origin_us)
        self.gate = DecodableGate()
        self.configuration: Configuration | None = None
        # What was lost before frames that were then held back belongs to the frame that is kept next.
        self.lost_packets = 0
        self.after_loss = False

    def frames(self, items: Iterable[Packet | Hole]) -> list[Frame]:
        return _as_if_in_time([frame for item in items for frame in self.assembler.push(item)])


class TrackRecorder:
    """`origin_us`: the session's zero on the clock of `arrived_us` (the relay's: CLOCK_MONOTONIC).

    `ask_keyframe` is called when the recording needs one; that it is answered is not counted on.
    """

    def __init__(self, origin_us: int, ask_keyframe: Callable[[], None]) -> None:
        self._origin_us = origin_us
        self._ask_keyframe = ask_keyframe
        self._choice = LayerChoice()
        self._streams: dict[int, _Stream] = {}
        self._asking = KeyframeAsking()
        self._builder = PartBuilder()
        self._last_sound: tuple[int, bytes] | None = None
        self._counts = [0, 0, 0, 0]
        self._done: list[Part] = []

    @property
    def counts(self) -> TrackCounts:
        return TrackCounts(*self._counts)

    def push(self, packets: Iterable[Packet]) -> list[Part]:
        """Takes packets in order of arrival; returns the parts that they complete."""
        for packet in packets:
            if self._choice.arrived(packet.layer, packet.arrived_us):
                stream = self._stream(packet)
                if packet.keyframe_start:
                    self._asking.promised(packet.arrived_us)
                if stream is not None:
                    items = stream.window.push(packet)
                    self._take(packet.layer, stream, stream.frames(items), packet.arrived_us)
        return self._collect()

    def tick(self, now_us: int) -> list[Part]:
        """Lets time pass: to be called a few times a second, so that a track that falls silent loses nothing."""
        for layer, stream in list(self._streams.items()):
            items = stream.window.expire(now_us)
            if items:
                self._take(layer, stream, stream.frames(items), now_us)
        if self._builder.overdue(now_us):
            self._close()
        return self._collect()

    def flush(self, now_us: int) -> list[Part]:
        """Ends the open part and forgets all streams: at the end of the track, or where recording is paused.

        Packets pushed later begin anew, at a keyframe.
        """
        for layer, stream in list(self._streams.items()):
            frames = [*stream.frames(stream.window.flush()), *stream.assembler.flush()]
            self._take(layer, stream, frames, now_us)
        self._close()
        for stream in self._streams.values():
            self._retire(stream)
        self._streams.clear()
        self._choice = LayerChoice()
        self._last_sound = None
        return self._collect()

    # --- streams ---

    def _stream(self, packet: Packet) -> _Stream | None:
        known = self._streams.get(packet.layer)
        if known is not None and known.codec == packet.codec:
            return known
        if known is not None:
            self._end_stream(packet.layer, packet.arrived_us)
        if len(self._streams) >= MAX_LAYERS:
            return None
        made = self._streams[packet.layer] = _Stream(packet.codec, self._origin_us)
        return made

    def _end_stream(self, layer: int, now_us: int) -> None:
        """The layer goes on in another codec."""
        stream = self._streams[layer]
        frames = [*stream.frames(stream.window.flush()), *stream.assembler.flush()]
        self._take(layer, stream, frames, now_us)
        if layer == self._choice.current:
            self._close()
        self._retire(self._streams.pop(layer))

    def _retire(self, stream: _Stream) -> None:
        self._counts[1] += stream.gate.skipped
        self._counts[3] += stream.window.late

    def _take(self, layer: int, stream: _Stream, frames: list[Frame], now_us: int) -> None:
        for frame in frames:
            if self._streams.get(layer) is not stream:
                return
            if stream.codec == "opus":
                self._sound(layer, stream, frame)
            else:
                self._picture(layer, stream, frame)
        if stream.codec != "opus":
            needed = stream.gate.waiting or layer != self._choice.current
            if self._asking.due(needed, now_us):
                self._ask_keyframe()

    # --- pictures ---

    def _picture(self, layer: int, stream: _Stream, frame: Frame) -> None:
        stream.lost_packets += frame.lost_packets
        stream.after_loss |= frame.broken
        keyframe = frame.sample.keyframe
        if layer != self._choice.current:
            if not (keyframe and self._choice.takes(layer, frame.arrived_us)):
                return
            self._switch(layer)
        if keyframe:
            self._asking.keyframe(frame.arrived_us)
        if stream.clock.leaps(frame.timestamp, frame.arrived_us):
            self._close()
        ticks = stream.clock.stamp(frame.timestamp, frame.arrived_us)
        was_damaged = stream.gate.damaged
        configuration = frame.sample.configuration or stream.configuration
        if configuration is None or not stream.gate.admits(frame):
            return
        changed = stream.gate.damaged != was_damaged or configuration != stream.configuration
        stream.configuration = configuration
        if changed or self._builder.full(ticks, frame.sample):
            self._close(ticks)
        self._keep(layer, stream, configuration, frame, ticks)

    def _switch(self, layer: int) -> None:
        """From here on this layer is kept; those below are not needed while it flows."""
        self._close()
        self._choice.current = layer
        for other in [other for other in self._streams if other < layer]:
            self._retire(self._streams.pop(other))

    # --- sound ---

    def _sound(self, layer: int, stream: _Stream, frame: Frame) -> None:
        stream.lost_packets += frame.lost_packets
        stream.after_loss |= frame.broken
        self._choice.current = layer
        # A packet cannot leave before its last moment, a picture can: without this, sound would lie late.
        began_us = frame.arrived_us - stream.clock.us(frame.sample.duration)
        if stream.clock.leaps(frame.timestamp, began_us):
            self._close()
            self._last_sound = None
        ticks = stream.clock.stamp(frame.timestamp, began_us)
        self._fill(layer, stream, frame, ticks)
        if self._builder.full(ticks, frame.sample):
            self._close(ticks)
        self._keep(layer, stream, opus.CONFIGURATION, frame, ticks)
        self._last_sound = (ticks + frame.sample.duration, frame.sample.data[:1])

    def _fill(self, layer: int, stream: _Stream, frame: Frame, ticks: int) -> None:
        if self._last_sound is None:
            return
        at, last = self._last_sound
        if not opus.CONCEALED_SAMPLES <= ticks - at <= LONGEST_FILL_TICKS:
            return
        missing = stream.after_loss or ticks - at > LONGEST_DTX_TICKS
        while ticks - at >= opus.CONCEALED_SAMPLES:
            silence = opus.concealment(last)
            if self._builder.full(at, silence):
                self._close(at)
            if self._builder.empty:
                self._begin(layer, stream, opus.CONFIGURATION, frame)
            self._add(stream, at, silence, filled=True, missing=missing)
            at += opus.CONCEALED_SAMPLES

    # --- parts ---

    def _keep(
        self, layer: int, stream: _Stream, configuration: Configuration, frame: Frame, ticks: int
    ) -> None:
        if self._builder.empty:
            self._begin(layer, stream, configuration, frame)
        self._add(stream, ticks, frame.sample)
        self._counts[0] += 1
        stream.after_loss = False

    def _add(
        self, stream: _Stream, ticks: int, sample: Sample, *, filled: bool = False, missing: bool = True
    ) -> None:
        self._builder.add(
            ticks,
            sample,
            lost_packets=stream.lost_packets,
            after_loss=stream.after_loss,
            filled=filled,
            missing=missing,
        )
        self._counts[2] += stream.lost_packets
        stream.lost_packets = 0

    def _begin(self, layer: int, stream: _Stream, configuration: Configuration, frame: Frame) -> None:
        self._builder.begin(stream.clock, configuration, layer, stream.gate.damaged, frame.arrived_us)

    def _close(self, next_ticks: int | None = None) -> None:
        part = self._builder.close(next_ticks)
        if part is not None:
            self._done.append(part)

    def _collect(self) -> list[Part]:
        parts, self._done = self._done, []
        return parts


def _as_if_in_time(frames: list[Frame]) -> list[Frame]:
    """A frame that came after its successors was lost and healed, which says nothing of the line's delay."""
    for place in range(len(frames) - 2, -1, -1):
        if frames[place].arrived_us > frames[place + 1].arrived_us:
            frames[place] = replace(frames[place], arrived_us=frames[place + 1].arrived_us)
    return frames
