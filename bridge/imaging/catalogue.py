"""The index of all studies: found by a keyed hash, listed from sealed entries that are opened once and kept in memory.

The key lies in the vault as a document of its own, so it is wrapped to the hospital's recipients as everything is.
What an entry says can always be made anew from the study; the archive does. Calls block for the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from bridge.errors import BridgeError, NotFound
from bridge.imaging.parsing import StudyFacts
from bridge.store import SessionId, Store, StudyRecord
from bridge.vault import ObjectId, ObjectKind, ObjectRef, Trouble, Vault, VaultError

SECRET_ID = ObjectId("studyindexsecret")
SECRET_BYTES = 32
_SALT = b"bridge-studies-1"
_NONCE_BYTES = 12
_ANSWER_TIMEOUT_S = 30.0
OVERLAP_MS = 60_000

_Answer = TypeVar("_Answer")


class StudyEntry(Struct, frozen=True, kw_only=True):
    """What is known of a study without opening it. `mixed`: its objects name different patients."""

    id: str
    uid: str
    facts: StudyFacts
    modalities: tuple[str, ...] = ()
    sop_classes: tuple[str, ...] = ()
    series: int = 0
    instances: int = 0
    size_bytes: int = 0
    mixed: bool = False
    first_at_ms: int = 0
    last_at_ms: int = 0


class Belonging(NamedTuple):
    """For which session a study is, and the name of the point that sent it; None and "" where nobody said."""

    session: SessionId | None = None
    point: str = ""


class Entries(Protocol):
    """The table, for threads."""

    def save(self, study: StudyRecord) -> None: ...
    def find(self, uid_hash: str) -> StudyRecord | None: ...
    def list(self, since_ms: int) -> list[StudyRecord]: ...
    def assign(self, study: str, session: SessionId | None, point: str) -> None: ...
    def remove(self, study: str) -> None: ...


class StoreEntries:
    """The store's table, for threads other than that of the store's event loop."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop

    def save(self, study: StudyRecord) -> None:
        self._wait(self._store.save_study(study))

    def find(self, uid_hash: str) -> StudyRecord | None:
        return self._wait(self._store.find_study(uid_hash))

    def list(self, since_ms: int) -> list[StudyRecord]:
        return self._wait(self._store.list_studies(since_ms))

    def assign(self, study: str, session: SessionId | None, point: str) -> None:
        self._wait(self._store.assign_study(study, session, point))

    def remove(self, study: str) -> None:
        self._wait(self._store.remove_study(study))

    def _wait(self, asked: Coroutine[Any, Any, _Answer]) -> _Answer:
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                asked.close()
                raise ValueError("the event loop cannot wait for itself")
        future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        try:
            return future.result(_ANSWER_TIMEOUT_S)
        except BridgeError:
            raise
        except Exception as error:
            future.cancel()
            raise BridgeError("The index of studies cannot be read or written.", "storageFailed") from error


