"""One WebSocket (RFC 6455) on its way out: a bounded queue, one writer, an end that says why. Knows no messages.

It is the `Outlet` of a participant: nothing here waits for a slow client, who is closed instead and may resume.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohttp import WSMsgType, web

from bridge.errors import CODES, BridgeError, PublicError, public_error
from bridge.messages import encode, error_message

QUEUE_LIMIT = 4000
"""Messages: twice what is kept for resuming, so that all that was missed fits."""
QUEUE_LIMIT_BYTES = 4 * 1024 * 1024
CLOSE_TIMEOUT_S = 2.0
"""Between our saying goodbye and the end of the socket, whether the client answers or not."""
HANG_UP_WITHIN_S = 0.3
"""By then what was said is on its way, and arrives before the end does."""
CLOSE_CODE = web.ResponseKey("close_code", int)
"""Under this the finished response says why the server ended it."""
NORMAL_CLOSE = 1000


class Connection:
    """The outgoing side of a socket."""

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], None], now_ms: int) -> None:
        self.heard_at_ms = now_ms
        self.pinged_at_ms = now_ms
        self._socket = socket
        self._abort = abort
        self._waiting: deque[tuple[WSMsgType, bytes]] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._ending: tuple[int, bytes] | None = None
        self._last_resort: asyncio.TimerHandle | None = None

    @property
    def close_code(self) -> int | None:
        """The code that ends or ended it from this side; the socket itself only knows what the client answered."""
        return None if self._ending is None else self._ending[0]

    @property
    def ending(self) -> bool:
        """It was closed from here; nothing more is sent or taken."""
        return self._ending is not None

    def send(self, data: bytes) -> None:
        """Queues a text message."""
        self._queue(WSMsgType.TEXT, data)

    def ping(self, now_ms: int) -> None:
        """Asks whether the other side is still there."""
        self.pinged_at_ms = now_ms
        self._queue(WSMsgType.PING, b"")

    def pong(self, payload: bytes) -> None:
        """Answers a ping of the client."""
        self._queue(WSMsgType.PONG, payload)

    def close(self, code: str, text: str) -> None:
        """Says why, then closes; the code must be one that ends connections."""
        self.refuse(public_error(BridgeError(text, code)))

    def refuse(self, error: PublicError) -> None:
        """The same with an error that is mapped already."""
        if self._ending is None:
            close = error.close if error.close is not None else CODES["internal"].close
            self.send(encode(error_message(error, None)))
            self.finish(close or NORMAL_CLOSE, error.code)

    def finish(self, close_code: int, reason: str) -> None:
        """Closes when the queue is sent."""
        if self._ending is None:
            self._ending = (close_code, reason.encode())
            self._wake.set()
            self._last_resort = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S * 2, self._abort)

    def hang_up_soon(self) -> None:
        """Does not wait for the goodbye of one who floods: whatever comes before it would have to be read."""
        if self._last_resort is not None:
            self._last_resort.cancel()
        self._last_resort = asyncio.get_running_loop().call_later(HANG_UP_WITHIN_S, self._abort)

    async def write(self) -> None:
        """Sends until the connection ends; to be run as a task of its own."""
        try:
            while self._waiting or self._ending is None:
                if not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                kind, data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
                await self._socket.send_frame(data, kind)
            code, reason = self._ending
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason)
        except (ConnectionError, TimeoutError):
            self._abort()

    def release(self) -> None:
        """The socket is gone: no timer is left behind."""
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _queue(self, kind: WSMsgType, data: bytes) -> None:
        if self._ending is not None:
            return
        self._waiting.append((kind, data))
        self._waiting_bytes += len(data)
        self._wake.set()
        if len(self._waiting) > QUEUE_LIMIT or self._waiting_bytes > QUEUE_LIMIT_BYTES:
            self._waiting.clear()
            self._waiting_bytes = 0
            self.close("tooMany", "The connection is too slow for what happens here.")
