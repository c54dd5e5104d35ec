"""What the readers of one session share: who leads, who asks to, the slots of the common view, how far each reader is.

Policy only: no socket, no clock, and no idea of what a slot means but for `study`, with which a new view begins. The
newest state is all that is kept, in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.errors import LimitExceeded, NotAuthorised, ProtocolError
from bridge.ids import ParticipantId

STUDY = "study"
SLOTS_LIMIT = 256
CHANGES_LIMIT = 2 * SLOTS_LIMIT
"""All slots of a full view removed at once, and as many others set."""
VALUE_LIMIT_BYTES = 2 * 1024
VIEW_LIMIT_BYTES = 64 * 1024
"""Names and values of all slots: what who joins late is sent at once."""
DEPTH_LIMIT = 8
"""Of lists and objects within each other: other programs' readers of JSON bear less than this server's."""
_SLOT = re.compile(r"[a-z]{1,12}(\.[0-9A-Za-z-]{1,40})?")
_NOTHING = b"null"


@dataclass(frozen=True, slots=True)
class Delta:
    """What is different in the view, by encoded values (`null`: gone). `whole`: these are all slots there are."""

    changes: Mapping[str, bytes]
    whole: bool

    @property
    def size_bytes(self) -> int:
        """What each who is told of it is sent, about."""
        return _size_bytes(self.changes)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one reader is: whether it shows what the leader shows, and how many pictures of the view it has."""

    following: bool
    preview: int = 0
    sharp: int = 0
    total: int = 0


class Reading:
    """The reading of one session. Whoever calls has been let do so, but for what only the leader may."""

    def __init__(self) -> None:
        self.leader: ParticipantId | None = None
        self.asking: list[ParticipantId] = []
        """Who wants to lead, the longest first; empty while nobody leads."""
        self.by: ParticipantId | None = None
        """Who changed the view last."""
        self.shown = ""
        """Id of the study on view, if it is one of the session's; never its UID."""
        self.lead_is_news = False
        self.readers_are_news = False
        self.readers_told_at_ms = 0
        self._view: dict[str, bytes] = {}
        self._readers: dict[ParticipantId, Progress] = {}

    @property
    def is_untouched(self) -> bool:
        """Nobody leads, nothing is on view, and there is nothing to tell."""
        return not (self.leader or self._view or self.shown or self.lead_is_news or self.readers_are_news)

    # Who leads

    def ask(self, who: ParticipantId) -> None:
        """Leads at once if nobody does; else waits its turn."""
        if self.leader is None:
            self._lead(who)
        elif who != self.leader and who not in self.asking:
            self.asking.append(who)
            self.lead_is_news = True

    def ask_no_more(self, who: ParticipantId) -> None:
        """It changed its mind, or was turned down."""
        if who in self.asking:
            self.asking.remove(who)
            self.lead_is_news = True

    def give(self, whom: ParticipantId | None) -> None:
        """The lead changes hands; given to nobody it goes to who asked for it the longest."""
        if whom is None and self.asking:
            whom = self.asking[0]
        if whom != self.leader:
            self._lead(whom)

    def forget(self, who: ParticipantId) -> None:
        """It is gone: the view stays, and the lead goes on."""
        self.ask_no_more(who)
        if self._readers.pop(who, None) is not None:
            self.readers_are_news = True
        if who == self.leader:
            self.give(None)

    def _lead(self, who: ParticipantId | None) -> None:
        self.leader = who
        if who in self.asking:
            self.asking.remove(who)
        self.lead_is_news = True

    # The view

    @property
    def view(self) -> Mapping[str, bytes]:
        """All slots with their encoded values."""
        return self._view

    @property
    def study(self) -> str | None:
        """StudyInstanceUID of the study on view, as its slot says."""
        value = self._view.get(STUDY)
        said = None if value is None else msgspec.json.decode(value)
        return said if isinstance(said, str) else None

    def change(
        self, by: ParticipantId, changes: Mapping[str, Any], pay: Callable[[int], None] | None = None
    ) -> Delta:
        """Sets slots, and removes those whose value is None. All of it is done, or nothing.

        `pay` is asked with the bytes that each of the others will be sent, and raises if that is too much now. Raises
        NotAuthorised (`notAllowed`) for who does not lead, ProtocolError, LimitExceeded (`tooLarge`).
        """
        if by != self.leader:
            raise NotAuthorised("Only who leads changes what all see.", "notAllowed")
        if len(changes) > CHANGES_LIMIT:
            raise LimitExceeded("Too many changes of the view at once.", "tooLarge")
        encoded = {_checked_name(name): _encoded(value) for name, value in changes.items()}
        anew = STUDY in encoded and encoded[STUDY] != self._view.get(STUDY, _NOTHING)
        before = {} if anew else self._view
        different = {name: value for name, value in encoded.items() if value != before.get(name, _NOTHING)}
        view = {name: value for name, value in (before | different).items() if value != _NOTHING}
        if len(view) > SLOTS_LIMIT or _size_bytes(view) > VIEW_LIMIT_BYTES:
            raise LimitExceeded("The view holds too much: remove some of its notes.", "tooLarge")
        delta = Delta(view if anew else different, anew)
        if pay is not None:
            pay(delta.size_bytes)
        if delta.changes or anew:
            self._view, self.by = view, by
        if anew:
            # What was said of another study's pictures says nothing of these.
            self._readers = {who: Progress(each.following) for who, each in self._readers.items()}
            self.readers_are_news = True
        return delta

    # How far readers are

    @property
    def readers(self) -> Mapping[ParticipantId, Progress]:
        """Who has the pictures open."""
        return self._readers

    def report(self, who: ParticipantId, progress: Progress | None) -> None:
        """How far it is now; None when it looks no more."""
        if self._readers.get(who) == progress:
            return
        if progress is None:
            del self._readers[who]
        else:
            self._readers[who] = progress
        self.readers_are_news = True


def _checked_name(name: str) -> str:
    if not _SLOT.fullmatch(name):
        raise ProtocolError("There is no slot of that name.")
    return name


def _encoded(value: Any) -> bytes:
    if _is_deep(value, DEPTH_LIMIT):
        raise LimitExceeded("A slot's value has too many levels.", "tooLarge")
    encoded = msgspec.json.encode(value)
    if len(encoded) > VALUE_LIMIT_BYTES:
        raise LimitExceeded(f"A slot holds at most {VALUE_LIMIT_BYTES // 1024} KiB.", "tooLarge")
    return encoded


def _size_bytes(slots: Mapping[str, bytes]) -> int:
    return sum(len(name) + len(value) for name, value in slots.items())


def _is_deep(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (levels == 0 or any(_is_deep(each, levels - 1) for each in inner))
