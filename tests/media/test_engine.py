"""aiortc as publisher, subscriber and player through the real engine and relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame

from bridge.errors import BridgeError, Conflict, MediaError, NotFound
from bridge.media import _native, subscribing
from bridge.media.contract import (
    Description,
    Mid,
    OfferReady,
    PeerClosed,
    PeerId,
    PeerUp,
    Picture,
    Source,
    Subscription,
    TrackFlowing,
    TrackId,
    TrackWish,
)
from bridge.media.engine import Engine, MediaSettings
from bridge.media.sdp import parse, parse_fragment
from tests.media.webrtc import TIMEOUT_S, News, frames, play, publish, running_engine, subscribe

ULTRASOUND, MICROPHONE, CAMERA = Source.ULTRASOUND, Source.MICROPHONE, Source.CAMERA

Stage = tuple[Engine, News]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with running_engine() as made:
        yield made


async def flowing(news: News, track: TrackId) -> None:
    await news.wait(TrackFlowing, lambda event: event.track == track and event.flowing)


async def brightness(track: MediaStreamTrack) -> int:
    """The grey of the picture's ground, as decoded."""
    (frame,) = await frames(track, 1)
    assert isinstance(frame, VideoFrame)
    return int(frame.to_ndarray(format="gray")[:, 0].mean())


