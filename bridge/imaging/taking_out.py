"""Writes a study's objects as files into a folder that somebody named: the one place where they leave the vault.

Only into a folder that is new or empty, for its owner only, and taken away again if not all could be written. Names of
files are numbers (PS3.10 8.2), so they tell nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from bridge.errors import BridgeError, Conflict
from bridge.imaging.study import StudyReader

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def take_out(
    reader: StudyReader, folder: Path, progress: Callable[[int, int], None], check: Callable[[], None]
) -> int:
    """As they came; gives how many. `check` raises to break off.

    Raises Conflict, BridgeError (`storageFailed`), VaultError.
    """
    with NewFolder(folder, check) as out:
        instances = reader.instances()
        for number, instance in enumerate(instances):
            out.write(instance.note.series, reader.iterate(instance))
            progress(number + 1, len(instances))
        return len(instances)


class NewFolder:
    """A folder that files are written to, or that is as it was before."""

    def __init__(self, folder: Path, check: Callable[[], None]) -> None:
        """`check` raises to break off, also within a file."""
        self._folder = folder
        self._check = check
        self._series: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._is_new = False

    def __enter__(self) -> NewFolder:
        """Raises Conflict, BridgeError."""
        try:
            self._folder.mkdir(mode=FOLDER_MODE)
            self._is_new = True
        except FileExistsError:
            if not self._folder.is_dir() or any(self._folder.iterdir()):
                raise Conflict(f"{self._folder} is there and not empty; nothing is written to it.") from None
        except OSError as error:
            raise BridgeError(f"{self._folder} cannot be made: {error.strerror}.", "storageFailed") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            return
        for path in [self._folder] if self._is_new else list(self._folder.iterdir()):
            shutil.rmtree(path, ignore_errors=True)

    def put(self, series: str, content: bytes) -> None:
        """One more file, at once. Raises BridgeError."""
        self.write(series, (content,))

    def write(self, series: str, content: Iterable[bytes]) -> Path:
        """One more file. Raises BridgeError."""
        number = self._series.setdefault(series, len(self._series) + 1)
        self._counts[series] = self._counts.get(series, 0) + 1
        path = self._folder / f"S{number:05}" / f"I{self._counts[series]:07}"
        try:
            path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(opened, "wb") as file:
                for piece in content:
                    self._check()
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BridgeError(f"{path} cannot be written: {error.strerror}.", "storageFailed") from None
        return path
