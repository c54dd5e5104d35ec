"""The `bridge` command inside a test's process, and how it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.__main__ import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]
Printed = Callable[..., str]


def command_line(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands on this data folder; they work in the folder that it lies in."""
    for name in [name for name in os.environ if name.startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(data))
    monkeypatch.setattr(os, "umask", lambda mask: 0o077)
    monkeypatch.chdir(data.parent)

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["bridge", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, said.out, said.err)

    return call


def must_print(run: Run) -> Printed:
    """What a command prints that must succeed."""

    def call(*words: str) -> str:
        done = run(*words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return call