class Catalogue:
    """Safe for use by several threads."""

    def __init__(self, vault: Vault, entries: Entries) -> None:
        """Opens all entries. Raises VaultError, ConfigError, BridgeError."""
        self._secret = secret = _secret(vault)
        self._hash_key = _derived(secret, b"uid")
        self._seal = AESGCM(_derived(secret, b"entry"))
        self._entries = entries
        self._lock = threading.Lock()
        self._known: dict[str, StudyEntry] = {}
        self._by_uid: dict[str, str] = {}
        self._settled: set[str] = set()
        self._belongings: dict[str, Belonging] = {}
        self._since_ms = 0
        self._listeners: list[Callable[[str], None]] = []
        self._reading = threading.Lock()
        """Held while what the database says is taken in, so that nothing comes back that was forgotten meanwhile."""
        self.unreadable: set[str] = set()
        """Ids of studies whose entry has to be made anew."""
        self.refresh()

    def listen(self, changed: Callable[[str], None]) -> None:
        """From here on it is told the id of each study of which something is different, by any thread; it must not
        wait."""
        self._listeners.append(changed)

    def key_for(self, purpose: bytes) -> bytes:
        """A key of this installation that is made for one thing only."""
        return _derived(self._secret, b"for " + purpose)

    def all(self) -> list[StudyEntry]:
        """Those that hold something; the last to change comes first."""
        with self._lock:
            found = [entry for entry in self._known.values() if entry.instances]
        return sorted(found, key=lambda entry: (-entry.last_at_ms, entry.id))

    def get(self, study: str) -> StudyEntry:
        """Raises NotFound."""
        with self._lock:
            entry = self._known.get(study)
        if entry is None or not entry.instances:
            raise NotFound("There is no such study.")
        return entry

    def known(self, uid: str) -> StudyEntry | None:
        """By StudyInstanceUID, from memory."""
        with self._lock:
            study = self._by_uid.get(uid)
            return self._known[study] if study is not None else None

    def find(self, uid: str) -> StudyEntry | None:
        """By StudyInstanceUID; asks the database for what another server has taken in meanwhile. It may hold
        nothing yet."""
        known = self.known(uid)
        if known is not None:
            return known
        record = self._entries.find(self._hash(uid))
        return self._take(record) if record is not None else None

    def unsettled(self) -> list[StudyEntry]:
        """Those whose entry does not yet tell all, as after a crash."""
        with self._lock:
            return [entry for id, entry in self._known.items() if id not in self._settled]

    def refresh(self) -> None:
        """Takes in what other servers changed; to be called now and then. Raises BridgeError."""
        with self._reading:
            # Their clocks and ours are not the same.
            for record in self._entries.list(max(0, self._since_ms - OVERLAP_MS)):
                self._since_ms = max(self._since_ms, record.changed_at_ms)
                self._take(record)

    def begin(self, entry: StudyEntry) -> None:
        """Durably notes that a study is about to hold more than its entry tells. Raises Conflict, BridgeError."""
        with self._lock:
            is_noted = entry.id in self._known and entry.id not in self._settled
        if not is_noted:
            self._save(entry, settled=False)
            with self._lock:
                self._put(entry, settled=False)

    def update(self, entry: StudyEntry) -> None:
        """What a begun study holds by now; in memory only, because it can be made anew."""
        with self._lock:
            self._put(entry, settled=False)
        self._tell(entry.id)

    def settle(self, entry: StudyEntry) -> None:
        """An entry that tells all. Raises BridgeError."""
        self._save(entry, settled=True)
        with self._lock:
            self._put(entry, settled=True)
        self._tell(entry.id)

    def belonging(self, study: str) -> Belonging:
        """Of a study that may be new or not there at all."""
        with self._lock:
            return self._belongings.get(study, Belonging())

    def assign(self, study: str, belonging: Belonging) -> None:
        """Durably notes whose a study is. Raises NotFound, BridgeError."""
        self._entries.assign(study, belonging.session, belonging.point)
        with self._lock:
            self._belongings[study] = belonging
        self._tell(study)

    def forget(self, study: str) -> None:
        """Of one that was shredded."""
        with self._reading:
            self._entries.remove(study)
            with self._lock:
                entry = self._known.pop(study, None)
                if entry is not None:
                    self._by_uid.pop(entry.uid, None)
                self._settled.discard(study)
                self._belongings.pop(study, None)
        self._tell(study)

    def _tell(self, study: str) -> None:
        for changed in self._listeners:
            changed(study)

    # --- sealing -------------------------------------------------------------------------------------------------

    def _save(self, entry: StudyEntry, *, settled: bool) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._seal.encrypt(nonce, msgspec.msgpack.encode(entry), entry.id.encode("ascii"))
        self._entries.save(
            StudyRecord(entry.id, self._hash(entry.uid), sealed, settled, max(1, entry.last_at_ms))
        )

    def _take(self, record: StudyRecord) -> StudyEntry | None:
        try:
            opened = self._seal.decrypt(
                record.sealed[:_NONCE_BYTES], record.sealed[_NONCE_BYTES:], record.id.encode("ascii")
            )
            entry = msgspec.msgpack.decode(opened, type=StudyEntry)
        except (InvalidTag, ValueError, msgspec.DecodeError):
            self.unreadable.add(record.id)
            return None
        with self._lock:
            self._belongings[entry.id] = Belonging(record.session, record.point)
            known = self._known.get(entry.id)
            if known is None or _age(known) <= _age(entry):
                self._put(entry, settled=record.settled)
        self._tell(entry.id)
        return entry

    def _put(self, entry: StudyEntry, *, settled: bool) -> None:
        self._known[entry.id] = entry
        self._by_uid[entry.uid] = entry.id
        self.unreadable.discard(entry.id)
        (self._settled.add if settled else self._settled.discard)(entry.id)

    def _hash(self, uid: str) -> str:
        return hmac.new(self._hash_key, uid.encode("utf-8"), hashlib.sha256).hexdigest()


def _age(entry: StudyEntry) -> tuple[int, int]:
    """The entry that is written when a study begins to grow has the time of its first object, and none of them."""
    return entry.last_at_ms, entry.instances


def installation_key(vault: Vault, purpose: bytes) -> bytes:
    """The same as `Catalogue.key_for`, without opening the entries. Raises VaultError, ConfigError."""
    return _derived(_secret(vault), b"for " + purpose)


def _derived(secret: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, _SALT, info).derive(secret)


def _secret(vault: Vault) -> bytes:
    """Made at the first start. A crash in between leaves an object without a stream, which is filled then."""
    ref = ObjectRef(ObjectKind.DOCUMENT, SECRET_ID)
    try:
        vault.create(ref.kind, ref.id)
    except VaultError as error:
        if error.trouble is not Trouble.EXISTS:
            raise
    reader = vault.open(ref)
    for number in reader.streams():
        with reader.stream(number) as stream:
            if stream.parts and len(secret := stream.read(stream.parts[0].number)) == SECRET_BYTES:
                return secret
    writer = vault.reopen(ref)
    with writer.new_stream() as stream_writer:
        stream_writer.append(os.urandom(SECRET_BYTES))
        stream_writer.end()
    writer.seal()
    return _secret(vault)
