"""What an exported file tells of people: the right names at the right time, and none of who did not agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bridge.recordings import layout
from bridge.recordings.export.lanes import Lane, Piece
from bridge.recordings.export.story import story_of
from bridge.recordings.index import TrackIndex
from bridge.vault import Vault
from tests.recordings.making import make_recording

S_US = 1_000_000


def chapters(*events: layout.Event) -> list[str]:
    story = story_of([msgspec.to_builtins(event) for event in events])
    return [text for _, text in story.moments]


def titles(*events: layout.Event, at_us: Sequence[int]) -> list[str]:
    story = story_of([msgspec.to_builtins(event) for event in events])
    return [story.name_at("seat1", each) for each in at_us]


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


def test_a_track_has_the_name_of_who_was_on_the_seat_then() -> None:
    left = layout.ParticipantLeft(at_ms=3_000, participant="seat1", reason="left")
    events = [joined(0, "Lan"), left, joined(4_000, "Mai")]
    assert titles(*events, at_us=[0, 2_999_000, 4_000_000, 9_000_000]) == ["Lan", "Lan", "Mai", "Mai"]
    assert titles(*events[2:], at_us=[3_500_000]) == ["Mai"]  # A clip's first keyframe.
    assert titles(at_us=[0]) == [""]


@pytest.mark.parametrize("agreed", [None, False])
def test_a_track_is_not_named_after_who_takes_the_consent_back_later(agreed: bool | None) -> None:
    answer = layout.ConsentAnswered(
        at_ms=5_000, participant="seat1", name="", agreed=False, language="vi", wording="?", answered_at=1
    )
    back = renamed(5_000, "") if agreed is None else answer
    assert titles(joined(0, "Lan"), back, at_us=[0, 6_000_000]) == ["Sa Pa", "Sa Pa"]
    assert titles(joined(0, "Lan"), back, renamed(7_000, "Lan"), at_us=[0]) == ["Lan"]


def test_a_track_that_two_people_shared_has_both_names_and_a_later_window_one(tmp_path: Path) -> None:
    story = story_of([msgspec.to_builtins(event) for event in (joined(0, "Lan"), joined(4_000, "Mai"))])
    vault = Vault(tmp_path)
    track = TrackIndex(vault.open(layout.ref_of(make_recording(vault, tracks=[]).recording)), 1)
    pieces = [Piece(track, at_s, 0, "vp8", at_s * S_US, (at_s + 1) * S_US, 30, True) for at_s in range(8)]
    lane = Lane("seat1", "camera", "video", pieces)
    assert story.name_of(lane) == "Lan, Mai: camera"
    assert story.name_of(lane, 4 * S_US) == "Mai: camera"
