"""Search (PS3.18 10.6): rows of studies, series and instances from the index, the notes and, where needed, metadata.

It knows which studies it is given, and neither who asks nor HTTP. Reading blocks for the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bridge.errors import BridgeError
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.matching import Filters, Json, Query, matches
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf
from bridge.imaging.gathering import KINDS_LIMIT
from bridge.imaging.layout import Metadata, json_of
from bridge.imaging.matching import Wanted
from bridge.imaging.model import name_groups
from bridge.imaging.parsing import StudyFacts
from bridge.imaging.study import Instance

STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
TIME_LIMIT_S = 20.0
"""Of one search: what asks for more than the index knows has to open every study that it may be in."""
_MODALITY, _SOP_CLASS = ("00080060",), ("00080016",)
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

    def __init__(
        self, shelf: Shelf, query: Query, base: str, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._shelf = shelf
        self._query = query
        self._base = base
        self._now_s = now_s
        self._end_s = now_s() + TIME_LIMIT_S
        self._of_study = {path: wanted for path, wanted in query.filters.items() if path[0] in _STUDY_TAGS}

    def studies(self, entries: list[StudyEntry]) -> Found:
        """Of these studies those that match."""
        filters = dict(self._of_study)
        # Of series and instances nothing is known here; `ModalitiesInStudy` is asked for by either name.
        if (modality := self._query.filters.get(_MODALITY)) is not None:
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
        """Those that match, and may hold what is asked for, by what is known of them without opening them."""
        filters = self._query.filters
        for entry in entries:
            if not _may_hold(entry.modalities, filters.get(_MODALITY)):
                continue
            if not _may_hold(entry.sop_classes, filters.get(_SOP_CLASS)):
                continue
            row = study_row(entry, self._base)
            if matches(row, self._of_study):
                self._check_time()
                yield entry, row

    def _check_time(self) -> None:
        """Raises BridgeError (`tooLarge`), which is what PS3.18 8.3.4.4 has for too wide a search."""
        if self._now_s() > self._end_s:
            raise BridgeError(
                "This search takes too long; narrow it by date, patient or modality.", "tooLarge"
            )

    def _series(self, entries: list[StudyEntry], with_study: bool) -> Iterator[Json]:
        for entry, study in self._entries(entries):
            filters = self._query.without(study)
            rows = []
            with self._shelf.study(entry.id) as opened:
                for uid, instances in self._wanted_series(opened):
                    self._check_time()
                    metadata = opened.metadata(instances[0])
                    dataset = json_of(metadata)
                    row = self._series_row(entry, uid, dataset, metadata, len(instances))
                    if matches(dataset | row, filters):
                        rows.append(self._complete(row, dataset, metadata, study if with_study else {}))
            yield from rows

    def _instances(self, entries: list[StudyEntry], with_study: bool, with_series: bool) -> Iterator[Json]:
        for entry, study in self._entries(entries):
            filters = self._query.without(study)
            rows = []
            with self._shelf.study(entry.id) as opened:
                for uid, instances in self._wanted_series(opened):
                    above = dict(study) if with_study else {}
                    if with_series:
                        first = opened.metadata(instances[0])
                        above |= self._series_row(entry, uid, json_of(first), first, len(instances))
                    for instance in instances:
                        row = self._instance_row(opened, entry, instance, filters, above)
                        if row is not None:
                            rows.append(row)
            yield from rows

    def _wanted_series(self, opened: OpenStudy) -> Iterator[tuple[str, list[Instance]]]:
        wanted = self._query.filters.get((SERIES_UID,))
        for uid, instances in opened.reader.series().items():
            if wanted is None or wanted.fits([uid]):
                yield uid, instances

    def _series_row(
        self, entry: StudyEntry, uid: str, dataset: Json, metadata: Metadata, instances: int
    ) -> Json:
        """What is told of a series; the dataset is that of the first of its instances."""
        row = {tag: dataset[tag] for tag in _SERIES_TAGS if tag in dataset}
        for tag in _outside(metadata):
            row.pop(tag, None)
        return row | {
            "00080005": _element("CS", "ISO_IR 192"),
            "00080056": _element("CS", "ONLINE"),
            SERIES_UID: _element("UI", uid),
            STUDY_UID: _element("UI", entry.uid),
            _RETRIEVE_URL: _element("UR", f"{self._base}/studies/{entry.uid}/series/{uid}"),
            "00201209": _element("IS", instances),
        }

    def _instance_row(
        self, opened: OpenStudy, entry: StudyEntry, instance: Instance, filters: Filters, above: Json
    ) -> Json | None:
        row = instance_row(entry, instance, self._base)
        known = above | row
        needs_all = (
            self._query.everything
            or not self._query.include <= known.keys()
            or any(path[0] not in known for path in filters)
        )
        if not needs_all:
            return self._complete(row, {}, None, above) if matches(known, filters) else None
        self._check_time()
        metadata = opened.metadata(instance)
        dataset = json_of(metadata)
        if not matches(dataset | known, filters):
            return None
        return self._complete(row, dataset, metadata, above)

    def _complete(self, row: Json, dataset: Json, metadata: Metadata | None, above: Json) -> Json:
        """With what was asked for besides; values that are kept outside of the metadata are left out."""
        wanted = dataset.keys() if self._query.everything else self._query.include & dataset.keys()
        outside = _outside(metadata) if metadata is not None else frozenset()
        more = {tag: dataset[tag] for tag in wanted if tag not in outside}
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
    told = name_groups(name)
    return {"vr": "PN", "Value": [told]} if told else {"vr": "PN"}


def _outside(metadata: Metadata) -> frozenset[str]:
    """The attributes of which something lies outside of the metadata, at any depth."""
    return frozenset(path.partition("/")[0] for path in metadata.bulk)


def _may_hold(kinds: tuple[str, ...], wanted: Wanted | None) -> bool:
    """Whether a study of these kinds can hold what is asked for. Of very many kinds not all are known."""
    return wanted is None or wanted.is_nothing or len(kinds) >= KINDS_LIMIT or wanted.fits(kinds)


_STUDY_TAGS = frozenset(study_row(StudyEntry(id="", uid="", facts=StudyFacts()), ""))
