"""A participant as a program: the public protocol (`docs/protocol.md`) over aiohttp, media over aiortc.

The demo satellite, `bridge check` and the tests take part through this, by the same door as a browser. It comes
back by itself: it resumes within the server's time, else joins anew and publishes again. aiortc does no ICE restart,
so a lost connection is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from bridge.clientnews import Known, Message
from bridge.errors import CODES, BridgeError, NotFound, ProtocolError

PROTOCOL = "bridge.v1"
REQUEST_TIMEOUT_S = 15.0
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 2.0
FINAL_CODES = frozenset(
    {
        "notAuthorised",
        "tokenExpired",
        "inviteRevoked",
        "removed",
        "joinedElsewhere",
        "sessionEnded",
        "unsupported",
    }
)
"""After these the server does not want this participant back."""


class Participant(Known):
    """One participant, joined by an invite token.

    `tracks` maps a source (`camera`, `ultrasound`, `microphone`, ...) to what is published as it. What arrives is
    in `received`, by track id. `consent` is what is answered where it is asked whether this may be recorded; None does
    not answer. `on_message` sees every message of the server after the state here was updated.
    """

    def __init__(
        self,
        address: str,
        token: str,
        name: str,
        *,
        tracks: Mapping[str, MediaStreamTrack] | None = None,
        receive: bool = True,
        language: str = "en",
        tls: ssl.SSLContext | bool = True,
        consent: bool | None = True,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        super().__init__()
        self.address = address.rstrip("/")
        self.name = name
        self.received: dict[str, MediaStreamTrack] = {}
        self.joined = asyncio.Event()
        self._token = token
        self._publish = dict(tracks or {})
        self._receive = receive
        self._language = language
        self._tls = tls
        self._consent = consent
        self._on_message = on_message
        self._changed = asyncio.Condition()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._resume_token = ""
        self._seq = 0
        self._publisher: RTCPeerConnection | None = None
        self._publishing = asyncio.Lock()
        self._subscriber: RTCPeerConnection | None = None
        self._subscribing = asyncio.Lock()
        self._offers: asyncio.Queue[Message] = asyncio.Queue(maxsize=64)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Takes part until cancelled; raises the server's BridgeError when it is refused for good."""
        retry_s = FIRST_RETRY_S
        answering = asyncio.create_task(self._answer_offers())
        try:
            async with aiohttp.ClientSession() as http:
                while True:
                    started_s = time.monotonic()
                    try:
                        await self._one_connection(http)
                    except BridgeError as error:
                        if error.code in FINAL_CODES:
                            raise
                    except (aiohttp.ClientError, OSError, TimeoutError):
                        pass
                    if time.monotonic() - started_s > LONGEST_RETRY_S:
                        retry_s = FIRST_RETRY_S
                    await asyncio.sleep(retry_s * random.uniform(0.7, 1.0))  # noqa: S311 (spreads comebacks)
                    retry_s = min(retry_s * 1.6, LONGEST_RETRY_S)
        finally:
            answering.cancel()
            await asyncio.gather(answering, *self._tasks, return_exceptions=True)
            await self._close_media()

    @contextlib.asynccontextmanager
    async def taking_part(self, timeout_s: float = REQUEST_TIMEOUT_S) -> AsyncIterator[Participant]:
        """Runs in the background, joined when the block begins; what ends the run for good is raised here."""
        running = asyncio.create_task(self.run())
        joined = asyncio.create_task(self.joined.wait())
        try:
            await asyncio.wait({running, joined}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            if not joined.done():
                raise TimeoutError("the server did not let us join in time")
            yield self
        finally:
            joined.cancel()
            running.cancel()
            await asyncio.gather(running, joined, return_exceptions=True)

    async def request(self, kind: str, **fields: Any) -> Message:
        """Sends one message and returns its answer; raises the error that the server answers."""
        return await self._ask(kind, fields, REQUEST_TIMEOUT_S)

    async def _ask(self, kind: str, fields: Mapping[str, Any], timeout_s: float | None) -> Message:
        if self._socket is None or self._socket.closed:
            raise NotFound("not connected")
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._socket.send_json({"type": kind, "request": number, **fields})
            return await asyncio.wait_for(future, timeout_s)
        finally:
            self._waiting.pop(number, None)

    async def until(self, true: Callable[[], Any], timeout_s: float = REQUEST_TIMEOUT_S) -> Any:
        """Waits until `true()` is, looking again after every message; returns its value."""

        async def wait() -> Any:
            async with self._changed:
                return await self._changed.wait_for(true)

        return await asyncio.wait_for(wait(), timeout_s)

    async def leave(self) -> None:
        await self.request("leave")

    async def _one_connection(self, http: aiohttp.ClientSession) -> None:
        async with http.ws_connect(
            f"{self.address}/ws", protocols=[PROTOCOL], heartbeat=20, ssl=self._tls, max_msg_size=0
        ) as socket:
            self._socket = socket
            entering = asyncio.create_task(self._enter())
            try:
                await self._read(socket, entering)
            finally:
                self._socket = None
                entering.cancel()
                self._fail_waiting()
                await asyncio.gather(entering, return_exceptions=True)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, entering: asyncio.Task[None]) -> None:
        last_error: Message | None = None
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = frame.json()
            if message["type"] == "error" and "request" not in message:
                last_error = message
            await self._take(message)
            if entering.done():
                entering.result()
        if entering.done() and not entering.cancelled():
            entering.result()
        if last_error is not None and last_error["code"] in CODES:
            raise BridgeError(last_error["text"], last_error["code"])

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NotFound("the connection was lost"))

    async def _enter(self) -> None:
        known = {"resumeToken": self._resume_token} if self._resume_token else {}
        if known and await self._resume():
            return
        await self._close_media()
        seat = {"token": self._token, "name": self.name, "language": self._language}
        # Should it be unable to resume, it is known by its token and gets its seat back.
        # It may have to wait until it is let in; whether the line still stands shows by its heartbeat.
        await self._ask("join", {"client": "bridge-python/0.1", **seat, **known}, None)
        await self._after_joining()

    async def _resume(self) -> bool:
        token, self._resume_token = self._resume_token, ""
        try:
            resumed = await self.request("resume", resumeToken=token, seq=self._seq)
        except BridgeError as error:
            if error.code != "resumeFailed":
                raise
            return False
        self._resume_token = resumed["resumeToken"]
        for message in resumed["missed"]:
            await self._take(message)
        if self._publish and resumed["publisher"] != "up":
            await self._publish_tracks()
        if self._receive and resumed["subscriber"] == "down":
            await self.request("restartSubscriber", fresh=True)
        return True

    def _take_snapshot(self, joined: Message) -> None:
        """At once: the changes after it may be in the same read."""
        self.snapshot(joined)
        self._resume_token, self._seq = joined["resumeToken"], joined["seq"]

    async def _after_joining(self) -> None:
        await self._report_clock()
        if self._consent is not None and self.participants[self.id]["consent"] == "pending":
            await self.request("answerConsent", agreed=self._consent)
        allowed = {p.removeprefix("publish:") for p in self.permissions if p.startswith("publish:")}
        self._publish = {source: track for source, track in self._publish.items() if source in allowed}
        if self._publish:
            await self._publish_tracks()
        self.joined.set()
        await self._notify()

    async def _report_clock(self) -> None:
        sent_ms = time.time() * 1000
        answer = await self.request("syncClock", clientAt=int(sent_ms))
        middle_ms = (sent_ms + time.time() * 1000) / 2
        await self.request("reportClock", clockOffsetMs=round(answer["serverTimeAt"] - middle_ms))

    async def _publish_tracks(self) -> None:
        async with self._publishing:
            if self._publisher is not None:
                await _whole(self._publisher.close())
            publisher = self._publisher = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            sources = {}
            for source, track in self._publish.items():
                transceiver = publisher.addTransceiver(track, direction="sendonly")
                sources[transceiver] = source
            await _whole(publisher.setLocalDescription(await publisher.createOffer()))
            answer = await self.request(
                "publishOffer",
                sdp=publisher.localDescription.sdp,
                fresh=True,
                tracks=[{"mid": t.mid, "source": s, "muted": False} for t, s in sources.items()],
            )
            await _whole(publisher.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer")))

    async def _answer_offers(self) -> None:
        """Takes offers one after the other: a peer connection bears no two negotiations at once."""
        while True:
            offer = await self._offers.get()
            try:
                async with self._subscribing:
                    await self._answer(offer)
            except BridgeError as error:
                if error.code == "internal":
                    raise
                continue  # a newer offer is on its way, or the connection went away

    async def _answer(self, offer: Message) -> None:
        if offer.get("fresh") or self._subscriber is None:
            if self._subscriber is not None:
                await _whole(self._subscriber.close())
            self._subscriber = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        subscriber = self._subscriber
        await _whole(subscriber.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer")))
        by_mid = {t["mid"]: t["track"] for t in offer["tracks"]}
        # What is not offered any more has ended; offered again later it comes as another track.
        for track in self.received.keys() - by_mid.values():
            del self.received[track]
        for transceiver in subscriber.getTransceivers():
            if transceiver.mid in by_mid and transceiver.receiver is not None:
                self.received[by_mid[transceiver.mid]] = transceiver.receiver.track
        await _whole(subscriber.setLocalDescription(await subscriber.createAnswer()))
        await self.request(
            "subscribeAnswer", negotiation=offer["negotiation"], sdp=subscriber.localDescription.sdp
        )
        await self._notify()

    async def _close_media(self) -> None:
        self.received.clear()
        async with self._publishing, self._subscribing:
            connections = [each for each in (self._publisher, self._subscriber) if each is not None]
            await _whole(asyncio.gather(*(each.close() for each in connections)))
            self._publisher = self._subscriber = None

    async def _take(self, message: Message) -> None:
        if "request" in message and (future := self._waiting.get(message["request"])) and not future.done():
            if message["type"] == "error":
                code = message["code"] if message["code"] in CODES else "internal"
                future.set_exception(BridgeError(message["text"], code))
            else:
                if message["type"] == "joined":
                    self._take_snapshot(message)
                future.set_result(message)
            return
        if "seq" in message:
            self._seq = message["seq"]
        self.hear(message)
        if message["type"] == "subscribeOffer" and self._receive:
            if self._offers.full():
                raise ProtocolError("the server offers faster than it can be answered")
            self._offers.put_nowait(message)
        elif message["type"] == "publisherDown":
            task = asyncio.create_task(self._publish_tracks())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._on_message is not None:
            self._on_message(message)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _whole(work: Awaitable[Any]) -> None:
    """Does it to its end, also when whoever waits for it is cancelled.

    Broken off in its midst, aiortc loses sockets it has opened already, or waits for ever for its own closing. For
    the same reason nothing else is done to the connection meanwhile.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(asyncio.shield(task), return_exceptions=True)
        raise
