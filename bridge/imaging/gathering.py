"""What is known of a study from its objects: begun with the first, added to with each, or made anew from all. Pure."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.layout import json_of
from bridge.imaging.parsing import Parsed, StudyFacts, facts_of
from bridge.imaging.study import StudyReader

KINDS_LIMIT = 32
"""Modalities and sorts of objects that are named of one study."""


def first_entry(study: str, parsed: Parsed) -> StudyEntry:
    """Of a study that has nothing yet; `parsed` is what it will begin with."""
    at_ms = parsed.note.received_at_ms
    return StudyEntry(
        id=study, uid=parsed.note.study, facts=parsed.facts, first_at_ms=at_ms, last_at_ms=at_ms
    )


def with_object(entry: StudyEntry, parsed: Parsed, series: Container[str]) -> StudyEntry:
    """The entry with one more object; `series` are the SeriesInstanceUIDs of those before it."""
    note, facts = parsed.note, parsed.facts
    # What an object said that could not be kept after all does not count.
    known = entry.facts if entry.instances else facts
    is_other = (facts.patient_id, facts.issuer) != (known.patient_id, known.issuer)
    return msgspec.structs.replace(
        entry,
        facts=_merged(known, facts),
        modalities=_added(entry.modalities, note.modality),
        sop_classes=_added(entry.sop_classes, note.sop_class),
        series=entry.series + (note.series not in series),
        instances=entry.instances + 1,
        size_bytes=entry.size_bytes + note.size_bytes,
        mixed=entry.mixed or is_other or _named(facts) != _named(known),
        first_at_ms=min(entry.first_at_ms, note.received_at_ms),
        last_at_ms=max(entry.last_at_ms, note.received_at_ms),
    )


def entry_of(reader: StudyReader) -> StudyEntry | None:
    """From all that the study holds; None if that is nothing. Raises VaultError, DicomError."""
    instances = sorted(reader.instances(), key=lambda one: (one.note.received_at_ms, one.stream, one.part))
    entry: StudyEntry | None = None
    series: set[str] = set()
    for instance in instances:
        facts = facts_of(json_of(reader.metadata(instance)))
        parsed = Parsed(instance.note, facts, b"")
        entry = with_object(entry or first_entry(reader.id, parsed), parsed, series)
        series.add(instance.note.series)
    return entry


def _merged(known: StudyFacts, more: StudyFacts) -> StudyFacts:
    """What came first stays; what it left empty is filled."""
    fields = {name: getattr(known, name) or getattr(more, name) for name in StudyFacts.__struct_fields__}
    return StudyFacts(**fields)


def _named(facts: StudyFacts) -> str:
    """Devices write the same name with other spaces, case and empty components."""
    return " ".join(facts.patient_name.split("=")[0].replace("^", " ").split()).casefold()


def _added(kinds: tuple[str, ...], kind: str) -> tuple[str, ...]:
    if not kind or kind in kinds or len(kinds) >= KINDS_LIMIT:
        return kinds
    return (*kinds, kind)
