"""Makes a de-identified copy of a study: a new study of a patient "Teaching N", object by object in workers, or files.

What cannot be copied safely is left out and counted: reports, presentation states, documents, videos, and what is of no
standard class. A picture that may have a name written into it stops everything, unless its rows are blanked or
somebody answers for it. The copy's key is derived from the job, so a job that is begun again makes the same copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.errors import Conflict
from bridge.imaging.access import imported
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Belonging, StudyEntry
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Ending, Progress
from bridge.imaging.layout import InstanceNote, json_of
from bridge.imaging.study import Instance, StudyReader
from bridge.imaging.syntaxes import syntax_of
from bridge.imaging.teaching.blanking import may_be_written_into
from bridge.imaging.teaching.scrubbing import Wish
from bridge.studyrows import JobRecord, StudyRows

COPY = "bridge.imaging.teaching.copying:copied"
COPY_TIMEOUT_S = 120.0
COPY_MEMORY_BYTES = 3 << 30
KEY_BYTES = 32
ROWS_LIMIT = 4096
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_RAW = _STORAGE + "66"
_LEFT_OUT = ("11.", "88.", "104.", "9.4.")
"""Presentation states, reports, documents and voices are made of words; raw data only their maker reads."""
_MODALITY, _ANNOTATION, _FACE = "00080060", "00280301", "00280302"
_BURNED_IN = (
    "Some pictures may have the patient's name written into them. Have them left out, say how many rows at the top "
    "are to be made black, or that somebody has looked and found none."
)


class Options(msgspec.Struct, frozen=True, rename="camel"):
    """How a copy is wished for. `shift_dates`: they are shifted, else emptied; `looked`: somebody has looked at every
    picture and found nothing that names the patient; `leave_out`: pictures that may have a name in them are not in
    the copy; `in_session`: the copy belongs to the study's session, else to none."""

    shift_dates: bool = False
    blank_rows: int = 0
    looked: bool = False
    leave_out: bool = False
    in_session: bool = False

    def check(self) -> None:
        """Raises DicomError."""
        if not 0 <= self.blank_rows <= ROWS_LIMIT:
            raise DicomError(f"At most {ROWS_LIMIT} rows are made black.", "malformed")


@dataclass(frozen=True, slots=True)
class Copied:
    """`left_out` objects are not in the copy."""

    done: int
    left_out: int
    total: int


