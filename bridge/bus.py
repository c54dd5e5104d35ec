"""What one server tells another: topics with payloads of bytes, delivered at most once and never waited for.

The shape is that of Redis PUBLISH and SUBSCRIBE, so that a networked bus can stand behind the same protocol. A slow
subscriber loses the oldest payloads of its own queue and nobody else's. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from typing import Protocol

from bridge.errors import LimitExceeded

QUEUE_LIMIT = 1000
"""Payloads that wait for one subscriber before the oldest are lost: some seconds of a busy event."""
PAYLOAD_LIMIT_BYTES = 256 * 1024
"""As large as the largest message of the protocol."""


class Subscription(Protocol):
    """Payloads of one topic from the moment of subscribing; ends when it is closed."""

    @property
    def lost(self) -> int:
        """Payloads given up because nobody read them in time."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""

    async def __anext__(self) -> bytes:
        """The next payload, once there is one."""

    async def aclose(self) -> None:
        """Ends the iteration; may be repeated."""


class Bus(Protocol):
    """Publishes to and subscribes from every server of this installation, this one included."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Sends without waiting for readers. Raises LimitExceeded (`tooLarge`)."""

    def subscribe(self, topic: str) -> Subscription:
        """Payloads published after this call, in order."""

    async def close(self) -> None:
        """Ends all subscriptions; may be repeated."""


class LocalBus:
    """A bus for one server alone: hands payloads from task to task in this process."""

    def __init__(self, queue_limit: int = QUEUE_LIMIT) -> None:
        self._queue_limit = queue_limit
        self._topics: defaultdict[str, set[_LocalSubscription]] = defaultdict(set)

    async def publish(self, topic: str, payload: bytes) -> None:
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise LimitExceeded("The payload is too large for the bus.", "tooLarge")
        for subscription in self._topics.get(topic, ()):
            subscription.put(payload)

    def subscribe(self, topic: str) -> Subscription:
        subscription = _LocalSubscription(self, topic, self._queue_limit)
        self._topics[topic].add(subscription)
        return subscription

    async def close(self) -> None:
        for subscriptions in list(self._topics.values()):
            for subscription in list(subscriptions):
                await subscription.aclose()

    def forget(self, topic: str, subscription: _LocalSubscription) -> None:
        subscriptions = self._topics.get(topic)
        if subscriptions is not None:
            subscriptions.discard(subscription)
            if not subscriptions:
                del self._topics[topic]


class _LocalSubscription:
    def __init__(self, bus: LocalBus, topic: str, limit: int) -> None:
        self._bus = bus
        self._topic = topic
        self._waiting: deque[bytes] = deque(maxlen=limit)
        self._ready = asyncio.Event()
        self._closed = False
        self._lost = 0

    @property
    def lost(self) -> int:
        return self._lost

    def put(self, payload: bytes) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            self._lost += 1
        self._waiting.append(payload)
        self._ready.set()

    def __aiter__(self) -> _LocalSubscription:
        return self

    async def __anext__(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        self._closed = True
        self._ready.set()
        self._bus.forget(self._topic, self)
