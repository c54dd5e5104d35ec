"""Who speaks: thresholds, pauses, and how often it is told."""

from __future__ import annotations

from bridge.ids import ParticipantId
from bridge.speakers import HOLD_MS, SHORTEST_INTERVAL_MS, Speakers

ANN, BOB = ParticipantId("ann"), ParticipantId("bob")


def names(speakers: Speakers) -> list[ParticipantId]:
    return [name for name, _ in speakers.told]


def test_steady_speech_without_new_levels_goes_on() -> None:
    speakers = Speakers()
    speakers.hear(ANN, -30, 0)
    speakers.update(0)
    assert speakers.update(10 * HOLD_MS) is None
    assert names(speakers) == [ANN]


def test_pause_between_words_is_no_end() -> None:
    speakers = Speakers()
    speakers.hear(ANN, -30, 0)
    speakers.update(0)
    speakers.hear(ANN, -80, 400)
    speakers.update(400 + HOLD_MS - 1)
    assert names(speakers) == [ANN]
    assert speakers.update(400 + HOLD_MS + SHORTEST_INTERVAL_MS) == ()


def test_background_noise_is_nobody() -> None:
    speakers = Speakers()
    speakers.hear(ANN, -55, 0)
    assert speakers.update(1000) is None


def test_main_speaker_stays_while_speaking_and_in_silence() -> None:
    speakers = Speakers()
    speakers.hear(ANN, -40, 0)
    speakers.update(0)
    speakers.hear(BOB, -20, 500)
    speakers.update(500)
    assert (names(speakers), speakers.main) == ([BOB, ANN], ANN)
    speakers.hear(ANN, -90, 1000)
    speakers.update(2000)
    assert speakers.main == BOB
    speakers.hear(BOB, -90, 3000)
    speakers.update(5000)
    assert (names(speakers), speakers.main) == ([], BOB)


def test_forgotten_microphone_is_not_the_main_speaker() -> None:
    speakers = Speakers()
    speakers.hear(ANN, -40, 0)
    speakers.update(0)
    speakers.forget(ANN)
    assert speakers.main is None
    assert speakers.update(1000) == ()
