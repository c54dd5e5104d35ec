"""Takes in DICOM objects and keeps them: read by a worker, sealed, durable and in the index before it says so.

It knows no sockets and no rights. Everything blocks, for use from threads; several may write to one study at once.
What a study holds is read by `StudyReader`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from bridge.audit import Audit
from bridge.errors import Conflict, LimitExceeded, NotFound
from bridge.imaging import gathering
from bridge.imaging.arriving import Arriving, Budget
from bridge.imaging.catalogue import Catalogue, StudyEntry
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import CHUNK_BYTES, ContentNote, InstanceNote, encode_note
from bridge.imaging.parsing import Parsed, parsed_of
from bridge.imaging.rewriting import REWRITE
from bridge.imaging.scratch import Scratch
from bridge.imaging.study import StudyReader
from bridge.imaging.workers import Workers
from bridge.vault import ObjectId, ObjectKind, ObjectRef, ObjectWriter, StreamWriter, Vault, VaultError

_log = structlog.get_logger(__name__)

HELD_LIMIT_BYTES = 2 << 30
"""Of all objects that are arriving at one time: they wait in memory until they are whole and read."""
OPEN_LIMIT = 16
"""Studies that one writer keeps a stream open in; the one it wrote to longest ago is closed for another."""
STUDIES_LIMIT = 64
"""Studies whose instances are remembered though nobody writes to them just now."""
CLAIM_TIMEOUT_S = 120.0
PARSE_TIMEOUT_S = 60.0
PARSE = "bridge.imaging.parsing:parse_object"
_Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Kept:
    """An object that is safe. `is_new` is False if the very same was there already."""

    study: str
    note: InstanceNote
    is_new: bool


class Gate(Protocol):
    """Says whether a sender's object may come in; it raises what it has against it."""

    def check(self, note: InstanceNote) -> None:
        """Of an object that was read, before anything is made for it."""

    def enter(self, study: StudyEntry) -> None:
        """The study that it comes into, which holds nothing yet if it is new. Several threads may ask at once."""


class _Study:
    """What is known of one study while it is written to."""

    def __init__(self, writer: ObjectWriter, entry: StudyEntry, known: dict[str, InstanceNote]) -> None:
        self.writer = writer
        self.entry = entry
        self.known = known
        """By SOPInstanceUID: what is durable."""
        self.series = {note.series for note in known.values()}
        self.claimed: set[str] = set()
        """What somebody is writing just now."""
        self.changed = threading.Condition()
        self.users = 0
        self.version = 0


