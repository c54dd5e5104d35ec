"""Still pictures of what real publishers send through the real relay."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import NotFound
from bridge.media import snapshots
from bridge.media.contract import Source, TrackFlowing, TrackId
from bridge.media.recording.samples import Codec
from bridge.media.snapshots import Stills
from tests.media.webrtc import publish, running_engine

Keyframe = tuple[Codec, bytes, bytes]


async def collect(taken: list[Keyframe], codec: Codec, data: bytes, record: bytes) -> bytes:
    taken.append((codec, data, record))
    return b"jpeg"


@pytest.mark.parametrize("prefer", ["vp8", "h264"])
async def test_a_keyframe_is_taken_each_time_and_nothing_is_tapped_afterwards(prefer: str) -> None:
    taken: list[Keyframe] = []
    async with running_engine() as (engine, news):
        clinic = await publish(engine, Source.CAMERA, prefer=prefer)
        track = clinic.tracks[Source.CAMERA].track
        await news.wait(TrackFlowing, lambda event: event.track == track)
        stills = Stills(engine, lambda *keyframe: collect(taken, *keyframe))
        for _ in range(2):
            assert await stills.take(track) == b"jpeg"
        assert engine._intake.taps == {}
        await clinic.connection.close()
    assert [codec for codec, _, _ in taken] == [prefer] * 2
    assert all(data for _, data, _ in taken)
    assert all(bool(record) is (prefer == "h264") for _, _, record in taken)
    assert taken[0][1] != taken[1][1]


async def test_a_track_that_sends_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KEYFRAME_WITHIN_S", 0.2)
    async with running_engine() as (engine, _):
        clinic = await publish(engine, Source.CAMERA)
        track = clinic.tracks[Source.CAMERA].track
        engine.pause_track(track, True)
        stills = Stills(engine, lambda *keyframe: collect([], *keyframe))
        with pytest.raises(NotFound):
            await stills.take(track)
        assert engine._intake.taps == {}
        await clinic.connection.close()


async def test_a_track_that_is_gone_or_goes_has_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KEYFRAME_WITHIN_S", 0.5)
    async with running_engine() as (engine, _):
        stills = Stills(engine, lambda *keyframe: collect([], *keyframe))
        with pytest.raises(NotFound):
            await stills.take(TrackId("gone"))
        clinic = await publish(engine, Source.CAMERA)
        taking = asyncio.create_task(stills.take(clinic.tracks[Source.CAMERA].track))
        await asyncio.sleep(0)
        await engine.close_peer(clinic.peer)
        with pytest.raises(NotFound):
            await taking
        await clinic.connection.close()


async def test_sound_has_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KEYFRAME_WITHIN_S", 0.5)
    async with running_engine() as (engine, news):
        clinic = await publish(engine, Source.MICROPHONE)
        track = clinic.tracks[Source.MICROPHONE].track
        await news.wait(TrackFlowing, lambda event: event.track == track)
        stills = Stills(engine, lambda *keyframe: collect([], *keyframe))
        with pytest.raises(NotFound):
            await stills.take(track)
        await clinic.connection.close()
