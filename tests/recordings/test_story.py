"""What an exported file tells of people: the right names at the right time, and none of who did not agree."""

from __future__ import annotations

import msgspec

from bridge.recordings import layout
from bridge.recordings.export.story import story_of


def chapters(*events: layout.Event) -> list[str]:
    story = story_of([msgspec.to_builtins(event) for event in events])
    return [text for _, text in story.moments]


def joined(at_ms: int, name: str, participant: str = "seat1", point: str = "Sa Pa") -> layout.Event:
    return layout.ParticipantJoined(
        at_ms=at_ms, participant=participant, name=name, role="satellite", point=point
    )


def renamed(at_ms: int, name: str) -> layout.Event:
    return layout.ParticipantRenamed(at_ms=at_ms, participant="seat1", name=name)


def stage(at_ms: int) -> layout.Event:
    return layout.StageChanged(at_ms=at_ms, stage=("seat1",))


def test_a_name_that_was_agreed_to_a_moment_later_is_told_from_the_beginning() -> None:
    assert chapters(joined(0, ""), stage(0), renamed(5_000, "Lan")) == ["Lan"]


def test_who_never_agreed_is_told_by_the_point_only() -> None:
    assert chapters(joined(0, ""), stage(0)) == ["Sa Pa"]


def test_who_takes_the_consent_back_is_named_no_more() -> None:
    told = chapters(
        joined(0, "Lan"), stage(0), renamed(5_000, ""), stage(6_000), renamed(7_000, "Lan"), stage(8_000)
    )
    assert told == ["Lan", "Sa Pa", "Lan"]


def test_the_next_one_on_the_same_seat_does_not_get_the_name_of_the_one_before() -> None:
    left = layout.ParticipantLeft(at_ms=3_000, participant="seat1", reason="left")
    assert chapters(joined(0, "Lan"), stage(0), left, joined(4_000, ""), stage(5_000)) == ["Lan", "Sa Pa"]
    told = chapters(joined(0, ""), stage(0), left, joined(4_000, ""), stage(5_000), renamed(6_000, "Mai"))
    assert told == ["Sa Pa", "Mai"]
