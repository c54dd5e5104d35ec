"""Search (PS3.18 10.6): rows of studies, series and instances from the index, the notes and, where needed, metadata.

It knows which studies it is given, and neither who asks nor HTTP. Reading blocks for the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.matching import Json, Path, Query, matches
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf
from bridge.imaging.layout import json_of
from bridge.imaging.parsing import StudyFacts
from bridge.imaging.study import Instance

STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
_RETRIEVE_URL = "00081190"
_SERIES_TAGS = (
    "00080060",  # Modality
    "0008103E",  # SeriesDescription
    "00080021",  # SeriesDate
    "00080031",  # SeriesTime
    "00180015",  # BodyPartExamined
    "00200011",  # SeriesNumber
    "00400244",  # PerformedProcedureStepStartDate
    "00400245",  # PerformedProcedureStepStartTime
    "00400275",  # RequestAttributesSequence
    "00200060",  # Laterality
    "00080201",  # TimezoneOffsetFromUTC
)


@dataclass(frozen=True, slots=True)
class Found:
    """Rows in the JSON model. `more`: there are others beyond the limit. `ignored`: filters that were not looked at."""

    rows: list[Json]
    more: bool = False
    ignored: bool = False


class Finder:
    """One query. `base` is the address of the service, for what can be fetched."""

    def __init__(self, shelf: Shelf, query: Query, base: str) -> None:
        self._shelf = shelf
        self._query = query
        self._base = base

    def studies(self, entries: list[StudyEntry]) -> Found:
        """Of these studies those that match."""
        filters = {path: wanted for path, wanted in self._query.filters.items() if path[0] in _STUDY_TAGS}
        # Of series and instances nothing is known here; `ModalitiesInStudy` is asked for by either name.
        if (modality := self._query.filters.get(("00080060",))) is not None:
            filters.setdefault(("00080061",), modality)
        rows = (row for row in (study_row(each, self._base) for each in entries) if matches(row, filters))
        ignored = len(self._query.without(_STUDY_TAGS | {"00080060"})) > 0
        return self._page(rows, ignored)

    def series(self, entries: list[StudyEntry], *, with_study: bool) -> Found:
        """The series of these studies. `with_study`: rows tell of their study too."""
        return self._page(self._series(entries, with_study), ignored=False)

    def instances(self, entries: list[StudyEntry], *, with_study: bool, with_series: bool) -> Found:
        """The instances of these studies."""
        return self._page(self._instances(entries, with_study, with_series), ignored=False)

    def _page(self, rows: Iterator[Json], ignored: bool) -> Found:
        first, last = self._query.offset, self._query.offset + self._query.limit
        page: list[Json] = []
        for number, row in enumerate(rows):
            if number >= last:
                return Found(page, more=True, ignored=ignored)
            if number >= first:
                page.append(row)
        return Found(page, ignored=ignored)

    def _entries(self, entries: list[StudyEntry]) -> Iterator[tuple[StudyEntry, Json]]:
        """Those that match by what is known of them without opening them."""
        filters = {path: wanted for path, wanted in self._query.filters.items() if path[0] in _STUDY_TAGS}
        for entry in entries:
            row = study_row(entry, self._base)
            if matches(row, filters):
                yield entry, row

    def _series(self, entries: list[StudyEntry], with_study: bool) -> Iterator[Json]:
        for entry, study in self._entries(entries):
            filters = self._query.without(study)
            with self._shelf.study(entry.id) as opened:
                rows = []
                for uid, instances in opened.reader.series().items():
                    if not _uid_fits(self._query, SERIES_UID, uid):
                        continue
                    row, dataset = self._series_row(opened, entry, uid, instances)
                    if matches(dataset | row, filters):
                        rows.append(self._complete(row, dataset, study if with_study else {}))
            yield from rows

    def _instances(self, entries: list[StudyEntry], with_study: bool, with_series: bool) -> Iterator[Json]:
        for entry, study in self._entries(entries):
            filters = self._query.without(study)
            with self._shelf.study(entry.id) as opened:
                rows = []
                for uid, instances in opened.reader.series().items():
                    if not _uid_fits(self._query, SERIES_UID, uid):
                        continue
                    above = dict(study) if with_study else {}
                    if with_series:
                        above |= self._series_row(opened, entry, uid, instances)[0]
                    for instance in instances:
                        row = self._instance_row(opened, entry, instance, filters, above)
                        if row is not None:
                            rows.append(row)
            yield from rows

    def _series_row(
        self, opened: OpenStudy, entry: StudyEntry, uid: str, instances: list[Instance]
    ) -> tuple[Json, Json]:
        """What is told of a series, and the dataset of the first of its instances."""
        dataset = json_of(opened.metadata(instances[0]))
        row = {tag: dataset[tag] for tag in _SERIES_TAGS if tag in dataset and _is_short(dataset[tag])}
        row |= {
            "00080005": _element("CS", "ISO_IR 192"),
            "00080056": _element("CS", "ONLINE"),
            SERIES_UID: _element("UI", uid),
            STUDY_UID: _element("UI", entry.uid),
            _RETRIEVE_URL: _element("UR", f"{self._base}/studies/{entry.uid}/series/{uid}"),
            "00201209": _element("IS", len(instances)),
        }
        return row, dataset

    def _instance_row(
        self, opened: OpenStudy, entry: StudyEntry, instance: Instance, filters: dict[Path, str], above: Json
    ) -> Json | None:
        row = instance_row(entry, instance, self._base)
        known = above | row
        needs_all = (
            self._query.everything
            or not self._query.include <= known.keys()
            or any(path[0] not in known for path in filters)
        )
        dataset = json_of(opened.metadata(instance)) if needs_all else {}
        if not matches(dataset | known, filters):
            return None
        return self._complete(row, dataset, above)

    def _complete(self, row: Json, dataset: Json, above: Json) -> Json:
        """With what was asked for besides; values that are kept outside of the metadata are left out."""
        wanted = dataset.keys() if self._query.everything else self._query.include & dataset.keys()
        more = {tag: dataset[tag] for tag in wanted if _is_short(dataset[tag])}
        return dict(sorted((more | above | row).items()))


def study_row(entry: StudyEntry, base: str) -> Json:
    """What is told of a study."""
    facts = entry.facts
    return {
        "00080005": _element("CS", "ISO_IR 192"),
        "00080020": _element("DA", facts.study_date),
        "00080030": _element("TM", facts.study_time),
        "00080050": _element("SH", facts.accession),
        "00080056": _element("CS", "ONLINE"),
        "00080061": _element("CS", *entry.modalities),
        "00080062": _element("UI", *entry.sop_classes),
        "00080090": _person(facts.referrer),
        "00081030": _element("LO", facts.description),
        _RETRIEVE_URL: _element("UR", f"{base}/studies/{entry.uid}"),
        "00100010": _person(facts.patient_name),
        "00100020": _element("LO", facts.patient_id),
        "00100021": _element("LO", facts.issuer),
        "00100030": _element("DA", facts.birth_date),
        "00100040": _element("CS", facts.sex),
        STUDY_UID: _element("UI", entry.uid),
        "00200010": _element("SH", facts.study_id),
        "00201206": _element("IS", entry.series),
        "00201208": _element("IS", entry.instances),
    }


def instance_row(entry: StudyEntry, instance: Instance, base: str) -> Json:
    """What is told of an instance, from its note alone."""
    note = instance.note
    where = f"{base}/studies/{entry.uid}/series/{note.series}/instances/{note.sop_instance}"
    row = {
        "00080005": _element("CS", "ISO_IR 192"),
        "00080016": _element("UI", note.sop_class),
        INSTANCE_UID: _element("UI", note.sop_instance),
        "00080056": _element("CS", "ONLINE"),
        "00080060": _element("CS", note.modality),
        "00083002": _element("UI", note.transfer_syntax),
        _RETRIEVE_URL: _element("UR", where),
        STUDY_UID: _element("UI", entry.uid),
        SERIES_UID: _element("UI", note.series),
        "00200013": _element("IS", note.number),
    }
    if note.rows and note.columns:
        row |= {
            "00280010": _element("US", note.rows),
            "00280011": _element("US", note.columns),
            "00280100": _element("US", note.bits_allocated),
            "00280008": _element("IS", max(1, note.frames)),
        }
    return row


def _element(vr: str, *values: Any) -> Json:
    told = [value for value in values if value != ""]
    return {"vr": vr, "Value": told} if told else {"vr": vr}


def _person(name: str) -> Json:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("=")[:3], strict=False)
    told = {group: text for group, text in groups if text}
    return {"vr": "PN", "Value": [told]} if told else {"vr": "PN"}


def _is_short(element: Json) -> bool:
    """Whether nothing of it lies outside, at any depth."""
    return b'"BulkDataURI":' not in msgspec.json.encode(element)


def _uid_fits(query: Query, tag: str, uid: str) -> bool:
    wanted = query.filters.get((tag,))
    return wanted is None or matches({tag: _element("UI", uid)}, {(tag,): wanted})


_STUDY_TAGS = frozenset(study_row(StudyEntry(id="", uid="", facts=StudyFacts()), ""))
