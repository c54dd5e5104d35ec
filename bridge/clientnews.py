"""What a client program knows of its session: the snapshot, kept up with what the server says (`docs/protocol.md`).

Knows no connection and no media.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Message = dict[str, Any]


class Known:
    """The newest state that was told."""

    def __init__(self) -> None:
        self.id = ""
        self.session: Message = {}
        self.participants: dict[str, Message] = {}
        self.tracks: dict[str, Message] = {}
        self.stage: list[str] = []
        self.hands: list[str] = []
        self.chat: list[Message] = []
        self.speakers: list[Message] = []
        self.permissions: list[str] = []
        self.marks: list[Message] = []
        self.studies: dict[str, Message] = {}
        self.leader: str | None = None
        self.asking: list[str] = []
        self.view: dict[str, Any] = {}
        self.readers: dict[str, Message] = {}
        self.event: Message = {}
        self.questions: list[Message] = []

    @property
    def recording(self) -> Message | None:
        """The recording that runs, as told: its id, state and beginning."""
        running: Message | None = self.session.get("recording")
        return running

    def snapshot(self, joined: Message) -> None:
        """All of it anew, but for what is told besides."""
        self.id = joined["participant"]
        self.session = joined["session"]
        self.participants = {p["id"]: p for p in joined["participants"]}
        self.tracks = {t["id"]: t for t in joined["tracks"]}
        self.stage, self.hands = joined["stage"], joined["hands"]
        self.chat, self.permissions = joined["chat"], joined["permissions"]
        self.marks = joined["marks"]

    def hear(self, message: Message) -> None:
        """A change or a piece of news; what is of no consequence here is passed over."""
        handler = _HANDLERS.get(message["type"])
        if handler is not None:
            handler(self, message)


def _put(where: str, name: str) -> Callable[[Known, Message], None]:
    def handler(known: Known, message: Message) -> None:
        getattr(known, where)[message[name]["id"]] = message[name]

    return handler


def _studies_listed(known: Known, message: Message) -> None:
    known.studies = {study["uid"]: study for study in message["studies"]}


def _study_changed(known: Known, message: Message) -> None:
    known.studies[message["study"]["uid"]] = message["study"]


def _reading_changed(known: Known, message: Message) -> None:
    known.leader, known.asking = message["leader"], message["asking"]


def _view_changed(known: Known, message: Message) -> None:
    before = {} if message["whole"] else known.view
    slots = before | message["changes"]
    known.view = {name: value for name, value in slots.items() if value is not None}


def _readers_changed(known: Known, message: Message) -> None:
    known.readers = {reader["participant"]: reader for reader in message["readers"]}


def _drop(where: str, name: str) -> Callable[[Known, Message], None]:
    def handler(known: Known, message: Message) -> None:
        getattr(known, where).pop(message[name], None)

    return handler


def _replace(where: str, name: str) -> Callable[[Known, Message], None]:
    def handler(known: Known, message: Message) -> None:
        setattr(known, where, message[name])

    return handler


_HANDLERS: dict[str, Callable[[Known, Message], None]] = {
    "participantJoined": _put("participants", "participant"),
    "participantChanged": _put("participants", "participant"),
    "participantLeft": _drop("participants", "participant"),
    "trackPublished": _put("tracks", "track"),
    "trackChanged": _put("tracks", "track"),
    "trackUnpublished": _drop("tracks", "track"),
    "stageChanged": _replace("stage", "stage"),
    "handsChanged": _replace("hands", "hands"),
    "sessionChanged": _replace("session", "session"),
    "permissionsChanged": _replace("permissions", "permissions"),
    "marksChanged": _replace("marks", "marks"),
    "speakersChanged": _replace("speakers", "speakers"),
    "studiesListed": _studies_listed,
    "studyChanged": _study_changed,
    "readingChanged": _reading_changed,
    "viewChanged": _view_changed,
    "readersChanged": _readers_changed,
    "eventChanged": lambda known, message: setattr(known, "event", message),
    "questionsChanged": _replace("questions", "questions"),
    "chatSent": lambda known, message: known.chat.append(message["line"]),
}