class Copies:
    """For threads."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def make(
        self, reader: StudyReader, options: Options, key: bytes, number: int, keep: Callable[[bytes], None]
    ) -> Iterator[Copied]:
        """Gives how far it is after each object. Raises Conflict, DicomError, VaultError, and what `keep` raises."""
        options.check()
        instances = reader.instances()
        wanted = [each for each in instances if is_copied(each.note)]
        if not options.looked and not options.blank_rows:
            doubtful = [each for each in wanted if _is_doubtful(each, reader)]
            if doubtful and not options.leave_out:
                raise Conflict(_BURNED_IN)
            wanted = [each for each in wanted if each not in doubtful]
        left_out = len(instances) - len(wanted)
        if not wanted:
            raise DicomError("The study holds nothing that can be copied without what names the patient.")
        wish = msgspec.msgpack.encode(Wish(key, number, options.shift_dates, options.blank_rows))
        done = 0
        for instance in wanted:
            content = b"".join(reader.iterate(instance))
            try:
                made = self._archive.workers.call(
                    COPY, content, wish, timeout_s=COPY_TIMEOUT_S, memory_bytes=COPY_MEMORY_BYTES
                )
            except DicomError:
                left_out += 1  # One that nobody can read is not copied; the others are.
            else:
                keep(made)
                done += 1
            yield Copied(done, left_out, len(instances))
        if not done:
            raise DicomError("Nothing of the study could be copied without what names the patient.")


def is_copied(note: InstanceNote) -> bool:
    """Whether an object of this sort is in a copy at all."""
    if not note.sop_class.startswith(_STORAGE) or note.sop_class == _RAW:
        return False
    if syntax_of(note.transfer_syntax).video:
        return False
    return not note.sop_class.removeprefix(_STORAGE).startswith(_LEFT_OUT)


def _is_doubtful(instance: Instance, reader: StudyReader) -> bool:
    if not instance.note.rows:
        return False
    told = json_of(reader.metadata(instance))
    modality, annotation, face = (_code_of(told, tag) for tag in (_MODALITY, _ANNOTATION, _FACE))
    return may_be_written_into(instance.note.sop_class, modality, annotation, face)


def _code_of(told: dict[str, Any], tag: str) -> str:
    values = told.get(tag, {}).get("Value") or [""]
    return str(values[0] or "").strip().upper()


class Copying:
    """The work of jobs that copy into the archive; for one event loop."""

    def __init__(
        self,
        archive: Archive,
        rows: StudyRows,
        audit: Audit,
        now_ms: Callable[[], int],
        threads: ThreadPoolExecutor,
        shred: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """`shred` takes a study and who does it."""
        self._archive = archive
        self._rows = rows
        self._audit = audit
        self._now_ms = now_ms
        self._threads = threads
        self._shred = shred

    async def __call__(self, job: JobRecord, progress: Progress) -> Ending:
        """Raises Conflict, DicomError, AuditError, Stopped."""
        options = msgspec.convert(job.options, Options)
        gate = _Gate(self._archive, Belonging(job.session if options.in_session else None))
        loop = asyncio.get_running_loop()
        try:
            copied = await loop.run_in_executor(
                self._threads, lambda: self._copy(job, options, progress, gate)
            )
        except Exception:
            if gate.study and not progress.is_paused:
                await self._shred(gate.study, job.who)  # Half a copy is of no use to anybody.
            raise
        await self._rows.change_job(job.id, self._now_ms(), options=dict(job.options) | {"copy": gate.study})
        return Ending(text=remark_of(copied))

    def _copy(self, job: JobRecord, options: Options, progress: Progress, gate: _Gate) -> Copied:
        number = int(job.options["number"])
        key = self._archive.catalogue.key_for(f"copy {job.id}".encode())
        on = f"study/{job.study}"
        detail: dict[str, int | str] = {"job": job.id, "teaching": number}
        self._audit.record(Entry(Event.OBJECT_EXPORTED, job.who, on, Outcome.BEGUN, detail))
        copied = Copied(0, 0, 0)
        try:
            with self._archive.open(job.study) as reader, self._archive.arrivals() as arrivals:

                def keep(content: bytes) -> None:
                    gate.study = arrivals.keep(content, gate).study

                for copied in Copies(self._archive).make(reader, options, key, number, keep):
                    progress.say(copied.done, 0, copied.total)
        except BaseException:
            self._audit.record(Entry(Event.OBJECT_EXPORTED, job.who, on, Outcome.FAILED, detail))
            raise
        counted = detail | {"objects": copied.done, "leftOut": copied.left_out, "copy": f"study/{gate.study}"}
        self._audit.record(
            Entry(Event.OBJECT_EXPORTED, job.who, on, Outcome.DONE, counted),
            imported(job.who, gate.study, copied.done),
        )
        return copied


class _Gate:
    """A copy belongs to whom it was made for from its first object on."""

    def __init__(self, archive: Archive, belonging: Belonging) -> None:
        self._archive = archive
        self._belonging = belonging
        self.study = ""

    def check(self, note: InstanceNote) -> None:
        """A copy may hold anything."""

    def enter(self, study: StudyEntry) -> None:
        """Raises BridgeError."""
        catalogue = self._archive.catalogue
        if catalogue.belonging(study.id) != self._belonging:
            catalogue.assign(study.id, self._belonging)


def remark_of(copied: Copied) -> str:
    """For people; empty if all was copied."""
    if not copied.left_out:
        return ""
    which = "that are made of words, are videos, may have a name in them, or cannot be read"
    return f"Left out were {copied.left_out} objects {which}."