async def until_bright(track: MediaStreamTrack, low: int, high: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not low <= await brightness(track) <= high:
            pass


async def test_pictures_and_sound_arrive_at_a_subscriber(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND, MICROPHONE)
    await news.wait(PeerUp, lambda event: event.peer == sender.peer)
    video, audio = sender.tracks[ULTRASOUND], sender.tracks[MICROPHONE]
    await flowing(news, video.track)
    receiver = await subscribe(engine, news, Subscription(video.track), Subscription(audio.track))
    await news.wait(PeerUp, lambda event: event.peer == receiver.peer)
    tracks = {}
    for _ in range(2):
        track = await asyncio.wait_for(receiver.received.get(), TIMEOUT_S)
        tracks[track.kind] = track
    pictures, sounds = await asyncio.gather(frames(tracks["video"], 30), frames(tracks["audio"], 30))
    assert {(p.width, p.height) for p in pictures if isinstance(p, VideoFrame)} == {(320, 240)}
    assert all(isinstance(s, AudioFrame) for s in sounds)
    shown = await news.wait(Picture, lambda event: event.peer == receiver.peer and event.layer is not None)
    assert (shown.track, shown.layer, shown.limited) == (video.track, "", False)
    await sender.connection.close()
    await receiver.connection.close()


async def test_h264_goes_through_as_well(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND, prefer="h264")
    assert sender.tracks[ULTRASOUND].codec == "h264"
    receiver = await subscribe(engine, news, Subscription(sender.tracks[ULTRASOUND].track))
    track = await asyncio.wait_for(receiver.received.get(), TIMEOUT_S)
    assert len(await frames(track, 10)) == 10
    await sender.connection.close()
    await receiver.connection.close()


async def test_track_given_up_leaves_its_section_and_the_next_gets_another(stage: Stage) -> None:
    engine, news = stage
    dark, bright = await publish(engine, ULTRASOUND, grey=40), await publish(engine, CAMERA, grey=200)
    first, second = dark.tracks[ULTRASOUND].track, bright.tracks[CAMERA].track
    receiver = await subscribe(engine, news, Subscription(first))
    await until_bright(await asyncio.wait_for(receiver.received.get(), TIMEOUT_S), 20, 80)
    engine.subscribe(receiver.peer, [])
    assert (await receiver.answer_next()).tracks == ()
    engine.subscribe(receiver.peer, [Subscription(second)])
    again = await receiver.answer_next()
    assert [(offered.mid, offered.track) for offered in again.tracks] == [("1", second)]
    await until_bright(await asyncio.wait_for(receiver.received.get(), TIMEOUT_S), 160, 240)
    for connection in (dark.connection, bright.connection, receiver.connection):
        await connection.close()


async def test_many_sections_are_used_again_with_new_sources(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "SLOTS_BEFORE_REUSE", 1)
    engine, news = stage
    dark, bright = await publish(engine, ULTRASOUND, grey=40), await publish(engine, CAMERA, grey=200)
    receiver = await subscribe(engine, news, Subscription(dark.tracks[ULTRASOUND].track))
    track = await asyncio.wait_for(receiver.received.get(), TIMEOUT_S)
    await until_bright(track, 20, 80)
    engine.subscribe(receiver.peer, [Subscription(bright.tracks[CAMERA].track)])
    offer = await receiver.answer_next()
    sections, before = parse(offer.offer).sections, parse(receiver.offers[0].offer).sections
    assert len(sections) == 1
    assert not set(sections[0].ssrcs) & set(before[0].ssrcs)
    await until_bright(track, 160, 240)
    for connection in (dark.connection, bright.connection, receiver.connection):
        await connection.close()


async def test_wishes_made_while_an_offer_waits_go_into_one_next_offer(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND, CAMERA, MICROPHONE)
    names = [track.track for track in sender.tracks.values()]
    peer = await engine.open_subscriber()
    engine.subscribe(peer, [Subscription(names[0])])
    first = await asyncio.wait_for(news.offers_of(peer).get(), TIMEOUT_S)
    engine.subscribe(peer, [Subscription(names[0]), Subscription(names[1])])
    engine.subscribe(peer, [Subscription(name) for name in names])
    answer = first.offer.replace("a=sendonly", "a=recvonly").replace("a=setup:passive", "a=setup:active")
    await engine.answer(peer, first.negotiation, Description(answer))
    second = await asyncio.wait_for(news.offers_of(peer).get(), TIMEOUT_S)
    assert (first.negotiation, second.negotiation) == (1, 2)
    assert {offered.track for offered in second.tracks} == set(names)
    with pytest.raises(Conflict):
        await engine.answer(peer, 1, Description(answer))
    await sender.connection.close()


async def test_track_that_ends_leaves_the_subscribers(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    receiver = await subscribe(engine, news, Subscription(sender.tracks[ULTRASOUND].track))
    await engine.close_peer(sender.peer)
    offer = await receiver.answer_next()
    assert offer.tracks == ()
    assert parse(offer.offer).sections[0].direction == "inactive"
    await sender.connection.close()
    await receiver.connection.close()


async def test_publisher_takes_a_track_back_and_keeps_the_other(stage: Stage) -> None:
    engine, _ = stage
    sender = await publish(engine, ULTRASOUND, CAMERA)
    kept = sender.tracks[ULTRASOUND]
    offer = Description(sender.connection.localDescription.sdp)
    answer = await engine.publish(sender.peer, offer, [TrackWish(kept.mid, ULTRASOUND)])
    assert answer.tracks == (kept,)
    with pytest.raises(NotFound):
        engine.pause_track(sender.tracks[CAMERA].track, True)
    changed = await engine.publish(sender.peer, offer, [TrackWish(kept.mid, Source.MICROSCOPE)])
    assert changed.tracks[0].track != kept.track
    await sender.connection.close()


async def test_failed_offer_changes_nothing(stage: Stage) -> None:
    engine, _ = stage
    sender = await publish(engine, ULTRASOUND)
    track = sender.tracks[ULTRASOUND]
    good = sender.connection.localDescription.sdp
    with pytest.raises(BridgeError):
        await engine.publish(sender.peer, Description("v=0\r\nm=x"), [])
    other = good.replace(parse(good).sections[0].fingerprints[0][1][:5], "00:00")
    with pytest.raises(MediaError):
        await engine.publish(sender.peer, Description(other), [TrackWish(track.mid, ULTRASOUND)])
    assert (
        await engine.publish(sender.peer, Description(good), [TrackWish(track.mid, ULTRASOUND)])
    ).tracks == (track,)
    await sender.connection.close()


async def test_player_is_switched_without_negotiation(stage: Stage) -> None:
    engine, news = stage
    dark, bright = (
        await publish(engine, ULTRASOUND, MICROPHONE, grey=40),
        await publish(engine, CAMERA, grey=200),
    )
    player = await play(engine)
    engine.show(player.peer, dark.tracks[ULTRASOUND].track, dark.tracks[MICROPHONE].track)
    await until_bright(player.tracks["video"], 20, 80)
    assert len(await frames(player.tracks["audio"], 10)) == 10
    engine.show(player.peer, bright.tracks[CAMERA].track, dark.tracks[MICROPHONE].track)
    await until_bright(player.tracks["video"], 160, 240)
    with pytest.raises(NotFound):
        engine.show(player.peer, TrackId("gone"), None)
    with pytest.raises(BridgeError):
        engine.show(player.peer, dark.tracks[MICROPHONE].track, None)
    assert not [event for event in news.seen if isinstance(event, OfferReady)]
    for connection in (dark.connection, bright.connection, player.connection):
        await connection.close()


async def test_other_side_closing_is_told_and_takes_its_tracks(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    await flowing(news, sender.tracks[ULTRASOUND].track)
    await sender.connection.close()
    closed = await news.wait(PeerClosed)
    assert (closed.peer, closed.reason) == (sender.peer, "closed")
    with pytest.raises(NotFound):
        engine.pause_track(sender.tracks[ULTRASOUND].track, True)
    assert engine.peer_count == 0


async def test_engine_that_closes_says_goodbye(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    await flowing(news, sender.tracks[ULTRASOUND].track)
    closed = asyncio.Event()
    sender.connection.on("connectionstatechange", closed.set)
    await engine.close()
    await engine.close()
    await asyncio.wait_for(closed.wait(), TIMEOUT_S)
    assert sender.connection.connectionState in ("closed", "failed")
    await sender.connection.close()


async def test_wrong_certificate_ends_the_handshake(stage: Stage) -> None:
    engine, news = stage

    def forge(offer: str) -> str:
        for _, digest in parse(offer).sections[0].fingerprints:
            offer = offer.replace(digest, "00:" + digest[3:])
        return offer

    sender = await publish(engine, ULTRASOUND, change=forge)
    closed = await news.wait(PeerClosed)
    assert (closed.peer, closed.reason) == (sender.peer, "handshakeFailed")
    assert not [event for event in news.seen if isinstance(event, PeerUp)]
    await sender.connection.close()


async def test_peer_that_never_comes_is_given_up() -> None:
    settings = MediaSettings(host="127.0.0.1", handshake_timeout_s=0.2)
    async with running_engine(settings) as (engine, news):
        lines = [
            *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0"),
            *(
                "m=video 9 UDP/TLS/RTP/SAVPF 96",
                "a=mid:0",
                "a=sendonly",
                "a=rtcp-mux",
                "a=rtpmap:96 VP8/90000",
            ),
            *("a=ice-ufrag:abcd", "a=ice-pwd:" + "p" * 22, "a=setup:active"),
            *("a=fingerprint:sha-256 " + ":".join(["00"] * 32), ""),
        ]
        offer = "\r\n".join(lines)
        peer = await engine.open_publisher()
        await engine.publish(peer, Description(offer), [TrackWish(Mid("0"), CAMERA)])
        closed = await news.wait(PeerClosed)
        assert (closed.peer, closed.reason) == (peer, "handshakeTimeout")


async def test_paused_track_reaches_nobody_until_it_goes_on(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    name = sender.tracks[ULTRASOUND].track
    receiver = await subscribe(engine, news, Subscription(name))
    track = await asyncio.wait_for(receiver.received.get(), TIMEOUT_S)
    await frames(track, 5)
    engine.pause_track(name, True)
    # What was on its way may still come, but not a second of it.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(frames(track, 30), 1.5)
    engine.pause_track(name, False)
    await frames(track, 5)
    await sender.connection.close()
    await receiver.connection.close()


async def test_picture_that_nobody_looks_at_is_paused(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    name = sender.tracks[ULTRASOUND].track
    receiver = await subscribe(engine, news, Subscription(name))
    await news.wait(Picture, lambda event: event.layer == "")
    since = len(news.seen)
    engine.subscribe(receiver.peer, [Subscription(name, max_height=0)])
    paused = await news.wait(Picture, lambda event: event.layer is None, since)
    assert not paused.limited
    since = len(news.seen)
    engine.subscribe(receiver.peer, [Subscription(name, max_height=1080)])
    await news.wait(Picture, lambda event: event.layer == "", since)
    await sender.connection.close()
    await receiver.connection.close()


async def test_ice_restarts_give_new_credentials_and_media_goes_on(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    receiver = await subscribe(engine, news, Subscription(sender.tracks[ULTRASOUND].track))
    track = await asyncio.wait_for(receiver.received.get(), TIMEOUT_S)
    await frames(track, 3)
    before = parse_fragment(receiver.offers[-1].offer)
    engine.restart_subscriber(receiver.peer)
    offer = await asyncio.wait_for(news.offers_of(receiver.peer).get(), TIMEOUT_S)
    assert parse_fragment(offer.offer).ufrag != before.ufrag
    assert offer.negotiation == 2
    fragment = Description(f"a=ice-ufrag:fresh\r\na=ice-pwd:{'n' * 24}\r\n")
    one = parse_fragment(await engine.restart_peer(sender.peer, fragment))
    other = parse_fragment(await engine.restart_peer(sender.peer, fragment))
    assert one.ufrag
    assert one.ufrag != other.ufrag
    with pytest.raises(BridgeError):
        await engine.restart_peer(sender.peer, Description("a=nothing\r\n"))
    # aiortc cannot restart ICE: the old path goes on until a check with the new credentials comes.
    await frames(track, 10)
    await sender.connection.close()
    await receiver.connection.close()


async def test_publisher_offer_with_new_credentials_is_answered_with_new_ones(stage: Stage) -> None:
    engine, _ = stage
    sender = await publish(engine, ULTRASOUND)
    wishes = [TrackWish(sender.tracks[ULTRASOUND].mid, ULTRASOUND)]
    offer = sender.connection.localDescription.sdp
    same = await engine.publish(sender.peer, Description(offer), wishes)
    ufrag = parse_fragment(offer).ufrag
    assert ufrag
    restarted = await engine.publish(sender.peer, Description(offer.replace(ufrag, "restarted")), wishes)
    first = parse_fragment(sender.connection.remoteDescription.sdp).ufrag
    assert parse_fragment(same.answer).ufrag == first
    assert parse_fragment(restarted.answer).ufrag != first
    assert restarted.tracks == same.tracks
    await sender.connection.close()


async def test_tap_gets_the_packets_until_it_is_ended(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    track = sender.tracks[ULTRASOUND].track
    await flowing(news, track)
    batches: asyncio.Queue[_native.TapPackets] = asyncio.Queue()
    end = engine.set_tap(track, batches.put_nowait)
    engine.request_keyframe(track)
    packets: list[_native.TapPacket] = []
    async with asyncio.timeout(TIMEOUT_S):
        while not any(packet.keyframe_start for packet in packets):
            packets += (await batches.get()).packets
    assert {packet.codec for packet in packets} == {"vp8"}
    end()
    end()
    with pytest.raises(NotFound):
        engine.set_tap(TrackId("gone"), batches.put_nowait)
    await sender.connection.close()


async def test_statistics_tell_what_flows(stage: Stage) -> None:
    engine, news = stage
    sender = await publish(engine, ULTRASOUND)
    await flowing(news, sender.tracks[ULTRASOUND].track)

    async def measured() -> _native.LayerStats:
        while True:
            stats = engine.stats()
            for layer in stats.layers if stats is not None else ():
                if layer.bitrate_bps > 0 and layer.height:
                    return layer
            await asyncio.sleep(0.05)

    layer = await asyncio.wait_for(measured(), TIMEOUT_S)
    assert (layer.width, layer.height, layer.codec) == (320, 240, "vp8")
    assert engine.news_dropped == 0
    await sender.connection.close()


async def test_unknown_peers_are_not_found(stage: Stage) -> None:
    engine, _ = stage
    nobody = PeerId(99)
    publisher = await engine.open_publisher()
    for peer in (nobody, publisher):
        with pytest.raises(NotFound):
            engine.subscribe(peer, [])
        with pytest.raises(NotFound):
            await engine.answer(peer, 1, Description(""))
        with pytest.raises(NotFound):
            engine.show(peer, None, None)
    with pytest.raises(NotFound):
        await engine.publish(nobody, Description(""), [])
    await engine.close_peer(nobody)
