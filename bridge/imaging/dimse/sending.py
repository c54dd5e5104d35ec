"""Sends objects to others, byte for byte as they are kept, or as the server wrote or decoded them anew where only a
plain syntax is taken.

What the other side cannot take either way, as a video, counts as failed (PS3.4 C.4.2, C.4.3).
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from bridge.imaging.dimse import contexts
from bridge.imaging.dimse.talk import Done, Fetch, Line, Place, Places, expected
from bridge.imaging.elements import Walker
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.scratch import Scratch

_META_AT = 132
_FAILED = None
_MESSAGES = 65_535


class Destination:
    """Where objects are moved to."""

    def __init__(self, ae: AE, context: ssl.SSLContext | None) -> None:
        """`context` is for TLS, if others are spoken to by that."""
        self._ae = ae
        self._context = context

    def open(self, found: Places, title: str) -> Target | None:
        """None if it does not answer."""
        pairs = dict.fromkeys((place.sop_class, place.transfer_syntax) for place in found.places)
        association = self._ae.associate(
            found.host,
            found.port,
            contexts=contexts.wanted(pairs),
            ae_title=title,
            tls_args=(self._context, found.host) if self._context is not None else None,
            evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
        )
        if association.is_established:
            return Target(association, own=True)
        association.kill()
        return None


def send_at_once(event: Any) -> None:
    """Nothing waits for more to come."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Target:
    """An association on which objects are sent."""

    def __init__(self, association: Association, *, own: bool = False) -> None:
        """`own` is one that was opened for this; nobody else may read its answers meanwhile."""
        self._association = association
        self._own = own
        self._contexts: dict[tuple[str, str], int] = {}
        for number, context in association._accepted_cx.items():
            if context.as_scu:
                key = (str(context.abstract_syntax), str(context.transfer_syntax[0]))
                self._contexts[key] = number
        if own:
            association._reactor_checkpoint.clear()

    def context(self, sop_class: str, syntax: str) -> tuple[int, str] | None:
        """The number and syntax of the context for such an object."""
        for other in (syntax, *contexts.turnable(syntax)):
            number = self._contexts.get((sop_class, other))
            if number is not None:
                return number, other
        return None

    @property
    def is_open(self) -> bool:
        return bool(self._association.is_established)

    def send(self, request: C_STORE, context_id: int) -> int | None:
        """The status that was answered; None if nothing was in time, or not to this. Then the association is over."""
        if not self.is_open:
            return _FAILED
        self._association.dimse.send_msg(request, context_id)
        _, response = self._association.dimse.get_msg(block=True)
        if isinstance(response, C_STORE) and response.MessageIDBeingRespondedTo == request.MessageID:
            return response.Status
        # An answer that came later would be taken for that to the next object (PS3.7 9.3.1.2).
        self._association.abort()
        return _FAILED

    def close(self) -> None:
        if self._own:
            self._association._reactor_checkpoint.set()
            self._association.release()


class Sending:
    """A run over objects."""

    def __init__(self, line: Line, target: Target, places: list[Place]) -> None:
        self._line = line
        self._target = target
        self._places = places
        self._completed = 0
        self._warned = 0
        self.failed: list[str] = []

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Remaining, completed, failed, with a warning."""
        done = self._completed + len(self.failed) + self._warned
        return len(self._places) - done, self._completed, len(self.failed), self._warned

    def each(self, originator: str | None, message_id: int) -> Iterator[tuple[int, int, int, int]]:
        """Sends one after the other, and gives the counts after each."""
        for number, place in enumerate(self._places, 1):
            status = self.send(place, originator, message_id, number)
            if status is None or status & 0xF000 not in (0x0000, 0xB000) or 0 < status < 0xB000:
                self.failed.append(place.sop_instance)
            elif status:
                self._warned += 1
            else:
                self._completed += 1
            yield self.counts

    def send(self, place: Place, originator: str | None, message_id: int, number: int) -> int | None:
        """The status that one object was answered with; None if it was not sent or not answered."""
        if not self._target.is_open:
            return _FAILED
        chosen = self._target.context(place.sop_class, place.transfer_syntax)
        if chosen is None:
            return _FAILED
        context_id, syntax = chosen
        self._line.send(
            Fetch(place.study, place.sop_instance, syntax if syntax != place.transfer_syntax else "")
        )
        said, file = self._line.receive()
        if expected(said, Done).status or file is None:
            if file is not None:
                os.close(file)
            return _FAILED
        with Scratch.received(file, INSTANCE_LIMIT_BYTES) as object:
            dataset = _dataset(object)
        request = C_STORE()
        request.MessageID = (message_id + number) % _MESSAGES or 1
        request.AffectedSOPClassUID = place.sop_class
        request.AffectedSOPInstanceUID = place.sop_instance
        request.Priority = 2
        if originator is not None:
            request.MoveOriginatorApplicationEntityTitle = originator
            request.MoveOriginatorMessageID = message_id
        request.DataSet = BytesIO(dataset)
        return self._target.send(request, context_id)


def _dataset(object: Scratch) -> bytes:
    """What follows the file meta; of even length, which some deflated files are not (PS3.5 A.5)."""
    view = object.view()
    _, start = Walker(view).file_meta(_META_AT)
    return bytes(view[start:]) + b"\0" * (len(view[start:]) % 2)