class Archive:
    """All studies of one installation. Safe for use by several threads."""

    def __init__(
        self,
        vault: Vault,
        catalogue: Catalogue,
        workers: Workers,
        *,
        now_ms: _Clock = lambda: time.time_ns() // 1_000_000,
        held_limit_bytes: int = HELD_LIMIT_BYTES,
    ) -> None:
        self.catalogue = catalogue
        self._vault = vault
        self.workers = workers
        self._now_ms = now_ms
        self._budget = Budget(held_limit_bytes)
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._studies: OrderedDict[str, _Study] = OrderedDict()

    def recover(self) -> Iterator[StudyEntry]:
        """Makes the entries anew that a crash left behind, one by one; nothing is removed. Raises VaultError."""
        known = {entry.id for entry in self.catalogue.all()} - self.catalogue.unreadable
        lost = [ref.id for ref in self._vault.objects(ObjectKind.STUDY) if ref.id not in known]
        for study in [*(entry.id for entry in self.catalogue.unsettled()), *lost]:
            try:
                with self.open(study) as reader:
                    entry = gathering.entry_of(reader)
            except (VaultError, DicomError):
                continue  # Shredded half way, or damaged: `bridge vault verify` names it.
            if entry is None:
                continue
            try:
                self.catalogue.settle(entry)
            except Conflict:
                continue  # Two servers made the same study at once; the other one is in the index.
            yield entry

    @contextmanager
    def arrivals(self) -> Iterator[Arrivals]:
        """For one sender: an association, an upload. At the end its streams are closed."""
        arrivals = Arrivals(self)
        try:
            yield arrivals
        finally:
            arrivals.close()

    @contextmanager
    def open(self, study: str) -> Iterator[StudyReader]:
        """Raises NotFound, VaultError."""
        reader = StudyReader(self._vault.open(_ref(study)))
        try:
            yield reader
        finally:
            reader.close()

    def reader(self, study: str) -> StudyReader:
        """One to keep and close oneself. Raises NotFound, VaultError."""
        return StudyReader(self._vault.open(_ref(study)))

    def prepare(self) -> None:
        """Objects are likely to come."""
        self.workers.prepare()

    def rewritten(self, file: Scratch, transfer_syntax: str) -> Scratch:
        """An object in another transfer syntax, a plain one, as a Part 10 file to be closed by who asked. Raises
        DicomError, LimitExceeded, OSError."""
        arguments = transfer_syntax.encode("ascii")
        return Scratch.of(self.workers.call(REWRITE, file, arguments, timeout_s=PARSE_TIMEOUT_S))

    def version(self, study: str) -> int:
        """Grows with each object that is taken in here, so that a reader knows when to refresh."""
        with self._lock:
            held = self._studies.get(study)
        return held.version if held is not None else 0

    def shred(self, study: str, audit: Audit, who: str) -> None:
        """Makes a study unreadable for ever. Raises Conflict while it is written to, NotFound, VaultError."""
        with self._making:
            with self._lock:
                held = self._studies.get(study)
                if held is not None and held.users:
                    raise Conflict("The study is still arriving.")
                self._studies.pop(study, None)
            self._vault.shred(_ref(study), audit, who)
            self.catalogue.forget(study)

    # --- for Arrivals --------------------------------------------------------------------------------------------

    def _begin(self) -> Arriving:
        return Arriving(self._budget)

    def _parse(self, arriving: Arriving) -> Parsed:
        parsed = parsed_of(self.workers.call(PARSE, arriving.scratch, timeout_s=PARSE_TIMEOUT_S))
        size_bytes = arriving.size_bytes
        if parsed.note.size_bytes != size_bytes or parsed.note.chunks != -(-size_bytes // CHUNK_BYTES):
            raise DicomError("The object could not be read.")
        note = msgspec.structs.replace(parsed.note, received_at_ms=self._now_ms())
        return msgspec.structs.replace(parsed, note=note)

    def _hold(self, parsed: Parsed) -> _Study:
        """The study of this object, made if there is none; to be let go by `_release`."""
        entry = self.catalogue.known(parsed.note.study)
        with self._lock:
            held = self._studies.get(entry.id) if entry is not None else None
            if held is not None:
                held.users += 1
                return held
        with self._making:
            return self._found_or_made(parsed)

    def _found_or_made(self, parsed: Parsed) -> _Study:
        entry = self.catalogue.find(parsed.note.study)
        study = self._studies.get(entry.id) if entry is not None else None
        if study is None:
            study = self._loaded(entry) if entry is not None else self._made(parsed)
        with self._lock:
            study.users += 1
            self._studies[study.entry.id] = study
            self._studies.move_to_end(study.entry.id)
            idle = [id for id, each in self._studies.items() if not each.users]
            for id in idle[: max(0, len(self._studies) - STUDIES_LIMIT)]:
                del self._studies[id]
        return study

    def _release(self, study: _Study) -> None:
        with self._lock:
            study.users -= 1

    def _made(self, parsed: Parsed) -> _Study:
        writer = self._vault.create(ObjectKind.STUDY)
        entry = gathering.first_entry(writer.ref.id, parsed)
        try:
            self.catalogue.begin(entry)
        except Conflict:
            # Another server was quicker; the empty object that was made here has nothing to lose.
            other = self.catalogue.find(parsed.note.study)
            if other is None:
                raise
            return self._loaded(other)
        return _Study(writer, entry, {})

    def _loaded(self, entry: StudyEntry) -> _Study:
        ref = _ref(entry.id)
        try:
            with self.open(entry.id) as reader:
                known = {instance.note.sop_instance: instance.note for instance in reader.instances()}
            return _Study(self._vault.reopen(ref), entry, known)
        except NotFound:
            raise DicomError("The study was removed; it cannot be added to.", "conflict") from None


class Arrivals:
    """Objects from one sender, for one thread at a time."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._open: OrderedDict[str, tuple[_Study, StreamWriter]] = OrderedDict()
        self._touched: dict[str, _Study] = {}

    def begin(self) -> Arriving:
        """To `write` an object to as it comes; then `keep` it, or `close` it. Raises LimitExceeded."""
        return self._archive._begin()

    def received(self, file: int) -> Arriving:
        """An object that another process put into a memory file; takes the descriptor over. Raises DicomError,
        LimitExceeded."""
        return Arriving.received(self._archive._budget, file)

    def keep(self, content: Arriving | bytes | bytearray | memoryview, gate: Gate | None = None) -> Kept:
        """A whole Part 10 file; when this returns, it is durable and in the index.

        Raises what the gate raises, DicomError for what cannot be kept, Conflict if there is another object of its
        SOPInstanceUID, LimitExceeded, VaultError and BridgeError (`storageFailed`) if it cannot be kept now.
        """
        if isinstance(content, Arriving):
            with content:
                return self._keep(content, gate)
        with self._archive._begin() as arriving:
            arriving.write(content)
            return self._keep(arriving, gate)

    def close(self) -> None:
        """Closes what was written to; more may come afterwards. Never raises for the disk: all that was said to be
        kept is."""
        for study in list(self._open):
            self._close_stream(study)

    def _keep(self, arriving: Arriving, gate: Gate | None) -> Kept:
        parsed = self._archive._parse(arriving)
        if gate is not None:
            gate.check(parsed.note)
        study = self._archive._hold(parsed)
        try:
            if gate is not None:
                gate.enter(study.entry)
            there = self._claim(study, parsed.note)
            if there is not None:
                return Kept(study.entry.id, there, is_new=False)
            try:
                self._store(study, parsed, arriving)
            finally:
                with study.changed:
                    study.claimed.discard(parsed.note.sop_instance)
                    study.changed.notify_all()
            return Kept(study.entry.id, parsed.note, is_new=True)
        finally:
            self._archive._release(study)

    def _claim(self, study: _Study, note: InstanceNote) -> InstanceNote | None:
        """The right to write this object, or what is there already. Raises Conflict, LimitExceeded."""
        with study.changed:
            uid = note.sop_instance
            if not study.changed.wait_for(lambda: uid not in study.claimed, CLAIM_TIMEOUT_S):
                raise LimitExceeded("The same object is arriving by another way.")
            there = study.known.get(uid)
            if there is None:
                study.claimed.add(uid)
                return None
        if there.content_sha256 != note.content_sha256:
            raise Conflict("There is another object of the same SOPInstanceUID.")
        return there

    def _store(self, study: _Study, parsed: Parsed, arriving: Arriving) -> None:
        catalogue = self._archive.catalogue
        stream = self._stream(study)
        catalogue.begin(study.entry)
        try:
            _write(stream, parsed, arriving)
        except VaultError:
            self._undo(study, stream)
            raise
        with study.changed:
            study.entry = gathering.with_object(study.entry, parsed, study.series)
            study.known[parsed.note.sop_instance] = parsed.note
            study.series.add(parsed.note.series)
            study.version += 1
            catalogue.update(study.entry)

    def _stream(self, study: _Study) -> StreamWriter:
        opened = self._open.get(study.entry.id)
        if opened is not None:
            self._open.move_to_end(study.entry.id)
            return opened[1]
        while len(self._open) >= OPEN_LIMIT:
            self._close_stream(next(iter(self._open)))
        stream = study.writer.new_stream()
        self._open[study.entry.id] = (study, stream)
        with self._archive._lock:
            study.users += 1
        return stream

    def _undo(self, study: _Study, stream: StreamWriter) -> None:
        """A half-written object takes no room, and the next one begins where it began."""
        try:
            stream.take_back()
        except VaultError:
            self._close_stream(study.entry.id)

    def _close_stream(self, id: str) -> None:
        study, stream = self._open.pop(id)
        try:
            stream.end()
            with study.changed:
                if study.writer.contents() is None:
                    study.writer.seal()
                else:
                    study.writer.seal_more([stream.stream])
                if not study.claimed:
                    self._archive.catalogue.settle(study.entry)
        except Exception as error:
            # Everything acknowledged is durable. The entry stays unsettled and is made anew at the next start.
            _log.warning("study not closed well", study=id, reason=type(error).__name__)
            stream.close()
        finally:
            self._archive._release(study)


def _write(stream: StreamWriter, parsed: Parsed, arriving: Arriving) -> None:
    first = stream.append(parsed.metadata, encode_note(parsed.note), durable=False)
    content = arriving.scratch.view()
    for offset in range(0, len(content), CHUNK_BYTES):
        with content[offset : offset + CHUNK_BYTES] as chunk:
            stream.append(chunk, encode_note(ContentNote(instance=first, offset=offset)), durable=False)
    stream.sync()


def _ref(study: str) -> ObjectRef:
    try:
        return ObjectRef(ObjectKind.STUDY, ObjectId(study))
    except ValueError:
        raise NotFound("There is no such study.") from None
