"""WebSocket connections of participants: lets them in, decodes, calls the handler of each message, encodes.

It follows `docs/protocol.md` (WebSocket) and RFC 6455. It decides nothing about sessions; what a client may cost is
bounded here: message sizes and rates, time to join, silence, and how many may knock at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import structlog
from aiohttp import WSMessage, WSMsgType, web
from msgspec import UNSET, structs

from bridge import messages
from bridge.allowance import Allowance
from bridge.auth import Auth, Grant
from bridge.connection import CLOSE_CODE, NORMAL_CLOSE, Connection
from bridge.errors import BridgeError, LimitExceeded, NotAuthorised, ProtocolError, public_error
from bridge.eventdoor import Knock
from bridge.handlers import HANDLERS, OWN_RATE, Answer, Call, spend_allowance
from bridge.participant import Participant
from bridge.rooms import Entry, Rooms

JOIN_WITHIN_S = 10.0
PING_EVERY_MS = 10_000
SILENT_LIMIT_MS = 30_000
RATE_PER_S = 20.0
BURST = 100.0
KNOCKING_LIMIT = 1000
"""Connections that have not joined yet; a whole event may come back within a few seconds of a restart."""
SILENT_LIMIT = 400
"""Of these, who has said nothing yet. Beyond it the one that is silent the longest goes, so that nobody can hold the
door shut; each may have part of a message in memory."""
ENTRY_TRIES = 5
"""Messages before somebody has joined: a refused resumption, the join, and some patience."""
RECEIVE_BUFFER_BYTES = 32 * 1024
"""The kernel doubles it: enough for a long description within a few round trips."""
TICK_S = 0.1
LINES_CHECKED_EVERY_MS = 1000
STOP_WITHIN_S = 5.0
PAGE_GONE = frozenset({1001, 4001})
"""Codes under which a client closes when its page goes: a browser by itself, and ours, whose pages may say no 1001."""
FRAME_LIMIT_BYTES = 2 * messages.MESSAGE_LIMIT_BYTES
"""What is longer than a message may be is refused by its code; longer than this, the socket's own limit ends it."""

_log = structlog.get_logger(__name__)


