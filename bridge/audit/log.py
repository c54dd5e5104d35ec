"""Writes the audit: one line an event, chained, sealed and durable before `record` returns.

Several processes may write to one audit, the server and commands beside it. What a crash left torn is kept, closed
with a line feed, and the next line vouches for it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bridge import durable
from bridge.audit.anchor import Anchor, read_head, write_head
from bridge.audit.events import Entry, Event
from bridge.audit.lines import FIRST_PREV, LINE_LIMIT_BYTES, Line, hash_line, read_line, write_line
from bridge.config import ConfigError
from bridge.errors import BridgeError

KEY_FILE = "seal.key"
LOCK_FILE = "lock"
KEY_BYTES = 32
FILE_LIMIT_BYTES = 16 * 1024 * 1024
SYSTEM = "system"


class AuditError(BridgeError):
    """The audit cannot be written: what was to be recorded must not be done."""

    default_code = "storageFailed"


@dataclass(slots=True)
class _End:
    """Where the next line goes."""

    file: int
    path: Path
    size_bytes: int
    last: Anchor


class Audit:
    """The audit in one folder. Safe for use by several threads and processes; `record` blocks for the disk."""

    def __init__(
        self,
        folder: Path,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        file_limit_bytes: int = FILE_LIMIT_BYTES,
    ) -> None:
        """Makes folder and key at the first start. Raises ConfigError."""
        self.folder = folder
        self.key = load_key(folder, make=True)
        self._now_ms = now_ms
        self._file_limit_bytes = file_limit_bytes
        self._lock = threading.Lock()
        self._end: _End | None = None

    def record(self, *entries: Entry) -> None:
        """Writes all of these, in this order. Raises AuditError; then none of them counts as written."""
        try:
            with self._lock, self._locked():
                end = self._find_end()
                self._write(end, entries)
        except OSError as error:
            raise AuditError(f"The audit cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        """Lets the file go; `record` opens it again."""
        with self._lock:
            self._forget_end()

    # --- writing -------------------------------------------------------------------------------------------------

    def _write(self, end: _End, entries: Sequence[Entry]) -> None:
        if end.size_bytes >= self._file_limit_bytes:
            end = self._next_file(end)
        last, written = end.last, b""
        for entry in entries:
            line = write_line(self.key, last.n + 1, last.hash, self._now_ms(), entry)
            if len(line) >= LINE_LIMIT_BYTES:
                raise ValueError("an entry of the audit is too long")
            last = Anchor(last.n + 1, hash_line(line))
            written += line + b"\n"
        try:
            _append(end, written)
        except OSError:
            self._take_back(end)
            raise
        end.size_bytes += len(written)
        end.last = last
        with suppress(OSError):  # It lags behind then, which is right all the same.
            write_head(self.folder, self.key, last)

    def _take_back(self, end: _End) -> None:
        """Removes what was written in part; if the disk refuses that too, it is salvaged later."""
        with suppress(OSError):
            os.ftruncate(end.file, end.size_bytes)
            os.fdatasync(end.file)
        self._forget_end()

    def _next_file(self, end: _End) -> _End:
        path = self.folder / file_name(int(end.path.stem.removeprefix("audit-")) + 1)
        self._forget_end()
        self._end = _End(_open(path), path, 0, end.last)
        durable.sync_folder(self.folder)
        return self._end

    # --- finding the end -----------------------------------------------------------------------------------------

    def _find_end(self) -> _End:
        """The end as this process left it, or as another one or a crash did."""
        paths = audit_files(self.folder)
        end = self._end
        if end is not None:
            if paths and end.path == paths[-1] and os.fstat(end.file).st_size == end.size_bytes:
                return end
            self._forget_end()
        path = paths[-1] if paths else self.folder / file_name(1)
        file = _open(path)
        if not paths:
            durable.sync_folder(self.folder)
        end = self._end = _End(file, path, os.fstat(file).st_size, Anchor(0, FIRST_PREV))
        self._resume(end, paths)
        return end

    def _resume(self, end: _End, paths: list[Path]) -> None:
        head = read_head(self.folder, self.key)
        line = next(filter(None, (_last_line(self.key, path) for path in reversed(paths))), None)
        if line is not None:
            end.last = Anchor(line.n, line.hash)
        alerts: list[Entry] = []
        if head is not None and head.n > end.last.n:
            # Lines are gone. Numbers go on behind them, so that the gap stays visible for ever.
            end.last = head
            alerts.append(Entry(Event.SECURITY_ALERT, SYSTEM, detail={"trouble": "auditEndMissing"}))
        elif head is None and line is not None and line.n > 1:
            alerts.append(Entry(Event.SECURITY_ALERT, SYSTEM, detail={"trouble": "auditHeadMissing"}))
        torn = _torn_tail(end)
        if torn:
            _append(end, b"\n")
            end.size_bytes += 1
            detail: dict[str, int | str] = {"tornBytes": len(torn), "tornHash": hash_line(torn)}
            # First, because verification looks for it right behind the torn line.
            alerts.insert(0, Entry(Event.AUDIT_SALVAGED, SYSTEM, detail=detail))
        if line is None and head is None:
            alerts.append(Entry(Event.AUDIT_STARTED, SYSTEM))
        if alerts:
            self._write(end, alerts)

    def _forget_end(self) -> None:
        if self._end is not None:
            os.close(self._end.file)
            self._end = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, durable.PRIVATE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def load_key(folder: Path, *, make: bool) -> bytes:
    """The key that seals the lines. Raises ConfigError."""
    path = folder / KEY_FILE
    try:
        if make:
            durable.make_folder(folder)
            if not audit_files(folder):
                durable.create_private(path, secrets.token_bytes(KEY_BYTES))
        key = durable.read_private(path, "The audit's key", KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"The audit's key {path} cannot be read: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"The audit's key {path} does not have {KEY_BYTES} bytes; restore it from a backup."
        )
    return key


def file_name(number: int) -> str:
    """The name of one of the audit's files, which are counted from 1."""
    return f"audit-{number:06}.jsonl"


def audit_files(folder: Path) -> list[Path]:
    """All files with lines, in their order. Raises OSError."""
    return sorted(folder.glob("audit-[0-9][0-9][0-9][0-9][0-9][0-9].jsonl"))


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, durable.PRIVATE_MODE)


def _append(end: _End, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(end.file, content[written:], end.size_bytes + written)
    os.fdatasync(end.file)


def _torn_tail(end: _End) -> bytes:
    """What stands behind the last line feed."""
    start = max(0, end.size_bytes - FILE_LIMIT_BYTES)
    return os.pread(end.file, FILE_LIMIT_BYTES, start).rpartition(b"\n")[2] if end.size_bytes else b""


def _last_line(key: bytes, path: Path) -> Line | None:
    """The last line of a file that is as it was written."""
    for raw in reversed(path.read_bytes().split(b"\n")[:-1]):
        line = read_line(key, raw)
        if line is not None:
            return line
    return None
