"""One participant of a crowd: the public protocol (`docs/protocol.md`) over a WebSocket, media over the crew's links.

It does what the page does: joins, publishes if it is a point, answers offers, asks for each picture in the size it is
shown at, sends the layers that are wanted, comes back when told to try later. It resumes only when it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import aiohttp
import msgspec

from bridge.crowd import reel, sdp
from bridge.crowd.crew import Crew, Link
from bridge.errors import CODES, BridgeError
from bridge.media import _native

PROTOCOL = "bridge.v1"
REQUEST_TIMEOUT_S = 30.0
COME_BACK = frozenset({"tooMany", "sessionFull", "shuttingDown", "serverBusy", "joinTimeout", "internal"})
"""Who is refused so tries again."""
RETRY_S = (0.5, 2.0)
SSRCS_EACH = 16
"""Room for a publisher's own: sound, and each layer with its RTX."""

Role = Literal["organiser", "point", "viewer"]
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heights:
    """How large pictures are shown, in pixels: the first of the stage, and the others."""

    main: int = 540
    others: int = 136


@dataclass(slots=True)
class Coming:
    """When what happened, by `time.monotonic`; None until it did."""

    begun_s: float = field(default_factory=time.monotonic)
    joined_s: float | None = None
    waited: bool = False
    refused: list[str] = field(default_factory=list)
    """Codes of the answers that said to come back."""


