"""What a recording's events tell of it, for people who open a file elsewhere: names, chapters, chat. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.recordings import layout
from bridge.recordings.export.lanes import Lane

# How long a line of chat stays, if nothing follows.
CAPTION_US = 6_000_000
SHORTEST_CAPTION_US = 1_000_000
UNKNOWN_LANGUAGE = "und"
# ISO 639-1, as pages say it, to ISO 639-2, as containers do.
LANGUAGES = {"vi": "vie", "ru": "rus", "en": "eng"}
SOURCES_IN_WORDS = {"ultrasoundSound": "ultrasound sound"}


class Caption(NamedTuple):
    """A text that is shown for a while. Times are on the recording's clock."""

    start_us: int
    end_us: int
    text: str


@dataclass
class Stay:
    """Somebody on a seat. `agreed`: nothing was said against being named, or nothing at last."""

    since_us: int
    name: str
    point: str
    agreed: bool = True


@dataclass
class Story:
    """What is known of people and moments."""

    session: str = ""
    title: str = ""
    started_at_ms: int = 0
    stays: dict[str, list[Stay]] = field(default_factory=dict)
    """Of each seat, in order."""
    languages: dict[str, str] = field(default_factory=dict)
    moments: list[tuple[int, str]] = field(default_factory=list)
    """Changes of the floor and marks, in order: when, and what."""
    chat: list[tuple[int, str]] = field(default_factory=list)

    def name_at(self, who: str, at_us: int) -> str:
        """Who was on this seat then, by name unless that person has not agreed to it or takes that back later; else the
        point, and nothing for a seat that is unknown."""
        stays = self.stays.get(who)
        if not stays:
            return ""
        # A clip begins with the keyframe before it, when those who were there had not been told anew.
        stay = stays[max(0, bisect_right(stays, at_us, key=lambda each: each.since_us) - 1)]
        return stay.name or stay.point if stay.agreed else stay.point

    def name_of(self, lane: Lane, begin_us: int = 0) -> str:
        """Whose track it is from there on and what it shows, such as `Sa Pa: ultrasound`."""
        names = dict.fromkeys(
            self.name_at(lane.participant, piece.start_us) for piece in lane.pieces if piece.end_us > begin_us
        )
        who = ", ".join(name for name in names if name)
        what = SOURCES_IN_WORDS.get(lane.source, lane.source)
        return f"{who}: {what}" if who else what

    def language_of(self, lane: Lane) -> str:
        """Of the one whose track it is, as ISO 639-2."""
        return LANGUAGES.get(self.languages.get(lane.participant, ""), UNKNOWN_LANGUAGE)

    def chapters(self, begin_us: int, end_us: int) -> list[Caption]:
        """Each lasts until the next one begins; what began before the window goes on in it."""
        before = [moment for moment in self.moments if moment[0] <= begin_us][-1:]
        inside = [moment for moment in self.moments if begin_us < moment[0] < end_us]
        shown = [(max(at_us, begin_us), text) for at_us, text in before + inside]
        return [each._replace(text=each.text.replace("\n", "; ")) for each in _lasting(shown, end_us)]

    def captions(self, begin_us: int, end_us: int) -> list[Caption]:
        """The chat as subtitles."""
        said = [line for line in self.chat if begin_us <= line[0] < end_us]
        return [
            caption._replace(end_us=min(caption.end_us, caption.start_us + CAPTION_US))
            for caption in _lasting(said, end_us + CAPTION_US, SHORTEST_CAPTION_US)
        ]


class _People:
    """Who is called what at a moment. Another person may come on the same seat, and who takes a consent back is named
    no more; a name that was agreed to counts from the coming on, because agreeing takes a while."""

    def __init__(self) -> None:
        self.stays: dict[str, list[Stay]] = {}
        self._now: dict[str, int] = {}
        self._withdrawn: set[str] = set()

    def learn(self, event: layout.AnyEvent) -> None:
        """To be called with all events first."""
        match event:
            case layout.ParticipantJoined(participant=who, name=name, point=point):
                self.stays.setdefault(who, []).append(Stay((event.at_ms or 0) * 1_000, name, point))
            case layout.ParticipantRenamed(participant=who, name=name) if who in self.stays:
                stay = self.stays[who][-1]
                stay.name, stay.agreed = name or stay.name, bool(name)
            case layout.ConsentAnswered(participant=who, agreed=agreed) if who in self.stays:
                self.stays[who][-1].agreed = agreed

    def follow(self, event: layout.AnyEvent) -> None:
        """It is this event's time now."""
        match event:
            case layout.ParticipantJoined(participant=who):
                self._now[who] = self._now.get(who, -1) + 1
                self._withdrawn.discard(who)
            case layout.ParticipantRenamed(participant=who, name=name):
                (self._withdrawn.discard if name else self._withdrawn.add)(who)
            case layout.ConsentAnswered(participant=who, agreed=agreed):
                (self._withdrawn.discard if agreed else self._withdrawn.add)(who)

    def name(self, who: str) -> str:
        """As far as it may be told; else the point."""
        if who not in self._now:
            return ""
        stay = self.stays[who][self._now[who]]
        return stay.point if who in self._withdrawn else stay.name or stay.point


def story_of(events: Sequence[dict[str, Any]]) -> Story:
    """Reads events in the order of time; those of later versions are passed over."""
    story = Story()
    known = [event for event in map(layout.event_of, events) if event is not None]
    removed = {event.mark for event in known if isinstance(event, layout.MarkRemoved)}
    people = _People()
    for event in known:
        _learn(story, event)
        people.learn(event)
    story.stays = people.stays
    for event in known:
        people.follow(event)
        at_us = (event.at_ms or 0) * 1_000
        match event:
            case layout.StageChanged(stage=stage) if stage:
                on_stage = ", ".join(name for each in stage if (name := people.name(each)))
                story.moments.append((at_us, on_stage or "Stage"))
            case layout.MarkAdded(mark=mark, text=text) if mark not in removed:
                story.moments.append((at_us, text))
            case layout.ChatSent(name=name, text=text):
                story.chat.append((at_us, f"{name}: {text}" if name else text))
    story.moments.sort(key=lambda moment: moment[0])
    story.chat.sort(key=lambda line: line[0])
    return story


def _learn(story: Story, event: layout.AnyEvent) -> None:
    match event:
        case layout.RecordingStarted():
            story.session, story.title = event.session, event.title
            story.started_at_ms = event.started_at
        case layout.ConsentAnswered(participant=participant, language=language):
            story.languages[participant] = language


def _lasting(moments: Sequence[tuple[int, str]], end_us: int, shortest_us: int = 1) -> Iterator[Caption]:
    """Each until the next; of several at one moment, all in one."""
    merged: dict[int, list[str]] = {}
    for at_us, text in moments:
        merged.setdefault(at_us, []).append(text)
    starts = [*merged, end_us]
    for place, (at_us, texts) in enumerate(merged.items()):
        yield Caption(at_us, max(starts[place + 1], at_us + shortest_us), "\n".join(texts))
