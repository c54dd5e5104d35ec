"""What a recording of a session and the news of it say, in the words of the tests."""

from __future__ import annotations

from bridge.recordings import layout
from tests.fakes import Client, FakeRecording


def told_recording(client: Client) -> object:
    """The recording in the newest news of the session."""
    told = client.take("sessionChanged")
    return told[-1]["session"]["recording"] if told else "nothing told"


def joined_names(recording: FakeRecording) -> list[str]:
    return [event.name for event in recording.of(layout.ParticipantJoined)]
