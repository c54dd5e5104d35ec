"""A process that goes out once: sends objects to a destination and asks whether it keeps them (PS3.4 B, J), or tells
another what is kept here. Then it ends.

The server (`bridge/imaging/courier.py`) says what on a socket, hands each object over as it is wanted, and hears what
became of it. It has no keys and no data folder.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from bridge.imaging.dimse import commitment, contexts
from bridge.imaging.dimse.process import application, client_tls, settle
from bridge.imaging.dimse.sending import Sending, Target, send_at_once
from bridge.imaging.dimse.talk import (
    BROKEN,
    BUSY,
    REFUSED,
    UNREACHABLE,
    Commit,
    Done,
    Errand,
    Judgement,
    Line,
    LineClosed,
    Notify,
    Sent,
    Setup,
    expected,
)
from bridge.imaging.errors import DicomError
from bridge.imaging.statuses import PROCESSING_FAILED

REPORT_WITHIN_S = 5.0
"""So long a report is waited for on the same association; most come later, on one of the other side's own."""
_TRANSIENT = 2
_PRESENTATION_LIMIT = 127
"""One is left for storage commitment."""


class _Errands:
    def __init__(self, setup: Setup, line: Line) -> None:
        self._ae: AE = application(setup)
        self._tls = client_tls(setup)
        self._line = line

    def deliver(self, errand: Errand) -> Done:
        found = errand.found
        pairs = dict.fromkeys((place.sop_class, place.transfer_syntax) for place in found.places)
        proposed = contexts.wanted(pairs, _PRESENTATION_LIMIT)
        if errand.transaction:
            proposed.append(commitment.proposal())
        association, failed = self._call(errand.title, found.host, found.port, proposed)
        if association is None:
            return failed
        target = Target(association, own=True)
        sending = Sending(self._line, target, found.places)
        sent = list(errand.before)
        try:
            for number, place in enumerate(found.places, 1):
                status = sending.send(place, None, 0, number)
                if not association.is_established or not association.dul.is_alive():
                    return Done(BROKEN)
                if status is not None and (not status or status & 0xF000 == 0xB000):
                    sent.append((place.sop_class, place.sop_instance))
                self._line.send(Sent(place.sop_instance, -1 if status is None else status))
            if errand.transaction and sent:
                self._ask(association, Commit(errand.transaction, sent), len(found.places) + 1)
            return Done()
        finally:
            target.close()

    def notify(self, notify: Notify) -> Done:
        """On an association of our own, in the role of the one that keeps (PS3.4 J.3.3)."""
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = contexts.STORAGE_COMMITMENT, False, True
        association, failed = self._call(
            notify.title, notify.host, notify.port, [commitment.proposal()], [role]
        )
        if association is None:
            return failed
        association._reactor_checkpoint.clear()
        try:
            number, context = next(iter(association._accepted_cx.items()))
            report = commitment.report(notify.judgement, 1, context.transfer_syntax[0])
            association.dimse.send_msg(report, number)
            _, answer = association.dimse.get_msg(block=True)
            done = isinstance(answer, N_EVENT_REPORT) and answer.Status == 0
            return Done() if done else Done(BROKEN)
        finally:
            association._reactor_checkpoint.set()
            association.release()

    def _call(
        self,
        title: str,
        host: str,
        port: int,
        proposed: list[PresentationContext],
        roles: list[Any] | None = None,
    ) -> tuple[Association | None, Done]:
        association = self._ae.associate(
            host,
            port,
            contexts=proposed,
            ae_title=title,
            ext_neg=roles or [],
            tls_args=(self._tls, host) if self._tls is not None else None,
            evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
        )
        if association.is_established and association._accepted_cx:
            return association, Done()
        answered: Any = association.acceptor.primitive
        is_refused = association.is_rejected
        refusal = BUSY if getattr(answered, "result", 0) == _TRANSIENT else REFUSED
        if association.is_established:
            association.release()
            return None, Done(REFUSED)
        association.kill()
        return None, Done(refusal if is_refused else UNREACHABLE)

    def _ask(self, association: Association, commit: Commit, message_id: int) -> None:
        """The server hears a Judgement: an empty one if the answer is to come on another association."""
        context = next(
            (
                (number, each.transfer_syntax[0])
                for number, each in association._accepted_cx.items()
                if each.abstract_syntax == contexts.STORAGE_COMMITMENT
            ),
            None,
        )
        if context is None:
            return
        number, syntax = context
        association.dimse.send_msg(commitment.request(commit, message_id % 65_535 or 1, syntax), number)
        deadline_s = time.monotonic() + REPORT_WITHIN_S
        is_agreed = False
        association.dimse_timeout = REPORT_WITHIN_S
        while time.monotonic() < deadline_s and association.dul.is_alive():
            context_id, message = association.dimse.get_msg(block=True)
            if isinstance(message, N_EVENT_REPORT) and context_id is not None:
                self._line.send(self._reported(association, message, context_id, syntax))
                return
            if isinstance(message, N_ACTION):
                if message.Status != 0:
                    return
                is_agreed = True
                self._line.send(Judgement(commit.transaction, []))
            elif message is None and not is_agreed:
                return

    def _reported(
        self, association: Association, message: N_EVENT_REPORT, context_id: int, syntax: Any
    ) -> Judgement:
        answer = N_EVENT_REPORT()
        answer.MessageIDBeingRespondedTo = message.MessageID
        answer.AffectedSOPClassUID = message.AffectedSOPClassUID
        answer.AffectedSOPInstanceUID = message.AffectedSOPInstanceUID
        answer.EventTypeID = message.EventTypeID
        try:
            judgement = commitment.told(message, syntax)
            answer.Status = 0
        except DicomError:
            judgement = Judgement("", [])
            answer.Status = PROCESSING_FAILED
        association.dimse.send_msg(answer, context_id)
        return judgement


def main() -> None:
    """`python -m bridge.imaging.dimse.courier DESCRIPTOR`."""
    settle()
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    try:
        errands = _Errands(expected(line.receive()[0], Setup), line)
        said, _ = line.receive()
        line.send(
            errands.notify(said) if isinstance(said, Notify) else errands.deliver(expected(said, Errand))
        )
    except LineClosed:
        pass
    finally:
        os._exit(0)  # Whatever threads still do, nobody is there to answer them.


if __name__ == "__main__":
    main()
