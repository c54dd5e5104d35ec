"""A study on its way out: its objects one after the other, as they are kept or written anew in a plain transfer syntax.

For one thread. No rights and no audit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from bridge.errors import LimitExceeded
from bridge.imaging.archive import Archive
from bridge.imaging.dimse.talk import Place
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.scratch import Scratch
from bridge.imaging.study import Instance


class Outgoing:
    """Of one study, which stays open until `close`."""

    def __init__(self, archive: Archive, study: str) -> None:
        """Raises NotFound, VaultError."""
        self._archive = archive
        self._study = study
        self._reader = archive.reader(study)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.close()

    def places(self) -> list[Place]:
        """All objects, by series and number."""
        return [
            Place(self._study, one.note.sop_instance, one.note.sop_class, one.note.transfer_syntax)
            for one in self._reader.instances()
        ]

    def file(self, sop_instance: str, transfer_syntax: str = "") -> Scratch:
        """A Part 10 file, to be closed by who asked. Raises NotFound, DicomError, LimitExceeded, VaultError."""
        instance = self._reader.instance(sop_instance)
        try:
            return self._file(instance, transfer_syntax)
        except OSError:
            raise LimitExceeded("The server is short of memory; try again in a moment.") from None

    def _file(self, instance: Instance, transfer_syntax: str) -> Scratch:
        object = Scratch(INSTANCE_LIMIT_BYTES)
        try:
            for piece in self._reader.iterate(instance):
                object.write(piece)
            if transfer_syntax in ("", instance.note.transfer_syntax):
                return object
            made = self._archive.rewritten(object, transfer_syntax)
        except BaseException:
            object.close()
            raise
        object.close()
        return made