class Signaling:
    """All WebSocket connections of this server, and the pulse that drives rooms."""

    def __init__(
        self, rooms: Rooms, auth: Auth, now_ms: Callable[[], int], allowed_origins: Sequence[str] = ()
    ) -> None:
        self._rooms = rooms
        self._auth = auth
        self._now_ms = now_ms
        self._allowed_origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins if origin)
        self._connections: set[Connection] = set()
        self._nobody_here = asyncio.Event()
        self._nobody_here.set()
        self._knocking = 0
        self._silent: dict[Connection, None] = {}
        self._lines_checked_at_ms = 0
        self._news: asyncio.Task[None] | None = None
        self._pulse: asyncio.TimerHandle | None = None

    def add_routes(self, app: web.Application) -> None:
        """Adds `GET /ws`."""
        app.router.add_get("/ws", self.handle)

    def start(self) -> None:
        """Begins to take media's news and to call time; needs a running loop."""
        self._news = asyncio.create_task(self._rooms.follow_media(), name="media news")
        self._beat()

    async def stop(self) -> None:
        """Tells everybody that the server stops, and waits until they are told; at most a few seconds."""
        self._rooms.shut_down()
        for connection in list(self._connections):
            connection.close("shuttingDown", "The server stops or restarts.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._nobody_here.wait()
        if self._pulse is not None:
            self._pulse.cancel()
        if self._news is not None:
            self._news.cancel()
            await asyncio.gather(self._news, return_exceptions=True)
        await self._rooms.settle()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One connection from its first to its last byte."""
        self._check_origin(request)
        if self._knocking >= KNOCKING_LIMIT:
            raise LimitExceeded("Too many are joining at this moment: try again.")
        response = web.WebSocketResponse(
            protocols=(messages.SUBPROTOCOL,),
            autoping=False,
            compress=False,
            max_msg_size=FRAME_LIMIT_BYTES,
            timeout=2.0,
        )
        await response.prepare(request)
        _take_small_bites(request)
        connection = Connection(response, lambda: _abort(request), self._now_ms())
        self._connections.add(connection)
        self._nobody_here.clear()
        writer = asyncio.create_task(connection.write(), name="socket writer")
        try:
            await self._serve(_Reader(response, connection, self._now_ms), connection, response.ws_protocol)
        finally:
            await self._end(connection, writer)
        if connection.close_code is not None:
            response[CLOSE_CODE] = connection.close_code
        return response

    async def _serve(self, reader: _Reader, connection: Connection, protocol: str | None) -> None:
        participant: Participant | None = None
        try:
            if protocol != messages.SUBPROTOCOL:
                raise BridgeError(f"The sub-protocol is {messages.SUBPROTOCOL}.", "unsupported")
            participant = await self._let_in(reader, connection)
            if participant is not None:
                await self._converse(reader, connection, participant)
        except BridgeError as error:
            connection.refuse(public_error(error))
            if isinstance(error, LimitExceeded):
                connection.hang_up_soon()
        except Exception as error:
            _log.exception("connection.failed")
            connection.refuse(public_error(error))
        finally:
            if participant is not None:
                self._rooms.disconnected(participant, connection, page_gone=reader.page_gone)

    async def _let_in(self, reader: _Reader, connection: Connection) -> Participant | None:
        asked = await self._ask_to_enter(reader, connection)
        if not isinstance(asked, _Asked):
            return asked
        try:
            if not await self._await_turn(asked.knock, reader, connection):
                return None
            message = asked.message
            entry = await self._rooms.join(
                asked.grant, message.name, message.language, connection, message.resume_token, asked.knock
            )
        finally:
            self._rooms.admission.gone(asked.knock)
        return self._welcome(connection, message, entry)

    async def _ask_to_enter(self, reader: _Reader, connection: Connection) -> _Asked | Participant | None:
        """Until somebody resumed, asked to join, or is gone."""
        self._knocking += 1
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                for _ in range(ENTRY_TRIES):
                    data = await self._first_words(reader, connection)
                    if data is None:
                        return None
                    asked = await self._take_first_words(data, connection)
                    if asked is not None:
                        return asked
            raise LimitExceeded("Too many attempts to join.")
        except TimeoutError:
            raise BridgeError("Nobody joined in time.", "joinTimeout") from None
        finally:
            self._knocking -= 1

    async def _await_turn(self, knock: Knock, reader: _Reader, connection: Connection) -> bool:
        """Keeps the line alive until it may come in; False for who gave up or was sent away."""
        if knock.turn.is_set():
            return True
        turn = asyncio.create_task(knock.turn.wait(), name="turn to join")
        patience = asyncio.create_task(_be_patient(reader, connection, self._now_ms), name="waiting to join")
        try:
            await asyncio.wait({turn, patience}, return_when=asyncio.FIRST_COMPLETED)
            if patience.done():
                # Raises what ends the connection, such as a message that nobody may say here.
                patience.result()
                return False
            return True
        finally:
            for task in (turn, patience):
                task.cancel()
            await asyncio.gather(turn, patience, return_exceptions=True)

    async def _first_words(self, reader: _Reader, connection: Connection) -> str | None:
        if len(self._silent) >= SILENT_LIMIT:
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.close("tooMany", "Too many are joining at this moment: try again.")
        self._silent[connection] = None
        try:
            return await reader.next()
        finally:
            self._silent.pop(connection, None)

    async def _take_first_words(self, data: str, connection: Connection) -> _Asked | Participant | None:
        message = messages.decode_client(data)
        if isinstance(message, messages.Join):
            grant = await self._auth.admit(message.token)
            admission = self._rooms.admission
            return _Asked(
                message, grant, await admission.knock(grant, message.name, connection, message.resume_token)
            )
        if not isinstance(message, messages.Resume):
            raise NotAuthorised("Join first.")
        try:
            entry = await self._rooms.resume(message.resume_token, message.seq, connection)
        except BridgeError as error:
            if error.code != "resumeFailed":
                raise
            _answer(connection, message, messages.error_message(public_error(error), None))
            return None
        return self._welcome(connection, message, entry)

    def _welcome(self, connection: Connection, message: messages.ClientMessage, entry: Entry) -> Participant:
        _answer(connection, message, entry.answer)
        self._rooms.catch_up(entry.participant)
        return entry.participant

    async def _converse(self, reader: _Reader, connection: Connection, participant: Participant) -> None:
        # No name holds a message while the next is waited for: an answer's description is 15 kB of each connection.
        while (left := await self._take_next(reader, connection, participant)) is not None:
            if left:
                connection.finish(NORMAL_CLOSE, "")
                return

    async def _take_next(
        self, reader: _Reader, connection: Connection, participant: Participant
    ) -> bool | None:
        """Whether it left by that; None at the end."""
        data = await reader.next()
        return None if data is None else await self._take(data, connection, participant, reader)

    async def _take(
        self, data: str, connection: Connection, participant: Participant, reader: _Reader
    ) -> bool:
        """Handles one message; True after `leave`."""
        message: messages.AnyClientMessage | None = None
        try:
            message = messages.decode_client(data)
            call = Call(self._rooms, participant, self._now_ms())
            spend_allowance(call, message)
            if type(message) in OWN_RATE:
                reader.allowance.give_back()
            answer = await HANDLERS[type(message)](call, message)
        except BridgeError as error:
            answer = messages.error_message(public_error(error), messages.request_of(data))
        except Exception as error:
            kind = type(message).__name__
            _log.exception("handler.failed", message_type=kind, participant=participant.id)
            answer = messages.error_message(public_error(error), messages.request_of(data))
        if message is None:
            connection.send(messages.encode(cast(messages.Error, answer)))
            return False
        _answer(connection, message, answer)
        return isinstance(message, messages.Leave) and participant.gone

    async def _end(self, connection: Connection, writer: asyncio.Task[None]) -> None:
        if not connection.ending:
            connection.finish(NORMAL_CLOSE, "")
        try:
            await writer
        finally:
            writer.cancel()
            connection.release()
            self._connections.discard(connection)
            if not self._connections:
                self._nobody_here.set()

    def _beat(self) -> None:
        # A callback: a task that sleeps costs as much as all that is usually to be done here.
        self._pulse = asyncio.get_running_loop().call_later(TICK_S, self._beat)
        try:
            self._rooms.tick()
            now_ms = self._now_ms()
            if now_ms - self._lines_checked_at_ms >= LINES_CHECKED_EVERY_MS:
                self._lines_checked_at_ms = now_ms
                self._check_lines(now_ms)
        except Exception:
            _log.exception("pulse.failed")

    def _check_lines(self, now_ms: int) -> None:
        for connection in list(self._connections):
            if now_ms - connection.heard_at_ms > SILENT_LIMIT_MS:
                connection.close("joinTimeout", "Nothing was heard for too long.")
            elif now_ms - max(connection.pinged_at_ms, connection.heard_at_ms) >= PING_EVERY_MS:
                connection.ping(now_ms)

    def _check_origin(self, request: web.Request) -> None:
        """Pages of other sites must not open sockets in their visitors' names. Raises NotAuthorised."""
        origin = request.headers.get("Origin")
        if origin is None:
            return
        with contextlib.suppress(ValueError):
            if urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower() != "":
                return
        if origin.lower() not in self._allowed_origins:
            raise NotAuthorised("Pages of other sites may not connect here.", "notAllowed")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Somebody who may join, when its turn comes."""

    message: messages.Join
    grant: Grant
    knock: Knock


class _Reader:
    """The incoming side of a socket: text messages, within their rate."""

    def __init__(
        self, socket: web.WebSocketResponse, connection: Connection, now_ms: Callable[[], int]
    ) -> None:
        self._socket = socket
        self._connection = connection
        self._now_ms = now_ms
        self.allowance = Allowance(BURST, RATE_PER_S, now_ms())
        self.page_gone = False
        """At the end: the client said so, and what it had of media is gone with it."""

    async def next(self) -> str | None:
        """The next text, None at the end. Raises ProtocolError or LimitExceeded, which end the connection."""
        while True:
            message = await self._socket.receive()
            now_ms = self._connection.heard_at_ms = self._now_ms()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                self.page_gone = message.type is WSMsgType.CLOSE and message.data in PAGE_GONE
                return None
            if self._connection.ending:
                continue
            self.allowance.spend(now_ms, "Too many messages.")
            text = self._text_of(message)
            if text is not None:
                return text

    def _text_of(self, message: WSMessage) -> str | None:
        if message.type is WSMsgType.PING:
            self._connection.pong(message.data)
            return None
        if message.type is WSMsgType.PONG:
            return None
        if message.type is not WSMsgType.TEXT:
            raise ProtocolError("Messages are text.")
        text: str = message.data
        if len(text) > messages.MESSAGE_LIMIT_BYTES or len(text.encode()) > messages.MESSAGE_LIMIT_BYTES:
            raise LimitExceeded(
                f"A message has at most {messages.MESSAGE_LIMIT_BYTES // 1024} KiB.", "tooLarge"
            )
        return text


def _answer(connection: Connection, message: messages.ClientMessage, answer: Answer) -> None:
    """Sends the answer under the request's number; `ok` is left out where nobody asked for an answer."""
    if message.request is UNSET and answer is None:
        return
    said = messages.Ok() if answer is None else answer
    if message.request is not UNSET:
        said = structs.replace(said, request=message.request)
    connection.send(messages.encode(said))


async def _be_patient(reader: _Reader, connection: Connection, now_ms: Callable[[], int]) -> None:
    """Until who waits gives up. It may find out whether the line still stands. Raises NotAuthorised for more."""
    while (data := await reader.next()) is not None:
        message = messages.decode_client(data)
        if isinstance(message, messages.Leave):
            _answer(connection, message, None)
            return
        if not isinstance(message, messages.SyncClock):
            raise NotAuthorised("Wait until you are let in.")
        _answer(connection, message, messages.Clock(client_at=message.client_at, server_time_at=now_ms()))


def _take_small_bites(request: web.Request) -> None:
    """What one read brings is worked off without a pause: a buffer of tiny frames would hold up everybody else."""
    line = request.transport.get_extra_info("socket") if request.transport is not None else None
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
