"""Small private files that are whole or not there after a crash, and readable by their owner only.

It knows nothing of what they hold. What is written here is durable (fsync of file and folder) when the call returns.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.config import ConfigError

PRIVATE_MODE = 0o600
FOLDER_MODE = 0o700
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAFT_SUFFIX = ".draft"


def make_folder(folder: Path) -> None:
    """A folder for its owner only, durable with the parents that had to be made. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes names that came or went durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_private(path: Path, content: bytes) -> bool:
    """Puts a whole new file in place; False if one is there already. Raises OSError."""
    with _draft(path, content) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        sync_folder(path.parent)
    return True


def replace_private(path: Path, content: bytes) -> None:
    """Puts a whole file in the place of another, whose bytes are then overwritten. Raises OSError."""
    with _draft(path, content) as draft:
        try:
            old = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            old = None
        try:
            draft.replace(path)
            sync_folder(path.parent)
            if old is not None:
                _overwrite(old)
        finally:
            if old is not None:
                os.close(old)


def read_private(path: Path, what: str, limit_bytes: int) -> bytes:
    """Content of a file that must be secret. `what` names it in the error, as in "The signing key".

    Raises FileNotFoundError, and ConfigError if it is no plain file of its owner that others may not read.
    """
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"{what} {path} is not a plain file of this program's own.")
        if status.st_mode & 0o077:
            raise ConfigError(f"{what} {path} may be read by others; run: chmod 600 {path}")
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ConfigError(f"{what} {path} is too long.")
    return content


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """At most so much of a file that need not be secret. Raises OSError; links are not followed."""
    with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
        return file.read(limit_bytes)


def shred(path: Path) -> None:
    """Overwrites a file and removes its name. Raises OSError; a file that is gone is no error.

    Whether the old blocks are really overwritten is up to file system and disk.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _overwrite(descriptor)
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def is_draft(path: Path) -> bool:
    """Whether this is what a crash left of a file that was being put in place."""
    return path.name.startswith(".") and path.name.endswith(_DRAFT_SUFFIX)


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_DRAFT_SUFFIX}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _overwrite(descriptor: int) -> None:
    size_bytes = os.fstat(descriptor).st_size
    os.pwrite(descriptor, secrets.token_bytes(size_bytes), 0)
    os.fsync(descriptor)
