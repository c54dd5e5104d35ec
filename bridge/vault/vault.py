"""All stored objects of one installation: makes, opens, lists, verifies, re-wraps and shreds them.

It knows where objects lie and who may open them; what they hold is their owners' business, and so is who may ask.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import durable
from bridge.audit import Audit, Entry, Event, Outcome
from bridge.ids import new_id
from bridge.vault.derived import Derived
from bridge.vault.errors import Finding, Trouble, VaultError, disk_errors
from bridge.vault.keys import WRAPPED_LIMIT_BYTES, Keyring, new_data_key
from bridge.vault.objects import ObjectReader, ObjectWriter
from bridge.vault.parts import STORED_KINDS, ObjectId, ObjectKind, ObjectRef

KEYS_FOLDER = "vault"
KEY_FILE = "key.age"
_FOLDERS = {
    ObjectKind.RECORDING: "recordings",
    ObjectKind.STUDY: "imaging",
    ObjectKind.DOCUMENT: "documents",
    ObjectKind.DERIVED: "derived",
}


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did. As long as something failed, old identities are kept; it can be run again."""

    rewrapped: int
    unchanged: int
    failed: list[Finding]
    """One for each object whose key could not be opened; the text names the object."""


class Vault:
    """The objects under one data folder. Safe for use by several threads and processes; calls block for the disk."""

    def __init__(self, data_folder: Path, *, restoring: bool = False) -> None:
        """Makes what is missing at the first start; `restoring` makes an identity for objects that are there too.

        Raises ConfigError if a key file is open to others, damaged, or missing although there are objects.
        """
        self._folder = data_folder
        self.keyring = Keyring(data_folder / KEYS_FOLDER)
        # Beside objects, a missing identity is a loss that a fresh one would only hide.
        if not self.keyring.has_identity and (restoring or not any(self.objects())):
            self.keyring.make_identity()
        self.keyring.check()
        self.derived = Derived(
            data_folder / _FOLDERS[ObjectKind.DERIVED],
            lambda study: self._data_key(ObjectRef(ObjectKind.STUDY, study)),
        )
        """What is kept beside studies to save work."""

    def create(self, kind: ObjectKind, id: ObjectId | None = None) -> ObjectWriter:
        """A new object with a key of its own. Raises VaultError, ConfigError."""
        ref = ObjectRef(kind, id if id is not None else ObjectId(new_id()))
        folder = self._path(ref)
        data_key = new_data_key()
        with disk_errors():
            durable.make_folder(folder.parent)
            try:
                folder.mkdir(mode=durable.FOLDER_MODE)
            except FileExistsError:
                raise VaultError(Trouble.EXISTS, f"There is a {ref} already.") from None
            try:
                with self.keyring.locked(exclusive=False):
                    durable.create_private(folder / KEY_FILE, self.keyring.wrap(ref, data_key))
                durable.sync_folder(folder.parent)
            except BaseException:
                _remove_new(folder)
                raise
        return ObjectWriter(ref, folder, data_key)

    def reopen(self, ref: ObjectRef) -> ObjectWriter:
        """For more streams in an object that is there, or to seal it after a crash. Raises VaultError, ConfigError."""
        return ObjectWriter(ref, self._path(ref), self._data_key(ref))

    def open(self, ref: ObjectRef) -> ObjectReader:
        """Raises VaultError (`notFound`, `keyMissing`, `keyUnreadable`, `keyForeign`), ConfigError."""
        return ObjectReader(ref, self._path(ref), self._data_key(ref))

    def objects(self, kind: ObjectKind | None = None) -> Iterator[ObjectRef]:
        """Every object, shredded ones whose content is still there too. Raises VaultError."""
        for each in STORED_KINDS if kind is None else (kind,):
            with disk_errors():
                try:
                    names = sorted(os.listdir(self._folder / _FOLDERS[each]))
                except FileNotFoundError:
                    continue
            for name in names:
                try:
                    yield ObjectRef(each, ObjectId(name))
                except ValueError:
                    continue  # Not one of ours, as README.md.

    def exists(self, ref: ObjectRef) -> bool:
        """Whether anything of it is stored."""
        return self._path(ref).is_dir()

    def verify(self, ref: ObjectRef) -> Iterator[Finding]:
        """Opens all of an object, and names all that is wrong. Raises ConfigError, and VaultError for a bad disk."""
        try:
            reader = self.open(ref)
        except VaultError as error:
            if error.trouble not in _KEY_TROUBLES:
                raise
            yield Finding(error.trouble, None, None, error.text)
            return
        yield from reader.verify()

    def shred(self, ref: ObjectRef, audit: Audit, who: str) -> None:
        """Makes an object unreadable for ever by destroying its key, then removes its content.

        The audit has it before and after; a shredding that a crash broke off is finished by calling again.
        Raises VaultError, AuditError.
        """
        folder = self._path(ref)
        if not folder.is_dir():
            raise VaultError(Trouble.NOT_FOUND, f"There is no {ref}.")
        audit.record(Entry(Event.OBJECT_SHREDDED, who, str(ref), Outcome.BEGUN))
        try:
            with disk_errors(), self.keyring.locked(exclusive=True):
                # The key and every draft of it: from here on nobody can read the object.
                for path in folder.glob("*key.age*"):
                    durable.shred(path)
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()
                durable.sync_folder(folder.parent)
            if ref.kind is ObjectKind.STUDY:
                # What a failing disk keeps of it is unreadable.
                with suppress(VaultError):
                    self.derived.drop(ref.id)
        except VaultError:
            audit.record(Entry(Event.OBJECT_SHREDDED, who, str(ref), Outcome.FAILED))
            raise
        audit.record(Entry(Event.OBJECT_SHREDDED, who, str(ref)))

    def rotate(
        self,
        audit: Audit,
        who: str,
        *,
        new_identity: bool = False,
        foreign: Sequence[Any] = (),
    ) -> Rotated:
        """Wraps every data key to today's recipients; content is not touched. Can be run again after a crash.

        `new_identity` gives the server a new identity, and forgets the old one once nothing needs it. `foreign` are
        identities that open what the server's own cannot, as after a restore.
        Raises VaultError, ConfigError, AuditError.
        """
        audit.record(Entry(Event.KEYS_ROTATED, who, None, Outcome.BEGUN, {"newIdentity": int(new_identity)}))
        with disk_errors():
            if new_identity:
                with self.keyring.locked(exclusive=True):
                    self.keyring.begin_new_identity()
            done = [self._rewrap(ref, foreign) for ref in self.objects()]
            # What was made meanwhile, with everybody else kept out until old identities are gone.
            with self.keyring.locked(exclusive=True):
                late = [self._rewrap_locked(ref, foreign) for ref in self.objects()]
                failed = [result for result in late if isinstance(result, Finding)]
                if not failed and self.keyring.identities > 1:
                    self.keyring.forget_old_identities()
        rewrapped = done.count(True) + late.count(True)
        outcome = Outcome.FAILED if failed else Outcome.DONE
        detail = {"rewrapped": rewrapped, "failed": len(failed), "newIdentity": int(new_identity)}
        audit.record(Entry(Event.KEYS_ROTATED, who, None, outcome, detail))
        return Rotated(rewrapped, len(late) - len(failed) - rewrapped, failed)

    def is_current(self, ref: ObjectRef) -> bool:
        """Whether the object is wrapped to exactly today's recipients. Raises VaultError, ConfigError."""
        return self.keyring.unwrap(ref, self._wrapped(ref)).is_current

    def _rewrap(self, ref: ObjectRef, foreign: Sequence[Any]) -> bool | Finding:
        with self.keyring.locked(exclusive=True):
            return self._rewrap_locked(ref, foreign)

    def _rewrap_locked(self, ref: ObjectRef, foreign: Sequence[Any]) -> bool | Finding:
        try:
            wrapped = self.keyring.unwrap(ref, self._wrapped(ref), foreign)
        except VaultError as error:
            if error.trouble in (Trouble.KEY_MISSING, Trouble.NOT_FOUND):
                return False
            return Finding(error.trouble, None, None, error.text)
        if wrapped.is_current:
            return False
        durable.replace_private(self._path(ref) / KEY_FILE, self.keyring.wrap(ref, wrapped.data_key))
        return True

    def _data_key(self, ref: ObjectRef) -> bytes:
        return self.keyring.unwrap(ref, self._wrapped(ref)).data_key

    def _wrapped(self, ref: ObjectRef) -> bytes:
        folder = self._path(ref)
        with disk_errors():
            try:
                return durable.read_limited(folder / KEY_FILE, WRAPPED_LIMIT_BYTES)
            except FileNotFoundError:
                if folder.is_dir():
                    raise VaultError(Trouble.KEY_MISSING, f"The key of {ref} is not there.") from None
                raise VaultError(Trouble.NOT_FOUND, f"There is no {ref}.") from None

    def _path(self, ref: ObjectRef) -> Path:
        return self._folder / _FOLDERS[ref.kind] / ref.id


_KEY_TROUBLES = {Trouble.KEY_MISSING, Trouble.KEY_UNREADABLE, Trouble.KEY_FOREIGN}


def _remove_new(folder: Path) -> None:
    """Takes away what is left of an object that could not be made; if the disk refuses, it stays without a key."""
    try:
        (folder / KEY_FILE).unlink(missing_ok=True)
        folder.rmdir()
    except OSError:
        return
