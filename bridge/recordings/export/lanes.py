"""Which tracks go into a file: streams of one participant and source, one after the other, are one lane.

Reads part by part, so that memory is bounded whatever the length; what is damaged is left out and counted. It knows
nothing of containers and codecs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from bridge.errors import NotFound
from bridge.recordings.export.unpacking import Frame, Setup, unpack
from bridge.recordings.index import RecordingReader, TrackIndex
from bridge.recordings.layout import UnreadableRecording
from bridge.vault import DISK_TROUBLES, VaultError

# What players show first.
SOURCES = ("ultrasound", "microscope", "camera", "screen", "microphone", "ultrasoundSound")
# A track that is published anew may come while the last packets of the one before are still under way.
LONGEST_OVERLAP_US = 1_500_000
# Between two frames, so that times rise in a container that counts milliseconds.
STEP_US = 1_000
# Who reads the list of what was left out wants the first ones.
MOST_LOSSES_TOLD = 20


@dataclass(frozen=True, slots=True)
class Window:
    """What of the recording is wanted, on its clock."""

    begin_us: int
    end_us: int


@dataclass
class Losses:
    """What had to be left out, for people to be told: the first ones in words, all of them counted."""

    texts: list[str] = field(default_factory=list)
    parts: int = 0
    frames: int = 0
    """Pictures and packets of sound in whole parts that no decoder took; a file that has them as they are is whole."""

    def __bool__(self) -> bool:
        return bool(self.parts or self.frames)

    def counted(self) -> dict[str, int]:
        """For the audit: only what there is."""
        return {
            name: count for name, count in (("lostParts", self.parts), ("lostFrames", self.frames)) if count
        }

    def add(self, text: str) -> None:
        self.parts += 1
        if len(self.texts) < MOST_LOSSES_TOLD:
            self.texts.append(text)

    def of(self, lanes: Iterable[Lane]) -> None:
        """What the headers show to be missing or altered in these lanes' streams."""
        for track in dict.fromkeys(piece.track for lane in lanes for piece in lane.pieces):
            for finding in track.findings():
                self.add(finding.text)


class Piece(NamedTuple):
    """A part of a track, as far as the choice of parts needs to know it."""

    track: TrackIndex
    number: int
    init: int
    codec: str
    start_us: int
    end_us: int
    frames: int
    key: bool


@dataclass
class Lane:
    """What one participant sent of one source, in order."""

    participant: str
    source: str
    kind: str
    pieces: list[Piece]

    @property
    def sound(self) -> bool:
        return self.kind == "audio"

    @property
    def codecs(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(piece.codec for piece in self.pieces))

    @property
    def streams(self) -> set[int]:
        return {piece.track.stream for piece in self.pieces}

    @property
    def end_us(self) -> int:
        return self.pieces[-1].end_us

    @property
    def rate(self) -> Fraction:
        """Frames a second, while there are any."""
        shown_us = sum(piece.end_us - piece.start_us for piece in self.pieces)
        rate = Fraction(sum(piece.frames for piece in self.pieces) * 1_000_000, max(1, shown_us))
        return max(Fraction(1), rate).limit_denominator(1_001)

    def setups(self) -> list[Setup]:
        """All that decoders are told, in order, equal ones once. What cannot be read is left out here too."""
        found: dict[Setup, None] = {}
        for track, init in dict.fromkeys((piece.track, piece.init) for piece in self.pieces):
            setup = _setup(track, init)
            if setup is not None:
                found[setup] = None
        return list(found)

    def opening(self, losses: Losses) -> tuple[Setup, bytes] | None:
        """The first part that decoding can begin with and that can be read, with what comes before it.

        Only if there is none, its losses are told: who reads the frames is told of them anyway.
        """
        met = Losses()
        for piece in self.pieces:
            setup = _setup(piece.track, piece.init, met) if piece.key or self.sound else None
            if setup is not None:
                try:
                    return setup, piece.track.read(piece.number)
                except VaultError as error:
                    _bear(error, met)
        losses.parts += met.parts
        losses.texts += met.texts[: max(0, MOST_LOSSES_TOLD - len(losses.texts))]
        return None

    def begin_us(self, window: Window) -> int:
        """Where decoding has to begin to show all from the window's beginning on."""
        shown = [piece for piece in self.pieces if piece.start_us <= window.begin_us]
        if self.sound or not shown or shown[-1].end_us <= window.begin_us:
            return window.begin_us
        return next((piece.start_us for piece in reversed(shown) if piece.key), window.begin_us)

    def frames(self, window: Window, losses: Losses) -> Iterator[Frame]:
        """All frames from where decoding has to begin until the window's end; times rise.

        Raises VaultError if the disk fails.
        """
        begin_us, last_us = self.begin_us(window), -STEP_US
        waiting, before = not self.sound, None
        last: tuple[tuple[TrackIndex, int], Setup | None] | None = None
        for piece in self.pieces:
            if piece.end_us <= begin_us or piece.start_us >= window.end_us:
                continue
            if before is None or piece.track is not before.track or not _follows(before, piece):
                # Without what was lost, a picture that refers to it would look right and be wrong.
                waiting = not self.sound
            if last is None or last[0] != (piece.track, piece.init):
                last = (piece.track, piece.init), _setup(piece.track, piece.init, losses)
            frames = _frames_of(piece, last[1], losses)
            before = piece if frames else None
            for frame in frames:
                waiting = waiting and not frame.keyframe
                if not waiting and begin_us <= frame.at_us < window.end_us:
                    last_us = max(frame.at_us, last_us + STEP_US)
                    yield frame._replace(at_us=last_us)


