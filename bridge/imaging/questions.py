"""Answers what is asked of the archive over the network, level by level (PS3.4 C.6): which studies, series and objects
match, and which objects are to be sent. Opens studies, so it blocks for the disk. Knows no sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bridge.errors import NotFound
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.errors import DicomError, NotOfClass
from bridge.imaging.layout import json_of
from bridge.imaging.matching import Wanted, parted, vr_of
from bridge.imaging.model import text_of
from bridge.imaging.study import Instance, StudyReader

LEVELS = {"PATIENT": "00100020", "STUDY": "0020000D", "SERIES": "0020000E", "IMAGE": "00080018"}
"""From above to below, each with its unique key."""
MATCHES_LIMIT = 65_535
"""Objects that one request can count."""
_FROM_NOTES = frozenset(
    (
        "00080016",
        "00080018",
        "00080060",
        "0020000E",
        "00200013",
        "00201209",
        "00280008",
        "00280010",
        "00280011",
    )
)
_TEXT_LIMIT = 4096
_ONLINE = {"00080056": "ONLINE"}

Row = dict[str, str]
_Keys = dict[str, Wanted]


@dataclass(frozen=True, slots=True)
class Asked:
    """`patients` is the patient root. `keys` by tag, their values with `\\` between them."""

    patients: bool
    level: str
    keys: Row

    def check(self, *, to_send: bool) -> None:
        """Raises NotOfClass if it is not of its model: a level that is not in it, or one above without
        its unique key."""
        levels = list(LEVELS) if self.patients else list(LEVELS)[1:]
        if self.level not in levels:
            raise NotOfClass("The query's level is none of its model.")
        above = levels[: levels.index(self.level)]
        # With the UID of a study at hand, nobody needs the patient's number to find it.
        needed = [LEVELS[level] for level in above if level != "PATIENT"]
        if not all(is_single(self.keys.get(tag, "")) for tag in needed):
            raise NotOfClass("The query lacks the UID of a level above its own.")
        if to_send and not self.keys.get(LEVELS[self.level], "").strip("*"):
            raise NotOfClass("The request does not say what is to be sent.")


def is_single(text: str) -> bool:
    """Whether it names one thing only."""
    return bool(text) and not any(sign in text for sign in "*?\\")


class Questions:
    """For who may see what `visible` says."""

    def __init__(self, archive: Archive, visible: Callable[[StudyEntry], bool]) -> None:
        self._archive = archive
        self._visible = visible

    def find(self, asked: Asked) -> Iterator[Row]:
        """Raises DicomError, VaultError."""
        asked.check(to_send=False)
        wanted = _wanted(asked.keys)
        if asked.level == "PATIENT":
            yield from self._patients(asked, wanted)
            return
        for entry in self._entries(asked):
            study = study_row(entry)
            if not _matches(wanted, study):
                continue
            if asked.level == "STUDY":
                yield study
                continue
            yield from self._below(entry, study, asked, wanted)

    def locate(self, asked: Asked) -> list[tuple[str, Instance]]:
        """The objects to send, each with its study. Raises DicomError, VaultError."""
        asked.check(to_send=True)
        unique = {tag: asked.keys.get(tag, "") for tag in LEVELS.values()}
        if asked.level == "PATIENT" and not is_single(unique["00100020"]):
            raise NotOfClass("The request names more than one patient.")
        wanted = _wanted(unique)
        found: list[tuple[str, Instance]] = []
        for entry in self._entries(asked):
            if not _matches(wanted, study_row(entry)):
                continue
            with self._opened(entry) as reader:
                found += [(entry.id, one) for one in reader.instances() if _matches(wanted, _image_row(one))]
        if len(found) > MATCHES_LIMIT:
            raise DicomError("More objects match than one request can count.", "tooLarge")
        return found

    def _entries(self, asked: Asked) -> list[StudyEntry]:
        uids = asked.keys.get("0020000D", "")
        catalogue = self._archive.catalogue
        if uids and not any(sign in uids for sign in "*?"):
            named = [catalogue.known(uid.strip()) for uid in dict.fromkeys(uids.split("\\"))]
            entries = [entry for entry in named if entry is not None and entry.instances]
        else:
            entries = catalogue.all()
        return [entry for entry in entries if self._visible(entry)]

    def _patients(self, asked: Asked, wanted: _Keys) -> Iterator[Row]:
        patients: dict[tuple[str, str], list[StudyEntry]] = {}
        for entry in self._entries(asked):
            patients.setdefault((entry.facts.patient_id, entry.facts.issuer), []).append(entry)
        for entries in patients.values():
            row = _patient_row(entries[0]) | {
                "00201200": str(len(entries)),
                "00201202": str(sum(entry.series for entry in entries)),
                "00201204": str(sum(entry.instances for entry in entries)),
            }
            if _matches(wanted, row):
                yield row

    def _below(self, entry: StudyEntry, study: Row, asked: Asked, wanted: _Keys) -> Iterator[Row]:
        needs_more = not asked.keys.keys() <= _FROM_NOTES | study.keys()
        with self._opened(entry) as reader:
            for instances in reader.series().values():
                series = _series_row(instances)
                if not _fits(wanted, "0020000E", series["0020000E"]):
                    continue
                if asked.level == "SERIES":
                    candidates = [(instances[0], series)]
                else:
                    candidates = [(one, series | _image_row(one)) for one in instances]
                for instance, row in candidates:
                    known = study | row
                    if asked.level == "IMAGE" and not _fits(wanted, "00080018", known["00080018"]):
                        continue
                    if needs_more:
                        known = self._told(reader, instance, asked.keys) | known
                    if _matches(wanted, known):
                        yield known

    def _told(self, reader: StudyReader, instance: Instance, keys: Row) -> Row:
        """What the object itself says of these attributes."""
        dataset = json_of(reader.metadata(instance))
        return {tag: _told_text(dataset[tag]) if tag in dataset else "" for tag in keys}

    def _opened(self, entry: StudyEntry) -> _Opened:
        return _Opened(self._archive, entry)


class _Opened:
    """A study's reader; one that was removed meanwhile is no match."""

    def __init__(self, archive: Archive, entry: StudyEntry) -> None:
        try:
            self._reader = archive.reader(entry.id)
        except NotFound:
            raise DicomError("A study was removed just now.", "conflict") from None

    def __enter__(self) -> StudyReader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def _wanted(keys: Row) -> _Keys:
    return {tag: Wanted(tag, text) for tag, text in keys.items() if text}