class Member:
    """Comes with `come`, and is there until `leave`."""

    def __init__(
        self,
        crew: Crew,
        http: aiohttp.ClientSession,
        address: str,
        token: str,
        name: str,
        role: Role,
        heights: Heights,
        *,
        speaking: bool = False,
        watching: bool = True,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        """`on_message` sees what the server says besides answers, after it was taken."""
        self.id = ""
        self.name = name
        self.coming = Coming()
        self.stage: list[str] = []
        self.layers_wanted: list[str] | None = None
        """Newest wish of the server for our camera; None: it said nothing."""
        self.errors: list[str] = []
        self._crew = crew
        self._http = http
        self._address = address
        self._token = token
        self._role = role
        self._heights = heights
        self._speaking = speaking
        self._watching = watching
        self._on_message = on_message
        self._resume_token = ""
        self._seq = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tracks: dict[str, Message] = {}
        self._shown: dict[str, int] = {}
        self._publisher: Link | None = None
        self._subscriber: Link | None = None
        self._camera = ""
        self._wishes: dict[str, list[str]] = {}
        self._incoming: dict[str, sdp.Incoming] = {}

    # --- coming and going ---

    async def come(self, deadline_s: float) -> None:
        """Joins and publishes. Raises BridgeError when it is refused, or not let in until `deadline_s`."""
        self.coming = Coming()
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    await self._enter()
                return
            except TimeoutError:
                raise BridgeError("Not let in in time.", "joinTimeout") from None
            except (aiohttp.ClientError, OSError) as error:
                self.coming.refused.append(type(error).__name__)
            except BridgeError as error:
                if error.code not in COME_BACK:
                    raise
                self.coming.refused.append(error.code)
            await asyncio.sleep(random.uniform(*RETRY_S))  # noqa: S311 (spreads comebacks)

    async def _enter(self) -> None:
        await self._open()
        joined = await self.request("join", token=self._token, name=self.name, language="en", client="crowd")
        self.coming.joined_s = time.monotonic()
        self._take_snapshot(joined)
        if self._role == "point":
            await self._publish()

    async def _open(self) -> None:
        self._socket = await self._http.ws_connect(
            f"{self._address}/ws", protocols=[PROTOCOL], max_msg_size=0, compress=0
        )
        self._reading = asyncio.create_task(self._read(self._socket))

    async def lose_connection(self) -> None:
        """Its connection breaks without a word; media goes on."""
        if self._socket is not None and self._reading is not None:
            self._socket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            await self._reading

    async def resume(self) -> None:
        """Goes on where the connection broke. Raises BridgeError where that is not possible any more."""
        await self._open()
        resumed = await self.request("resume", resumeToken=self._resume_token, seq=self._seq)
        self._resume_token = resumed["resumeToken"]

    async def leave(self) -> None:
        """Says goodbye and closes everything; never raises."""
        with contextlib.suppress(BridgeError, TimeoutError, aiohttp.ClientError, OSError):
            await self.request("leave")
        await self.close()

    async def close(self) -> None:
        tasks = [task for task in (self._reading, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        links, self._publisher, self._subscriber = (self._publisher, self._subscriber), None, None
        self._shown, self._incoming, self.layers_wanted = {}, {}, None
        for link in links:
            if link is not None:
                await link.close()

    @property
    def connected(self) -> bool:
        """Whether the connection is open, and all media that it should have."""
        links = [link for link in (self._publisher, self._subscriber) if link is not None]
        return self._socket is not None and not self._socket.closed and all(link.up for link in links)

    def first_pictures_s(self) -> dict[str, float]:
        """When the first whole picture of each track came, by `time.monotonic`."""
        return self._firsts_s("video")

    def first_sounds_s(self) -> dict[str, float]:
        """When the first sound of each track came, by `time.monotonic`."""
        return self._firsts_s("audio")

    def _firsts_s(self, kind: str) -> dict[str, float]:
        if self._subscriber is None:
            return {}
        seen = self._subscriber.first_frames_us
        return {
            track: seen[incoming.ssrc] / 1e6
            for track, incoming in self._incoming.items()
            if incoming.kind == kind and incoming.ssrc in seen
        }

    def offered(self) -> frozenset[str]:
        """The tracks that the server sends it now."""
        return frozenset(self._incoming)

    def pictures(self) -> dict[str, int]:
        """The pictures it has asked for, and in what height."""
        return dict(self._shown)

    # --- talking ---

    async def request(self, kind: str, **fields: Any) -> Message:
        """Sends a message and returns its answer; raises the error that the server answers."""
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send(kind, request=number, **fields)
            return await asyncio.wait_for(future, REQUEST_TIMEOUT_S)
        finally:
            self._waiting.pop(number, None)

    async def _send(self, kind: str, **fields: Any) -> None:
        if self._socket is None or self._socket.closed:
            raise BridgeError("The connection is closed.", "notFound")
        await self._socket.send_str(msgspec.json.encode({"type": kind, **fields}).decode())

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        error = BridgeError("The connection was lost.", "internal")
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = msgspec.json.decode(frame.data)
            self._seq = message.get("seq", self._seq)
            future = self._waiting.get(message.get("request", 0))
            if message["type"] == "error":
                error = _error(message)
                if future is None:
                    self.errors.append(error.code)
                elif not future.done():
                    future.set_exception(error)
            elif future is not None and not future.done():
                # What comes behind it in the same read is newer.
                for missed in message.get("missed", ()):
                    self._seq = missed["seq"]
                    self._take(missed)
                future.set_result(message)
            else:
                self._take(message)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def _take(self, message: Message) -> None:
        handler = self._handlers.get(message["type"])
        if handler is not None:
            handler(self, message)
        if self._on_message is not None:
            self._on_message(message)

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            self.errors.append(error.code if isinstance(error, BridgeError) else type(error).__name__)

    # --- the room ---

    def _take_snapshot(self, joined: Message) -> None:
        self.id = joined["participant"]
        self._resume_token = joined["resumeToken"]
        self._tracks = {track["id"]: track for track in joined["tracks"]}
        self.stage = joined["stage"]
        self._look()

    def _on_waiting(self, message: Message) -> None:
        self.coming.waited = True

    def _on_stage(self, message: Message) -> None:
        self.stage = message["stage"]
        self._look()

    def _on_track(self, message: Message) -> None:
        self._tracks[message["track"]["id"]] = message["track"]
        self._look()

    def _on_track_gone(self, message: Message) -> None:
        self._tracks.pop(message["track"], None)
        self._shown.pop(message["track"], None)
        self._look()

    def _on_layers(self, message: Message) -> None:
        # It may come before the answer that names the track.
        self._wishes[message["track"]] = message["layers"]
        self._follow()

    def _follow(self) -> None:
        wanted = self._wishes.get(self._camera)
        if wanted is not None and self._publisher is not None:
            self.layers_wanted = wanted
            self._crew.native.set_layers(self._publisher.number, wanted)

    def _look(self) -> None:
        """Asks for the stage's pictures in the size in which they are shown."""
        if not self._watching or self._role == "organiser":
            return
        videos = [t for t in self._tracks.values() if t["kind"] == "video" and t["participant"] != self.id]
        on_stage = [t for who in self.stage for t in videos if t["participant"] == who]
        wanted = {
            track["id"]: self._heights.others if place else self._heights.main
            for place, track in enumerate(on_stage)
        }
        for track, height in wanted.items():
            if self._shown.get(track) != height:
                self._shown[track] = height
                self._start(
                    self._send("setSubscription", request=next(self._numbers), track=track, maxHeight=height)
                )

    # --- media ---

    async def _publish(self) -> None:
        link = self._crew.link()
        rids = [layer.rid for layer in reel.LAYERS]
        answer = await self.request(
            "publishOffer",
            sdp=sdp.write_offer(link.own, rids),
            fresh=True,
            tracks=[
                {"mid": sdp.AUDIO_MID, "source": "microphone", "muted": not self._speaking},
                {"mid": sdp.VIDEO_MID, "source": "camera", "muted": False},
            ],
        )
        self._publisher = link
        self._camera = next(t["track"] for t in answer["tracks"] if t["mid"] == sdp.VIDEO_MID)
        server = sdp.read_answer(answer["sdp"])
        link.begin(server)
        self._begin_sending(link, rids)
        await link.connect(server)

    def _begin_sending(self, link: Link, rids: list[str]) -> None:
        native = self._crew.native
        base = 1 + link.number * SSRCS_EACH
        layers = [(rid, base + 1 + 2 * place, base + 2 + 2 * place) for place, rid in enumerate(rids)]
        native.publish(
            link.number,
            _native.ExtensionIds(**sdp.publishing_extensions()),
            audio=(sdp.AUDIO_MID, sdp.OPUS.payload_type, base),
            video=(sdp.VIDEO_MID, sdp.VP8.payload_type, sdp.VP8.rtx_payload_type, layers),
        )
        native.set_speaking(link.number, self._speaking)
        self._follow()

    def _on_offer(self, offer: Message) -> None:
        if self._watching and self._role != "organiser":
            self._start(self._answer(offer))

    async def _answer(self, offer: Message) -> None:
        link, first = self._subscriber, False
        if link is None or offer["fresh"]:
            if link is not None:
                await link.close()
            link, first = self._crew.link(), True
            self._subscriber = link
        answered = sdp.answer(offer["sdp"], link.own)
        await self._send("subscribeAnswer", negotiation=offer["negotiation"], sdp=answered.sdp)
        if first and answered.server is not None:
            link.begin(answered.server)
        by_mid = {incoming.mid: incoming for incoming in answered.incoming}
        self._incoming = {t["track"]: by_mid[t["mid"]] for t in offer["tracks"] if t["mid"] in by_mid}
        self._crew.native.receive(
            link.number,
            _native.ExtensionIds(**answered.extensions),
            [(each.kind, each.codec, each.ssrc, each.rtx_ssrc) for each in answered.incoming],
        )
        if first and answered.server is not None:
            await link.connect(answered.server)

    _handlers: ClassVar[dict[str, Callable[[Member, Message], None]]] = {
        "waiting": _on_waiting,
        "stageChanged": _on_stage,
        "trackPublished": _on_track,
        "trackChanged": _on_track,
        "trackUnpublished": _on_track_gone,
        "layersWanted": _on_layers,
        "subscribeOffer": _on_offer,
    }


def _error(message: Message) -> BridgeError:
    code = message["code"] if message["code"] in CODES else "internal"
    return BridgeError(message["text"], code)
