"""What is done for others on one association: echo, keep, find, move, get, commit (PS3.4 A, B, C, J; PS3.7 9.1, 10.1).

Every answer comes from the server, over the association's own line. Success is said of an object when the server said
that it is safe. Logs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE, N_ACTION, N_EVENT_REPORT

from bridge.errors import BridgeError
from bridge.imaging.dimse import commitment, contexts, identifiers
from bridge.imaging.dimse.answers import store_answer
from bridge.imaging.dimse.sending import Destination, Sending, Target
from bridge.imaging.dimse.talk import (
    Done,
    Find,
    Hello,
    Judgement,
    Keep,
    Line,
    Locate,
    Places,
    Rows,
    Welcome,
    expected,
)
from bridge.imaging.dimse.upper import Landing, Visit
from bridge.imaging.errors import DicomError
from bridge.imaging.statuses import NO_RESOURCES, status_of

SUCCESS, PENDING, CANCELLED = 0x0000, 0xFF00, 0xFE00
INVALID_ARGUMENT = 0x0115
NOT_SUPPORTED, SOME_FAILED, ALL_FAILED, UNKNOWN_DESTINATION = 0x0122, 0xB000, 0xA702, 0xA801
COMMENT_LIMIT = 64
_REJECTIONS = {"calling": (1, 1, 3), "called": (1, 1, 7), "busy": (2, 3, 2)}
"""Result, source and reason: permanently, by the user; or just now, by the provider (PS3.8 9.3.4)."""


class Services:
    """For one association."""

    def __init__(self, open_line: Callable[[], Line], destination: Destination, title: str) -> None:
        self._open_line = open_line
        self._line: Line | None = None
        self._destination = destination
        self._title = title

    def admit(self, visit: Visit) -> tuple[int, int, int] | None:
        asked: Any = visit.requestor.primitive
        address: Any = visit.requestor.address_info
        self._line = self._open_line()
        hello = Hello(str(asked.calling_ae_title), str(asked.called_ae_title), str(address.address))
        welcome = self._line.ask(hello, Welcome)
        if welcome.reason:
            return _REJECTIONS.get(welcome.reason, (2, 2, 1))
        proposed = asked.presentation_context_definition_list
        visit.acceptor.supported_contexts = contexts.supported(proposed)
        return None

    def serve(self, visit: Visit, message: Any, context_id: int) -> None:
        if self._line is None:
            raise ValueError("nobody was let in")
        request = _Request(visit, self._line, message, context_id)
        if isinstance(message, C_ECHO):
            request.respond(SUCCESS)
        elif isinstance(message, C_STORE):
            _keep(request)
        elif isinstance(message, C_FIND | C_MOVE | C_GET):
            self._query(request)
        elif isinstance(message, N_ACTION):
            _commit(request)
        elif isinstance(message, N_EVENT_REPORT):
            _note_report(request)
        else:
            raise ValueError("a service that was not agreed on")

    def end(self) -> None:
        if self._line is not None:
            self._line.close()

    def _query(self, request: _Request) -> None:
        query = contexts.QUERIES.get(str(request.context.abstract_syntax))
        if query is None or query.verb != type(request.message).__name__[2:].lower():
            request.respond(NOT_SUPPORTED)
            return
        try:
            question = identifiers.Question(request.message.Identifier.getvalue(), request.syntax)
        except DicomError as error:
            request.respond(status_of(error), error.text)
            return
        if query.verb == "find":
            _find(request, question, query.patients, self._title)
        else:
            self._send(request, question, query.patients)

    def _send(self, request: _Request, question: identifiers.Question, patients: bool) -> None:
        message = request.message
        to = str(message.MoveDestination).strip() if isinstance(message, C_MOVE) else ""
        request.line.send(Locate(patients, question.level, question.keys, to))
        said, _ = request.line.receive()
        if isinstance(said, Done):
            request.respond(said.status, said.comment)
            return
        found = expected(said, Places)
        target: Target | None
        if isinstance(message, C_MOVE):
            target = self._destination.open(found, to) if found.places else None
            if found.places and target is None:
                request.respond(UNKNOWN_DESTINATION, "The destination does not answer.")
                return
        else:
            target = Target(request.visit)
        if target is None:
            request.respond(SUCCESS, counts=(0, 0, 0, 0))
            return
        try:
            _run(Sending(request.line, target, found.places), request)
        finally:
            target.close()


class _Request:
    """One request and how it is answered."""

    def __init__(self, visit: Visit, line: Line, message: Any, context_id: int) -> None:
        self.visit = visit
        self.line = line
        self.message = message
        self.context = visit._accepted_cx[context_id]
        self.syntax = self.context.transfer_syntax[0]
        self.context_id = context_id

    @property
    def is_cancelled(self) -> bool:
        return self.message.MessageID in self.visit.dimse.cancel_req

    def respond(
        self,
        status: int,
        comment: str = "",
        identifier: bytes | None = None,
        counts: tuple[int, int, int, int] | None = None,
    ) -> None:
        """`counts` are sub-operations: remaining, completed, failed, with a warning."""
        response = type(self.message)()
        response.MessageIDBeingRespondedTo = self.message.MessageID
        if isinstance(self.message, N_ACTION):
            response.AffectedSOPClassUID = self.message.RequestedSOPClassUID
            response.AffectedSOPInstanceUID = self.message.RequestedSOPInstanceUID
            response.ActionTypeID = self.message.ActionTypeID
        else:
            response.AffectedSOPClassUID = self.message.AffectedSOPClassUID
        if isinstance(self.message, C_STORE | N_EVENT_REPORT):
            response.AffectedSOPInstanceUID = self.message.AffectedSOPInstanceUID
        if isinstance(self.message, N_EVENT_REPORT):
            response.EventTypeID = self.message.EventTypeID
        response.Status = status
        if comment:
            response.ErrorComment = comment[:COMMENT_LIMIT]
        if identifier is not None:
            response.Identifier = BytesIO(identifier)
        if counts is not None:
            if status in (PENDING, CANCELLED):
                response.NumberOfRemainingSuboperations = counts[0]
            response.NumberOfCompletedSuboperations = counts[1]
            response.NumberOfFailedSuboperations = counts[2]
            response.NumberOfWarningSuboperations = counts[3]
        self.visit.dimse.send_msg(response, self.context_id)

    def answer_store(self, status: int, comment: str = "") -> None:
        """As `respond`, but without keeping the sender waiting."""
        message = self.message
        uids = (str(message.AffectedSOPClassUID), str(message.AffectedSOPInstanceUID))
        command = store_answer(message.MessageID, *uids, status, comment[:COMMENT_LIMIT])
        self.visit.send_command(self.context_id, command)

    def landing(self) -> Landing:
        return self.visit.dimse.landing_of(self.message, self.context_id)


def _keep(request: _Request) -> None:
    message = request.message
    landing = request.landing()
    try:
        if landing.failed is not None or landing.scratch is None:
            request.answer_store(*_refusal(landing.failed))
            return
        keep = Keep(str(message.AffectedSOPClassUID), str(message.AffectedSOPInstanceUID))
        done = request.line.ask(keep, Done, landing.scratch.seal())
        request.answer_store(done.status, done.comment)
    finally:
        landing.let_go()


def _refusal(error: BridgeError | OSError | ValueError | None) -> tuple[int, str]:
    if error is None:
        return NO_RESOURCES, ""
    if isinstance(error, BridgeError):
        return status_of(error), error.text
    is_uid = isinstance(error, ValueError)
    return status_of(error), "The object's UIDs are none." if is_uid else "Out of memory; try again."


def _find(request: _Request, question: identifiers.Question, patients: bool, title: str) -> None:
    request.line.send(Find(patients, question.level, question.keys))
    is_cancelled = False
    while True:
        said, _ = request.line.receive()
        if isinstance(said, Done):
            request.respond(CANCELLED if is_cancelled else said.status, said.comment)
            return
        for row in expected(said, Rows).rows:
            is_cancelled = is_cancelled or request.is_cancelled
            if not is_cancelled:
                identifier = identifiers.answer(row, question, title, request.syntax)
                request.respond(PENDING, identifier=identifier)


def _commit(request: _Request) -> None:
    """Says yes, looks, and tells at once who cannot be called (PS3.4 J.3.2, J.3.3)."""
    try:
        asked = commitment.asked(request.message, request.syntax)
    except DicomError:
        request.respond(INVALID_ARGUMENT)
        return
    request.respond(SUCCESS)
    request.line.send(asked)
    said, _ = request.line.receive()
    if isinstance(said, Judgement) and request.visit.is_established:
        report = commitment.report(said, request.message.MessageID % 65_535 + 1, request.syntax)
        request.visit.dimse.send_msg(report, request.context_id)
        request.visit.dimse.get_msg(block=True)


def _note_report(request: _Request) -> None:
    try:
        judgement = commitment.told(request.message, request.syntax)
    except DicomError:
        request.respond(INVALID_ARGUMENT)
        return
    request.respond(request.line.ask(judgement, Done).status)


def _run(sending: Sending, request: _Request) -> None:
    message = request.message
    title = request.visit.requestor.ae_title if isinstance(message, C_MOVE) else None
    for counts in sending.each(title, message.MessageID):
        if not request.visit.is_established:
            return
        if request.is_cancelled:
            failed = identifiers.failed(sending.failed, request.syntax)
            request.respond(CANCELLED, identifier=failed, counts=counts)
            return
        if counts[0]:
            request.respond(PENDING, counts=counts)
    counts = sending.counts
    if not sending.failed:
        request.respond(SUCCESS, counts=counts)
        return
    status = SOME_FAILED if counts[1] or counts[3] else ALL_FAILED
    request.respond(status, identifier=identifiers.failed(sending.failed, request.syntax), counts=counts)