def _matches(keys: _Keys, known: Row) -> bool:
    """Whether all keys match; those of which nothing is known are no condition (PS3.4 C.2.2.1.3)."""
    return all(tag not in known or _fits(keys, tag, known[tag]) for tag in keys)


def _fits(keys: _Keys, tag: str, text: str) -> bool:
    wanted = keys.get(tag)
    return wanted is None or wanted.fits(parted(vr_of(tag), text))


def _patient_row(entry: StudyEntry) -> Row:
    facts = entry.facts
    return {
        "00100010": facts.patient_name,
        "00100020": facts.patient_id,
        "00100021": facts.issuer,
        "00100030": facts.birth_date,
        "00100040": facts.sex,
    }


def study_row(entry: StudyEntry) -> Row:
    """What is known of a study without opening it."""
    facts = entry.facts
    return _patient_row(entry) | {
        "00080020": facts.study_date,
        "00080030": facts.study_time,
        "00080050": facts.accession,
        "00080061": "\\".join(entry.modalities),
        "00080062": "\\".join(entry.sop_classes),
        "00080090": facts.referrer,
        "00081030": facts.description,
        "0020000D": entry.uid,
        "00200010": facts.study_id,
        "00201206": str(entry.series),
        "00201208": str(entry.instances),
        **_ONLINE,
    }


def _series_row(instances: list[Instance]) -> Row:
    note = instances[0].note
    return {"0020000E": note.series, "00080060": note.modality, "00201209": str(len(instances))}


def _image_row(instance: Instance) -> Row:
    note = instance.note
    row = {
        "0020000D": note.study,
        "0020000E": note.series,
        "00080018": note.sop_instance,
        "00080016": note.sop_class,
        "00200013": str(note.number),
    }
    if note.rows:
        row |= {"00280008": str(note.frames), "00280010": str(note.rows), "00280011": str(note.columns)}
    return row


def _told_text(element: dict[str, Any]) -> str:
    """An attribute of the JSON model as text; nothing for what is no text."""
    if element.get("vr") == "SQ":
        return ""
    return "\\".join(map(text_of, element.get("Value", ())))[:_TEXT_LIMIT]
