"""What can be made anew from stored objects, kept beside them to save the work: sealed by their own data keys.

So shredding an object makes what was derived from it unreadable too, whatever else fails then. Nothing here is listed,
verified, sealed with a list of streams, or wrapped to anybody: whoever put it there can do without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge import durable
from bridge.vault.errors import VaultError, disk_errors
from bridge.vault.objects import ObjectReader, ObjectWriter
from bridge.vault.parts import ObjectId, ObjectKind, ObjectRef


@dataclass(frozen=True, slots=True)
class DerivedSize:
    """What is kept of one object, and when it was last put to use."""

    id: ObjectId
    size_bytes: int
    used_s: float


class Derived:
    """Of all studies of a vault. Safe for use by several threads and processes; calls block for the disk."""

    def __init__(self, folder: Path, data_key: Callable[[ObjectId], bytes]) -> None:
        """`data_key` gives that of the object itself, or raises VaultError."""
        self._folder = folder
        self._data_key = data_key

    def writer(self, id: ObjectId) -> ObjectWriter:
        """For more streams. Raises VaultError, ConfigError."""
        ref, data_key = self._ref(id), self._data_key(id)
        folder = self._folder / id
        with disk_errors():
            durable.make_folder(self._folder)
            folder.mkdir(mode=durable.FOLDER_MODE, exist_ok=True)
        return ObjectWriter(ref, folder, data_key)

    def reader(self, id: ObjectId) -> ObjectReader | None:
        """None if nothing is kept of it. Raises VaultError, ConfigError."""
        folder = self._folder / id
        try:
            with disk_errors():
                os.utime(folder)
        except VaultError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return ObjectReader(self._ref(id), folder, self._data_key(id))

    def drop(self, id: ObjectId) -> None:
        """Removes all that is kept of it; nothing is no error. Raises VaultError."""
        folder = self._folder / id
        with disk_errors():
            try:
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)
                folder.rmdir()
            except FileNotFoundError:
                return

    def kept(self) -> list[DerivedSize]:
        """The longest unused first. Raises VaultError."""
        found = []
        with disk_errors():
            try:
                folders = list(self._folder.iterdir())
            except FileNotFoundError:
                return []
            for folder in folders:
                try:
                    ref = self._ref(ObjectId(folder.name))
                    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
                    found.append(DerivedSize(ref.id, size_bytes, folder.stat().st_mtime))
                except (ValueError, FileNotFoundError):
                    continue  # Not one of ours, or just dropped.
        return sorted(found, key=lambda each: (each.used_s, each.id))

    def free_bytes(self) -> int:
        """Of the disk. Raises VaultError."""
        with disk_errors():
            durable.make_folder(self._folder)
            status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize

    def _ref(self, id: ObjectId) -> ObjectRef:
        return ObjectRef(ObjectKind.DERIVED, id)
