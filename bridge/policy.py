"""Who may do what, and who comes first: the tables of `docs/protocol.md` as pure functions. Knows no state."""

from __future__ import annotations

import hashlib
import unicodedata

from bridge.errors import ProtocolError
from bridge.ids import InviteId, ParticipantId, Role, SessionFormat
from bridge.media.contract import Kind, Source

STAGE_LIMIT = {SessionFormat.CONSULT: 24, SessionFormat.EVENT: 9}
"""How many may be on the stage: what one screen and one satellite's line still bear."""

UNSAID_HEIGHT: dict[SessionFormat, int | None] = {SessionFormat.CONSULT: None, SessionFormat.EVENT: 180}
"""How high, in pixels, a picture is taken to be shown where nobody has said it; None: as high as it is. When the stage
of an event changes, hundreds of pages are about to say it: until then they need no more than a small picture."""

PRIORITY = {
    Source.ULTRASOUND: 40,
    Source.MICROSCOPE: 30,
    Source.SCREEN: 20,
    Source.CAMERA: 10,
    Source.ULTRASOUND_SOUND: 50,
    Source.MICROPHONE: 60,
}
"""Who keeps quality when a line is short: the diagnostic picture before all other pictures, sound before all."""

_PUBLISHES: dict[Role, tuple[Source, ...]] = {
    Role.ORGANISER: (Source.MICROPHONE, Source.CAMERA, Source.SCREEN),
    Role.HUB: tuple(Source),
    Role.SATELLITE: tuple(Source),
    Role.VIEWER: (),
}
_PUBLISHES_ON_STAGE: dict[Role, tuple[Source, ...]] = _PUBLISHES | {
    Role.VIEWER: (Source.MICROPHONE, Source.CAMERA)
}
_GETS_FLOOR: dict[SessionFormat, frozenset[Role]] = {
    SessionFormat.CONSULT: frozenset({Role.HUB, Role.SATELLITE, Role.ORGANISER}),
    SessionFormat.EVENT: frozenset({Role.HUB, Role.ORGANISER}),
}
_READERS = frozenset({Role.ORGANISER, Role.HUB, Role.SATELLITE})
"""As `bridge.imaging.access` has it."""
_MODERATORS = frozenset({Role.ORGANISER, Role.HUB})
_AUDIO = frozenset({Source.MICROPHONE, Source.ULTRASOUND_SOUND})

# Cf holds the direction overrides.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ZERO_WIDTH = "\u200c\u200d"
_JOINERS = frozenset(_ZERO_WIDTH + "\ufe0e\ufe0f")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
"""Letters, marks and symbols by their category, yet nothing is drawn for them."""


def participant_id(invite: InviteId, seat: int) -> ParticipantId:
    """The same invite and seat give the same participant, also after a restart of the server."""
    return ParticipantId("p" + hashlib.blake2b(f"{invite}/{seat}".encode(), digest_size=8).hexdigest())


def publishable(role: Role, on_stage: bool) -> tuple[Source, ...]:
    """The sources that may be published."""
    return (_PUBLISHES_ON_STAGE if on_stage else _PUBLISHES)[role]


def permissions(role: Role, on_stage: bool) -> tuple[str, ...]:
    """As told to clients."""
    granted = [f"publish:{source.value}" for source in publishable(role, on_stage)]
    if moderates(role):
        granted += ["moderate", "endSession", "record", "mark", "replay"]
    if reads(role):
        granted.append("read")
    return (*granted, "chat", "raiseHand")


def moderates(role: Role) -> bool:
    """May mute and remove others, give and take the floor, lower hands, record, mark, replay, end the session; sees all
    viewers."""
    return role in _MODERATORS


def reads(role: Role) -> bool:
    """May see the studies of the session, and read them together with the others."""
    return role in _READERS


def gets_floor(role: Role, session_format: SessionFormat) -> bool:
    """Whether the floor comes with joining."""
    return role in _GETS_FLOOR[session_format]


def unlisted(role: Role, session_format: SessionFormat) -> bool:
    """Whether it is counted, and only moderators see it off the stage: hundreds of points are no list for a page."""
    return role is Role.VIEWER or (role is Role.SATELLITE and session_format is SessionFormat.EVENT)


def layers_wanted(
    session_format: SessionFormat, source: Source, layers: tuple[str, ...], *, seen: bool
) -> tuple[str, ...]:
    """Which of its layers a publisher should send. Of who is not `seen` in an event (off the stage, and not next)
    there is only a small picture on the organisers' wall; hundreds of points send no more than that."""
    if seen or session_format is SessionFormat.CONSULT or kind_of(source) == "audio":
        return layers
    return layers[:1] if source is Source.CAMERA else ()


def kind_of(source: Source) -> Kind:
    """Sound or picture."""
    return "audio" if source in _AUDIO else "video"


def clean_name(name: str) -> str:
    """One line without characters that are not seen, which could pass for somebody else's name.

    Raises ProtocolError if nothing is left.
    """
    spaced = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFC", name))
    cleaned = " ".join(_seen(spaced).split())
    if not any(unicodedata.category(char)[0] in "LNS" for char in cleaned):
        raise ProtocolError("A name needs at least one letter.")
    return cleaned


def clean_text(text: str) -> str:
    """Lines of chat without control and direction characters. Raises ProtocolError if nothing is left."""
    cleaned = "\n".join(_seen(line).rstrip() for line in text.splitlines()).strip()
    if not cleaned:
        raise ProtocolError("The text is empty.")
    return cleaned


def clean_mark(text: str) -> str:
    """One line, which may be empty."""
    return " ".join(_seen("".join(" " if char.isspace() else char for char in text)).split())


def _seen(text: str) -> str:
    """Joiners and variation selectors stay only where scripts and emoji need them: elsewhere nobody sees them."""
    kept: list[str] = []
    for char in text:
        if char in _JOINERS:
            joins = bool(kept) and not kept[-1].isspace() and not _stands_alone(kept[-1])
        else:
            joins = char not in _BLANK and unicodedata.category(char) not in _UNSEEN
            if joins and kept and kept[-1] in _ZERO_WIDTH and (char.isspace() or _stands_alone(char)):
                kept.pop()
        if joins:
            kept.append(char)
    return "".join(kept).rstrip(_ZERO_WIDTH)


def _stands_alone(char: str) -> bool:
    return char in _JOINERS or unicodedata.name(char, "").startswith(("LATIN", "CYRILLIC", "GREEK"))
