"""The bus within one process: order, bounds, and who is not disturbed by whom."""

from __future__ import annotations

import asyncio

import pytest

from bridge.bus import PAYLOAD_LIMIT_BYTES, LocalBus, Subscription
from bridge.errors import LimitExceeded


async def read_all(subscription: Subscription) -> list[bytes]:
    await subscription.aclose()
    return [payload async for payload in subscription]


async def test_every_subscriber_of_a_topic_gets_its_payloads_in_order() -> None:
    bus = LocalBus()
    first, second, other = bus.subscribe("a"), bus.subscribe("a"), bus.subscribe("b")
    for number in range(3):
        await bus.publish("a", b"%d" % number)
    assert await read_all(first) == await read_all(second) == [b"0", b"1", b"2"]
    assert await read_all(other) == []


async def test_a_waiting_reader_is_woken() -> None:
    bus = LocalBus()
    subscription = bus.subscribe("a")
    reading = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    await bus.publish("a", b"news")
    assert await reading == b"news"


async def test_what_was_published_before_subscribing_is_not_seen() -> None:
    bus = LocalBus()
    await bus.publish("a", b"old")
    assert await read_all(bus.subscribe("a")) == []


async def test_a_slow_subscriber_loses_its_oldest_and_counts_them() -> None:
    bus = LocalBus(queue_limit=2)
    slow = bus.subscribe("a")
    for number in range(5):
        await bus.publish("a", b"%d" % number)
    assert slow.lost == 3
    assert await read_all(slow) == [b"3", b"4"]


async def test_a_payload_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded) as refused:
        await LocalBus().publish("a", bytes(PAYLOAD_LIMIT_BYTES + 1))
    assert refused.value.code == "tooLarge"


async def test_closing_the_bus_ends_who_waits() -> None:
    bus = LocalBus()
    subscription = bus.subscribe("a")
    reading = asyncio.ensure_future(anext(subscription, b"end"))
    await asyncio.sleep(0)
    await bus.close()
    assert await reading == b"end"
    await bus.close()