def lanes_of(
    reader: RecordingReader, window: Window, *, by_codec: bool, track: int | None = None
) -> list[Lane]:
    """The lanes of all tracks in the window, or those with this one; pictures first, ultrasound before all others.

    `by_codec`: a lane has only one, for containers that want it so. Raises NotFound for an unknown track.
    """
    if track is not None and reader.track(track) is None:
        raise NotFound(f"The recording has no track {track}.")
    lanes: list[Lane] = []
    for index in sorted(reader.tracks, key=lambda each: each.begin_us):
        groups: dict[str, list[Piece]] = {}
        for piece in _pieces(index, window):
            groups.setdefault(piece.codec if by_codec else "", []).append(piece)
        for pieces in groups.values():
            _join(lanes, index, pieces, by_codec)
    wanted = [lane for lane in lanes if track is None or track in lane.streams]
    return sorted(wanted, key=_place)


def _join(lanes: list[Lane], index: TrackIndex, pieces: list[Piece], by_codec: bool) -> None:
    """Lets a track go on in the lane that it belongs to, or begin one of its own."""
    about = index.about
    for lane in lanes:
        same = (lane.participant, lane.source, lane.kind) == (about.participant, about.source, about.kind)
        fits = not by_codec or lane.codecs == [pieces[0].codec]
        if same and fits and pieces[0].start_us >= lane.end_us - LONGEST_OVERLAP_US:
            lane.pieces += pieces
            return
    lanes.append(Lane(about.participant, about.source, about.kind, pieces))


def _pieces(index: TrackIndex, window: Window) -> list[Piece]:
    """All parts that can be read as far as their headers tell, up to the window's end; none if it shows nothing."""
    inits = index.inits
    pieces = []
    for entry in index.parts:
        note = entry.note
        if entry.init is None or note.start_us >= window.end_us:
            continue
        end_us = note.start_us + note.duration_us
        codec = inits[entry.init].codec
        pieces.append(
            Piece(index, entry.number, entry.init, codec, note.start_us, end_us, note.frames, note.key)
        )
    return pieces if pieces and pieces[-1].end_us > window.begin_us else []


def _follows(before: Piece, piece: Piece) -> bool:
    """Whether nothing lies between them but initialisation segments."""
    between = range(before.number + 1, piece.number)
    inits = piece.track.inits
    return all(number in inits for number in between)


def _frames_of(piece: Piece, setup: Setup | None, losses: Losses) -> list[Frame]:
    """Empty if the part is damaged."""
    entry = piece.track.entry(piece.number)
    if setup is None or entry is None:
        return []
    try:
        note = entry.note
        return unpack(setup, piece.track.read(piece.number), note.start_us, note.steps_us)
    except (VaultError, UnreadableRecording) as error:
        _bear(error, losses)
        return []


def _setup(track: TrackIndex, init: int, losses: Losses | None = None) -> Setup | None:
    note = track.inits[init]
    try:
        return Setup(note.codec, note.width, note.height, track.read(init))
    except VaultError as error:
        _bear(error, losses)
        return None


def _bear(error: VaultError | UnreadableRecording, losses: Losses | None) -> None:
    """Notes damage; a disk that fails is the caller's business."""
    if isinstance(error, VaultError) and error.trouble in DISK_TROUBLES:
        raise error
    if losses is not None:
        losses.add(error.text)


def _place(lane: Lane) -> tuple[bool, int]:
    return lane.sound, SOURCES.index(lane.source) if lane.source in SOURCES else len(SOURCES)
