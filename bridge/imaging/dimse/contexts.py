"""Which presentation contexts are accepted: echo, query and retrieve, commitment, and every storage class in every
transfer syntax that can be kept (PS3.4 B, C and J, PS3.8 9.3.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from pydicom.config import IGNORE
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from bridge.imaging.errors import DicomError
from bridge.imaging.syntaxes import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax_of

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
_STANDARD_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_NO_OBJECTS = ("1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.200.", "1.2.840.10008.5.1.4.1.1.201.")
"""Directories of discs; services that are numbered among the storage classes."""
_CT_PROTOCOLS = (
    "1.2.840.10008.5.1.4.1.1.200.1",
    "1.2.840.10008.5.1.4.1.1.200.2",
    "1.2.840.10008.5.1.4.1.1.200.3",
)
_PLAIN = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
"""Of questions. A deflated one could grow a thousand times."""


class Query(NamedTuple):
    """A service of a query model."""

    verb: Literal["find", "move", "get"]
    patients: bool


QUERIES = {
    "1.2.840.10008.5.1.4.1.2.1.1": Query("find", patients=True),
    "1.2.840.10008.5.1.4.1.2.1.2": Query("move", patients=True),
    "1.2.840.10008.5.1.4.1.2.1.3": Query("get", patients=True),
    "1.2.840.10008.5.1.4.1.2.2.1": Query("find", patients=False),
    "1.2.840.10008.5.1.4.1.2.2.2": Query("move", patients=False),
    "1.2.840.10008.5.1.4.1.2.2.3": Query("get", patients=False),
}


def is_storage(uid: str) -> bool:
    """Whether objects of this class may be kept: all of the standard, and private ones, known to their maker only."""
    if uid in _CT_PROTOCOLS:
        return True
    if uid.startswith(_NO_OBJECTS):
        return False
    if not uid.startswith(_STANDARD_ROOT) or uid.startswith(_STORAGE_ROOT):
        return True
    name = UID(uid, validation_mode=IGNORE).name
    return name.endswith("Storage") or "Storage -" in name or "Image Storage" in name


def supported(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """What is accepted of these. A sender that leaves us the choice of syntax gets the first that it named."""
    syntaxes: dict[str, dict[str, None]] = {}
    for context in proposed:
        named = syntaxes.setdefault(str(context.abstract_syntax), {})
        named.update(dict.fromkeys(str(syntax) for syntax in context.transfer_syntax))
    return [
        made
        for uid, named in syntaxes.items()
        if (made := _context(uid, [syntax for syntax in named if _is_accepted(uid, syntax)])) is not None
    ]


def _context(uid: str, syntaxes: list[str]) -> PresentationContext | None:
    if not syntaxes:
        return None
    context = PresentationContext()
    context.abstract_syntax = UID(uid, validation_mode=IGNORE)
    context.transfer_syntax = [UID(syntax, validation_mode=IGNORE) for syntax in syntaxes]
    if uid == STORAGE_COMMITMENT:
        # It is asked of us, and told to us by those whom we asked.
        context.scu_role = context.scp_role = True
    elif is_storage(uid):
        # Who wants to be sent objects on this same association, by C-GET, asks for both roles.
        context.scu_role = context.scp_role = True
    return context


def _is_accepted(uid: str, syntax: str) -> bool:
    if uid in (VERIFICATION, STORAGE_COMMITMENT) or uid in QUERIES:
        return syntax in _PLAIN
    return is_storage(uid) and is_kept(syntax)


def is_kept(syntax: str) -> bool:
    """Whether objects in this transfer syntax can be kept."""
    try:
        syntax_of(syntax)
    except DicomError:
        return False
    return True


def wanted(pairs: Iterable[tuple[str, str]], limit: int = 128) -> list[PresentationContext]:
    """To propose for sending objects of these classes and syntaxes; as stored first, then what they can be turned
    into."""
    made: dict[tuple[str, ...], PresentationContext] = {}
    for sop_class, syntax in pairs:
        made.setdefault((sop_class, syntax), _proposal(sop_class, [syntax]))
    for sop_class, syntax in list(made):
        others = [other for other in turnable(syntax) if (sop_class, other) not in made]
        if others:
            made.setdefault((sop_class, *others), _proposal(sop_class, others))
    return list(made.values())[:limit]


def turnable(syntax: str) -> tuple[str, ...]:
    """Those that an object in this one can be written in without loss: plain ones, after decoding if need be."""
    little = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    if syntax in (*little, DEFLATED):
        return tuple(other for other in little if other != syntax)
    try:
        return () if syntax_of(syntax).video else little
    except DicomError:
        return ()


def _proposal(sop_class: str, syntaxes: list[str]) -> PresentationContext:
    context = PresentationContext()
    context.abstract_syntax = UID(sop_class, validation_mode=IGNORE)
    context.transfer_syntax = [UID(syntax, validation_mode=IGNORE) for syntax in syntaxes]
    return context
