"""Writes recordings from the relay's taps: `recorder.DiskRecorder` is `contract.Recorder`.

Packets take this way: the event loop hands them over (`recorder`), one thread makes parts of them (`making`), what
is made waits in bounded memory (`backlog`), another thread puts it on the disk (`writing`, `streams`). So a disk that
hangs holds up nothing but itself.
"""

from bridge.media.recorder.recorder import DiskRecorder

__all__ = ["DiskRecorder"]
