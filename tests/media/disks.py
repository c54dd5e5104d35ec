"""Real disks that fail: small, mounted for a test, filled, frozen, or taken away by the kernel. Needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 1 << 16


@dataclass
class Disk:
    """A mounted file system."""

    folder: Path
    device: str = ""

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Not one block is free."""
        ballast = self.folder / "ballast"
        _fill(ballast)
        try:
            yield
        finally:
            ballast.unlink()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Every write hangs until the end."""
        _run("fsfreeze", "--freeze", self.folder)
        try:
            yield
        finally:
            _run("fsfreeze", "--unfreeze", self.folder)

    def abort(self) -> None:
        """What the kernel does by itself at an error of the disk: not a byte can be written from here on."""
        _run("mount", "-o", "remount,abort", self.folder)

    def repair(self) -> None:
        """What a person does then. Fails while anybody has files open."""
        _run("umount", self.folder)
        # It returns 1 for what it has mended.
        subprocess.run(["e2fsck", "-fy", self.device], capture_output=True, check=False)
        _run("mount", self.device, self.folder)


@contextlib.contextmanager
def memory_disk(folder: Path, size_bytes: int) -> Iterator[Disk]:
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", folder)
    try:
        yield Disk(folder)
    finally:
        _run("umount", folder)


@contextlib.contextmanager
def loop_disk(folder: Path, image: Path, size_bytes: int, *features: str) -> Iterator[Disk]:
    """ext4 in a file that takes only the space it needs."""
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", *features, image)
    device = _run("losetup", "--find", "--show", image).strip()
    try:
        _run("mount", device, folder)
        try:
            yield Disk(folder, device)
        finally:
            _run("umount", folder)
    finally:
        _run("losetup", "--detach", device)


@contextlib.contextmanager
def failing_disk(folder: Path, size_bytes: int) -> Iterator[tuple[Disk, Disk]]:
    """A disk, and the one beneath: while that is full, the first takes all that is written to it, and fails to sync."""
    with memory_disk(folder / "beneath", size_bytes) as beneath:
        image = beneath.folder / "image"
        # Without a journal the file system does not give up for good.
        with loop_disk(folder / "above", image, 4 * size_bytes, "-O", "^has_journal") as above:
            yield above, beneath


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size_bytes in (BLOCK_BYTES, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size_bytes):
                    pass
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())


def _run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
