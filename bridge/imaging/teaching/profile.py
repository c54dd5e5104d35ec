"""What the Basic Profile does with each attribute (PS3.15 table E.1-1), as one action each. Pure.

The table is that of `dicomanonymizer`, made from the standard's own text (2026c). Where it leaves a choice that depends
on the object's definition, the value is replaced by a dummy or emptied rather than removed: that is allowed everywhere
and keeps the object valid.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.tag import BaseTag

VERSION = "2026c"


class Action(Enum):
    """The codes of table E.1-1."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    DESCEND = "X/Z/U*"
    """Kept with the UIDs inside replaced."""


_ACTIONS: tuple[tuple[list[Any], Action], ...] = (
    (table.X_TAGS, Action.REMOVE),
    (table.Z_TAGS, Action.EMPTY),
    (table.X_Z_TAGS, Action.EMPTY),
    (table.D_TAGS, Action.DUMMY),
    (table.Z_D_TAGS, Action.DUMMY),
    (table.X_D_TAGS, Action.DUMMY),
    (table.X_Z_D_TAGS, Action.DUMMY),
    (table.U_TAGS, Action.UID),
    (table.X_Z_U_STAR_TAGS, Action.DESCEND),
)
_TIMES = frozenset(("DA", "DT", "TM"))
_NAMING = frozenset(("PN", "AE"))
_SORTS = {
    vr: sort
    for sort, vrs in (
        ("text", "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT"),
        ("bytes", "OB OW OD OF OL OV"),
        ("number", "US SS UL SL UV SV FL FD AT"),
        ("sequence", "SQ"),
        ("uid", "UI"),
    )
    for vr in vrs.split()
}
"""UN is of none."""
_BIRTH = frozenset((0x00100030, 0x00100032))
"""A patient's birth is not shifted by the option on dates but emptied."""
_CURVES, _OVERLAYS, _REPEATING = 0x5000, 0x6000, 0xFF00


@cache
def _by_tag() -> dict[int, Action]:
    return {(tag[0] << 16) | tag[1]: action for tags, action in _ACTIONS for tag in tags if len(tag) == 2}


@cache
def _removable() -> frozenset[int]:
    return frozenset((tag[0] << 16) | tag[1] for tag in (*table.X_D_TAGS, *table.X_Z_D_TAGS))


def action_of(tag: BaseTag, vr: str) -> Action:
    """What becomes of this attribute. Private ones and those that are not in the standard are removed."""
    if tag.is_private or not dictionary_has_tag(tag):
        return Action.REMOVE
    group = tag.group & _REPEATING
    if group in (_CURVES, _OVERLAYS):
        return Action.REMOVE  # An overlay without its data and comments is none.
    action = _by_tag().get(int(tag), Action.KEEP)
    if action is Action.DUMMY and vr == "SQ" and int(tag) in _removable():
        return Action.REMOVE  # A sequence of dummies would hardly be valid.
    # A name or an address of a device that the table forgot is none that a copy needs.
    if action is Action.KEEP and not _NAMING.isdisjoint((vr, *vrs_of(tag))):
        return Action.DUMMY
    return action


def vrs_of(tag: BaseTag) -> list[str]:
    """Those that the standard allows."""
    return dictionary_VR(tag).split(" or ")


def is_as_defined(tag: BaseTag, vr: str) -> bool:
    """Whether a value that is said to be of this VR is of the sort that the standard gives this attribute.

    Only then does it hold what the table had in mind: a sequence written as bytes may say anything.
    """
    allowed = {_SORTS.get(each, "") for each in vrs_of(tag)}
    return all(_SORTS.get(each) in allowed for each in vr.split(" or "))


def is_shiftable(tag: BaseTag) -> bool:
    """Whether the option on longitudinal information with modified dates keeps it, shifted."""
    if int(tag) in _BIRTH or not dictionary_has_tag(tag):
        return False
    return any(vr in _TIMES for vr in vrs_of(tag))
