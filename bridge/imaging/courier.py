"""The server's side of going out by DICOM: runs a process for an errand, hands it objects, hears what became of them.

One process an errand, so that whatever a destination answers harms nothing else. Blocks, for use from threads. Logs and
errors name no title, address or UID.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bridge
from bridge.imaging.dimse.talk import (
    BROKEN,
    BUSY,
    REFUSED,
    UNREACHABLE,
    Done,
    Errand,
    Fetch,
    Judgement,
    Line,
    LineClosed,
    Notify,
    Sent,
    Setup,
)
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Later, Progress
from bridge.imaging.scratch import Scratch
from bridge.imaging.statuses import PROCESSING_FAILED

_WHY_LATER = {
    UNREACHABLE: "The destination does not answer.",
    BUSY: "The destination takes nothing just now.",
    BROKEN: "The connection to the destination broke off.",
}
_WHY = {REFUSED: "The destination refuses us; it may not know our AE title, or none of these objects."}


class Courier:
    """Goes out under our title, and by TLS where that is set."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def deliver(
        self,
        errand: Errand,
        progress: Progress,
        file_of: Callable[[Fetch], Scratch],
        sent: Callable[[Sent], None],
        judged: Callable[[Judgement], None],
    ) -> None:
        """Until the errand is over. `file_of` gives an object, closed here; `judged` hears an empty judgement if it
        will be said later. Raises Later, DicomError, Stopped, and what `file_of` raises."""
        with self._out() as line:
            progress.on_stop = line.wake
            progress.check()
            try:
                line.send(self._setup)
                line.send(errand)
                done = self._serve(line, file_of, sent, judged)
            except LineClosed:
                progress.check()
                raise Later(_WHY_LATER[BROKEN]) from None
            finally:
                progress.on_stop = lambda: None
        _require_done(done)

    def notify(self, notify: Notify) -> None:
        """Raises Later, DicomError."""
        with self._out() as line:
            try:
                line.send(self._setup)
                done = line.ask(notify, Done)
            except LineClosed:
                raise Later(_WHY_LATER[BROKEN]) from None
        _require_done(done)

    def _serve(
        self,
        line: Line,
        file_of: Callable[[Fetch], Scratch],
        sent: Callable[[Sent], None],
        judged: Callable[[Judgement], None],
    ) -> Done:
        while True:
            said, file = line.receive()
            if file is not None:
                os.close(file)
            if isinstance(said, Fetch):
                _hand_over(line, said, file_of)
            elif isinstance(said, Sent):
                sent(said)
            elif isinstance(said, Judgement):
                judged(said)
            elif isinstance(said, Done):
                return said
            else:
                raise LineClosed

    @contextmanager
    def _out(self) -> Iterator[Line]:
        ours, theirs = Line.pair()
        line = Line(ours)
        try:
            with theirs:
                process = _spawn(theirs.fileno())
        except BaseException:
            line.close()
            raise
        try:
            yield line
        finally:
            line.close()
            process.kill()
            process.wait()


def _hand_over(line: Line, asked: Fetch, file_of: Callable[[Fetch], Scratch]) -> None:
    """One that cannot be read or decoded counts as failed; everything else ends the errand."""
    try:
        object = file_of(asked)
    except DicomError as error:
        line.send(Done(PROCESSING_FAILED, error.text))
        return
    with object:
        line.send(Done(), object.seal())


def _require_done(done: Done) -> None:
    if done.status in _WHY_LATER:
        raise Later(_WHY_LATER[done.status])
    if done.status:
        raise DicomError(_WHY.get(done.status, "The destination could not be spoken to."), "notAllowed")


def _spawn(file: int) -> subprocess.Popen[bytes]:
    # Nothing of the server's environment: it may hold secrets.
    environment = {
        "PYTHONPATH": str(Path(bridge.__file__).resolve().parents[1]),
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "bridge.imaging.dimse.courier", str(file)],
        pass_fds=(file,),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
