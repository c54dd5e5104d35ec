"""Reads the audit, and names every line that was changed, removed, inserted, repeated or moved. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bridge.audit.anchor import Anchor, read_head
from bridge.audit.lines import FIRST_PREV, LINE_LIMIT_BYTES, Line, hash_line, read_line
from bridge.audit.log import audit_files


class Fault(StrEnum):
    """What is wrong with a line."""

    CHANGED = "changed"
    """Changed, or written by somebody else."""
    MISSING = "missing"
    REPEATED = "repeated"
    MOVED = "moved"
    CHAIN = "chain"
    """It does not follow on the line before it."""
    TRUNCATED = "truncated"
    HEAD = "head"
    """The note of where the audit ended is missing or does not fit."""
    ANCHOR = "anchor"
    """The audit does not pass through an anchor that was kept elsewhere."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One fault; `file` and `line` (from 1) are None where it is not about one line."""

    fault: Fault
    file: str | None
    line: int | None
    text: str


@dataclass(slots=True)
class Verdict:
    """What verification found."""

    events: int = 0
    end: Anchor | None = None
    torn: int = 0
    """Lines that a crash broke off; the line behind each vouches for it."""
    findings: list[AuditFinding] = field(default_factory=list)


def read_lines(folder: Path, key: bytes) -> Iterator[Line]:
    """Every line that is as it was written, in the files' order. Raises OSError."""
    for path in audit_files(folder):
        for _, raw in _raw_lines(path):
            line = read_line(key, raw.removesuffix(b"\n"))
            if line is not None:
                yield line


def verify(folder: Path, key: bytes, anchor: Anchor | None = None) -> Verdict:
    """Checks the whole audit against its seals, its chain, its head, and an anchor kept elsewhere. Raises OSError."""
    # Before the lines: who writes meanwhile is ahead of the head then, never behind it.
    check = _Check(read_head(folder, key), anchor)
    paths = audit_files(folder)
    for path in paths:
        for number, raw in _raw_lines(path):
            whole = raw.removesuffix(b"\n")
            if whole == raw and path == paths[-1] and len(raw) < LINE_LIMIT_BYTES:
                check.take_torn()
            else:
                check.take(path.name, number, whole, read_line(key, whole))
    return check.verdict_at_end()


class _Check:
    """Follows the lines one by one."""

    def __init__(self, head: Anchor | None, anchor: Anchor | None) -> None:
        self._head = head
        self._anchors = [(Fault.HEAD, head), (Fault.ANCHOR, anchor)]
        self._met: dict[int, str] = {}
        """Hashes of the lines that an anchor is about."""
        self._verdict = Verdict()
        self._expected = 1
        self._gaps: dict[int, AuditFinding] = {}
        self._prev: str | None = FIRST_PREV
        """Hash of the line before; None if that one is not to be believed."""
        self._broken: tuple[str, int, str] | None = None
        """File, line and hash of a line without a right seal, until the next line says whether it was torn."""
        self._changed = 0
        """Changed lines since the last right one: so many numbers are not missing."""

    def take(self, file: str, number: int, raw: bytes, line: Line | None) -> None:
        """One line, which comes without its line feed; `line` is None if its seal is wrong."""
        self._settle_broken(line)
        if line is None:
            self._broken = (file, number, hash_line(raw))
            return
        self._verdict.events += 1
        if any(anchor is not None and anchor.n == line.n for _, anchor in self._anchors):
            self._met.setdefault(line.n, line.hash)
        if line.n < self._expected:
            fault = Fault.MOVED if self._gaps.pop(line.n, None) is not None else Fault.REPEATED
            self._find(fault, file, number, f"Event {line.n} {_SAYS[fault]}.")
            self._prev = None
            return
        for n in range(self._expected + self._changed, line.n):
            text = f"Event {n} is missing before event {line.n}."
            self._gaps[n] = AuditFinding(Fault.MISSING, file, number, text)
        if line.n == self._expected and self._prev not in (None, line.prev):
            self._find(Fault.CHAIN, file, number, f"Event {line.n} does not follow on event {line.n - 1}.")
        self._expected, self._prev, self._changed = line.n + 1, line.hash, 0
        self._verdict.end = Anchor(line.n, line.hash)

    def take_torn(self) -> None:
        """A last line without line feed: it is being written, or was when the program died."""
        self._settle_broken(None)
        self._verdict.torn += 1

    def verdict_at_end(self) -> Verdict:
        """All that was found, the ends included."""
        self._settle_broken(None)
        verdict = self._verdict
        verdict.findings += self._gaps.values()
        last = self._expected - 1 + self._changed
        for fault, anchor in self._anchors:
            if anchor is not None and anchor.n > last:
                text = f"Events {last + 1} to {anchor.n} are missing at the end."
                verdict.findings.append(AuditFinding(Fault.TRUNCATED, None, None, text))
            elif anchor is not None and self._met.get(anchor.n, anchor.hash) != anchor.hash:
                text = f"Event {anchor.n} is not the one that was noted as the end."
                verdict.findings.append(AuditFinding(fault, None, None, text))
        if self._head is None and verdict.events:
            text = "The note of where the audit ended is missing."
            verdict.findings.append(AuditFinding(Fault.HEAD, None, None, text))
        return verdict

    def _settle_broken(self, line: Line | None) -> None:
        """Decides on the line before: torn by a crash, if this one vouches for it, or else changed."""
        if self._broken is None:
            return
        (file, number, hash), self._broken = self._broken, None
        if line is not None and line.content["detail"].get("tornHash") == hash:
            self._verdict.torn += 1
            return
        self._find(Fault.CHANGED, file, number, "The line is changed, or was not written by this server.")
        self._prev = None
        self._changed += 1

    def _find(self, fault: Fault, file: str, line: int, text: str) -> None:
        self._verdict.findings.append(AuditFinding(fault, file, line, text))


_SAYS = {Fault.MOVED: "is not in its place", Fault.REPEATED: "is there twice"}


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their line feeds, and their numbers from 1. A line without bound comes in pieces."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LINE_LIMIT_BYTES):
            number += 1
            yield number, raw
