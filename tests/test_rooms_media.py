"""What participants publish and receive, and what is told of media's news."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.ids import Role, SessionFormat
from bridge.media.contract import (
    Description,
    Levels,
    Line,
    PeerClosed,
    PeerDown,
    PeerId,
    PeerUp,
    Picture,
    Source,
    Subscription,
    TrackFlowing,
    TrackId,
)
from bridge.messages import Resumed, Wish
from bridge.participant import Participant
from tests.fakes import Client, House, a_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


def refused(code: str) -> pytest.RaisesExc[BridgeError]:
    return pytest.RaisesExc(BridgeError, check=lambda error: error.code == code)


def publisher_of(participant: Participant) -> PeerId:
    assert participant.publisher is not None
    return participant.publisher.peer


def subscriber_of(participant: Participant) -> PeerId:
    assert participant.subscriber is not None
    return participant.subscriber.peer


def wanted(house: House, participant: Participant) -> dict[TrackId, Subscription]:
    return {w.track: w for w in house.media.peers[subscriber_of(participant)].wanted}


async def test_everybody_receives_the_stage_but_not_itself(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    viewer, _ = await house.join(Role.VIEWER)
    of_hub = await house.publish(hub, Source.CAMERA)
    of_clinic = await house.publish(clinic, Source.ULTRASOUND, Source.MICROPHONE)
    assert house.media.forwarded(hub) == set(of_clinic)
    assert house.media.forwarded(clinic) == set(of_hub)
    assert house.media.forwarded(viewer) == {*of_hub, *of_clinic}


async def test_nothing_to_receive_makes_no_connection(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    await house.publish(hub, Source.CAMERA)
    assert hub.subscriber is None
    assert client.take("subscribeOffer") == []


async def test_ultrasound_keeps_quality_before_other_pictures_and_sound_before_all(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    order = [Source.MICROPHONE, Source.ULTRASOUND, Source.MICROSCOPE, Source.SCREEN, Source.CAMERA]
    tracks = await house.publish(clinic, *order)
    by_priority = sorted(wanted(house, hub).values(), key=lambda w: -w.priority)
    assert [w.track for w in by_priority] == tracks


async def test_offers_are_answered_by_number_and_older_ones_refused(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    (track,) = await house.publish(clinic, Source.CAMERA)
    (offer,) = client.take("subscribeOffer")
    assert (offer["negotiation"], offer["fresh"]) == (1, True)
    assert [t["track"] for t in offer["tracks"]] == [track]
    with refused("conflict"):
        await house.rooms.accept_answer(hub, 7, Description("answer"))
    with refused("malformed"):
        await house.rooms.accept_answer(hub, 1, Description("malformed"))
    await house.rooms.accept_answer(hub, 1, Description("answer"))
    with refused("conflict"):
        await house.rooms.accept_answer(hub, 1, Description("answer"))
    await house.publish(clinic, Source.CAMERA, Source.MICROPHONE)
    (offer,) = client.take("subscribeOffer")
    assert (offer["negotiation"], offer["fresh"]) == (2, False)


async def test_numbers_of_offers_go_on_over_a_new_connection(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    await house.rooms.accept_answer(hub, 1, Description("answer"))
    before = subscriber_of(hub)
    client.take()
    house.rooms.restart_subscriber(hub, fresh=True)
    await house.settle()
    (offer,) = client.take("subscribeOffer")
    assert (offer["negotiation"], offer["fresh"]) == (2, True)
    assert before not in house.media.peers
    with refused("conflict"):
        await house.rooms.accept_answer(hub, 1, Description("late answer to the old connection"))


async def test_ice_restart_keeps_the_connection(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    await house.rooms.accept_answer(hub, 1, Description("answer"))
    client.take()
    house.rooms.restart_subscriber(hub, fresh=False)
    await house.settle()
    assert house.media.peers[subscriber_of(hub)].restarts == 1
    assert client.take("subscribeOffer")[0]["fresh"] is False


async def test_unanswered_offer_is_sent_again_after_resuming(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    (offer,) = client.take("subscribeOffer")
    house.rooms.disconnected(hub, client)
    back = Client()
    entry = await house.rooms.resume(client.joined["resumeToken"], hub.journal.seq, back)
    assert back.take() == []
    house.rooms.catch_up(entry.participant)
    assert back.take("subscribeOffer") == [offer]


@pytest.mark.parametrize("page_gone", [True, False])
async def test_media_ends_with_its_page_and_outlives_a_lost_line(house: House, page_gone: bool) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, other = await house.join(Role.SATELLITE)
    (camera,) = await house.publish(hub, Source.CAMERA)
    await house.publish(clinic, Source.CAMERA)
    peers = {publisher_of(hub), subscriber_of(hub)}
    other.take()
    house.rooms.disconnected(hub, client, page_gone=page_gone)
    await house.settle()
    assert peers.isdisjoint(house.media.peers) is page_gone
    assert [m["track"] for m in other.take("trackUnpublished")] == ([camera] if page_gone else [])
    entry = await house.rooms.resume(client.joined["resumeToken"], hub.journal.seq, Client())
    assert entry.participant is hub
    assert isinstance(entry.answer, Resumed)
    states = (entry.answer.publisher, entry.answer.subscriber)
    assert states == (("none", "none") if page_gone else ("down", "down"))


async def test_resuming_says_how_the_connections_are(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    await house.publish(hub, Source.CAMERA)
    entry = await house.rooms.resume(client.joined["resumeToken"], 0, Client())
    assert (entry.answer.publisher, entry.answer.subscriber) == ("down", "none")  # type: ignore[union-attr]
    await house.hear(PeerUp(publisher_of(hub)))
    entry = await house.rooms.resume(entry.answer.resume_token, 0, Client())
    assert entry.answer.publisher == "up"  # type: ignore[union-attr]


async def test_height_of_the_picture_goes_to_media_and_zero_pauses(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    camera, ultrasound = await house.publish(clinic, Source.CAMERA, Source.ULTRASOUND)
    house.rooms.set_subscription(hub, camera, 180)
    house.rooms.set_subscription(hub, ultrasound, 0)
    assert wanted(house, hub)[camera].max_height == 180
    assert house.media.forwarded(hub) == {camera}
    await house.publish(clinic, Source.CAMERA, Source.ULTRASOUND, Source.MICROPHONE)
    assert wanted(house, hub)[camera].max_height == 180


@pytest.mark.parametrize(("offer", "code"), [("malformed", "malformed"), ("unusable", "unsupported")])
async def test_offer_that_cannot_be_used_changes_nothing(house: House, offer: str, code: str) -> None:
    _, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    peers = dict(house.media.peers)
    client.take()
    wish = [Wish(mid="0", source="camera")]
    for fresh in (False, True):
        with refused(code):
            await house.rooms.publish(clinic, Description(offer), wish, fresh)
    assert house.media.peers == peers
    assert client.take() == []


async def test_two_tracks_of_one_source_are_a_conflict(house: House) -> None:
    clinic, _ = await house.join(Role.SATELLITE)
    with refused("conflict"):
        await house.publish(clinic, Source.CAMERA, Source.CAMERA)


async def test_fresh_offer_replaces_the_connection_and_its_tracks(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    (old,) = await house.publish(clinic, Source.CAMERA)
    before = publisher_of(clinic)
    client.take()
    wish = [Wish(mid="0", source="camera")]
    answer = await house.rooms.publish(clinic, Description("offer"), wish, fresh=True)
    await house.settle()
    new = answer.tracks[0].track
    assert before not in house.media.peers
    told = client.take("trackUnpublished", "trackPublished")
    assert [(m["type"], m["track"]) for m in told[:1]] == [("trackUnpublished", old)]
    assert told[1]["track"]["id"] == new
    assert house.media.forwarded(hub) == {new}


async def test_track_that_is_offered_no_more_is_unpublished(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    camera, microphone = await house.publish(clinic, Source.CAMERA, Source.MICROPHONE)
    await house.publish(clinic, Source.CAMERA)
    assert [m["track"] for m in client.take("trackUnpublished")] == [microphone]
    assert house.media.forwarded(hub) == {camera}


async def test_closed_publisher_is_told_and_must_begin_anew(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, own = await house.join(Role.SATELLITE)
    (track,) = await house.publish(clinic, Source.CAMERA)
    await house.hear(PeerClosed(publisher_of(clinic), "closed by the other side"))
    assert own.take("publisherDown")
    assert [m["track"] for m in client.take("trackUnpublished")] == [track]
    assert house.media.forwarded(hub) == set()
    with refused("conflict"):
        await house.publish(clinic, Source.CAMERA)
    await house.rooms.publish(clinic, Description("o"), [Wish(mid="0", source="camera")], fresh=True)


async def test_closed_subscriber_is_offered_a_new_connection_when_the_stage_changes(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    await house.hear(PeerClosed(subscriber_of(hub), "handshake failed"))
    client.take()
    await house.publish(clinic, Source.CAMERA, Source.MICROPHONE)
    assert client.take("subscribeOffer")[0]["fresh"] is True


async def test_publisher_that_falls_silent_is_told_and_shown_as_lost(house: House) -> None:
    _, client = await house.join(Role.HUB)
    clinic, own = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    await house.hear(PeerUp(publisher_of(clinic)), PeerDown(publisher_of(clinic)))
    assert own.take("publisherDown")
    await house.pass_time(1500)
    assert client.take("participantChanged")[-1]["participant"]["quality"] == 0


async def test_line_is_told_when_its_class_changes_and_else_rarely(house: House) -> None:
    _, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    peer = publisher_of(clinic)
    await house.hear(PeerUp(peer), Line(peer, 3, 20, 0.0, 0))
    await house.pass_time(1500)
    client.take()
    for second in range(8):
        await house.hear(Line(peer, 3, 21 + second, 0.001, 0))
        await house.pass_time(1000)
    assert client.take("participantChanged") == []
    await house.hear(Line(peer, 1, 300, 0.12, 0))
    await house.pass_time(1500)
    (changed,) = client.take("participantChanged")
    told = changed["participant"]
    assert (told["quality"], told["rttMs"], told["loss"]) == (1, 300, 0.12)


async def test_flowing_and_pictures_are_told(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, other = await house.join(Role.SATELLITE)
    (track,) = await house.publish(clinic, Source.ULTRASOUND)
    client.take(), other.take()
    await house.hear(TrackFlowing(track, True), Picture(subscriber_of(hub), track, "l", True))
    told = client.take()
    assert told[0]["track"]["flowing"] is True
    assert told[1] == {"type": "pictureChanged", "track": track, "layer": "l", "limited": True}
    assert other.take("pictureChanged") == []


async def test_who_speaks_is_told_at_most_three_times_a_second(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    (loud,) = await house.publish(hub, Source.MICROPHONE)
    (soft,) = await house.publish(clinic, Source.MICROPHONE)
    await house.hear(Levels(((loud, -20), (soft, -35))))
    await house.pass_time(400)
    (told,) = client.take("speakersChanged")
    assert [s["participant"] for s in told["speakers"]] == [hub.id, clinic.id]
    for step in range(20):
        await house.hear(Levels(((loud, -20 - step % 3),)))
        await house.pass_time(100)
    assert 1 <= len(client.take("speakersChanged")) <= 6
    await house.hear(Levels(((loud, -90), (soft, -90))))
    await house.pass_time(400)
    client.take()
    await house.pass_time(800)
    assert client.take("speakersChanged")[-1]["speakers"] == []


async def test_muted_and_unstaged_microphones_do_not_speak(tmp_path: Path) -> None:
    async with a_house(tmp_path, SessionFormat.EVENT) as event:
        organiser, client = await event.join(Role.ORGANISER)
        clinic, _ = await event.join(Role.SATELLITE)
        (muted,) = await event.publish(organiser, Source.MICROPHONE, muted=True)
        (unstaged,) = await event.publish(clinic, Source.MICROPHONE)
        await event.hear(Levels(((muted, -20), (unstaged, -20))))
        await event.pass_time(1000)
        assert client.take("speakersChanged") == []


async def test_news_of_what_is_gone_is_passed_over(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    gone, track = PeerId(999), TrackId("gone")
    await house.publish(hub, Source.CAMERA)
    client.take()
    await house.hear(
        PeerUp(gone),
        PeerDown(gone),
        PeerClosed(gone, ""),
        Line(gone, 0, 0, 0.0, 0),
        Picture(gone, track, None, False),
        TrackFlowing(track, True),
        Levels(((track, -10),)),
    )
    assert client.take() == []


async def test_who_is_removed_while_its_offer_is_answered_leaves_nothing_behind(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    publish = house.media.publish

    async def removed_meanwhile(*arguments: object) -> object:
        await house.rooms.remove(hub, clinic.id)
        return await publish(*arguments)  # type: ignore[arg-type]

    house.media.publish = removed_meanwhile  # type: ignore[method-assign, assignment]
    with refused("conflict"):
        await house.rooms.publish(clinic, Description("o"), [Wish(mid="0", source="camera")], fresh=False)
    await house.settle()
    assert house.media.peers == {}


async def test_joiners_of_a_running_event_are_subscribed_once_each(tmp_path: Path) -> None:
    async with a_house(tmp_path, SessionFormat.EVENT, capacity=300) as event:
        hub, _ = await event.join(Role.HUB)
        await event.publish(hub, Source.CAMERA, Source.MICROPHONE)
        grant = await event.grant(Role.VIEWER, seats=200)
        for _ in range(200):
            await event.join(grant)
        await event.settle()
        assert event.media.subscribe_calls == 200


async def test_who_lost_the_floor_may_restart_what_it_publishes_but_add_nothing(tmp_path: Path) -> None:
    async with a_house(tmp_path, SessionFormat.EVENT) as event:
        organiser, _ = await event.join(Role.ORGANISER)
        viewer, _ = await event.join(Role.VIEWER)
        event.rooms.give_floor(organiser, viewer.id)
        await event.publish(viewer, Source.CAMERA)
        event.rooms.take_floor(organiser, viewer.id)
        await event.publish(viewer, Source.CAMERA)
        assert event.media.forwarded(organiser) == set()
        with refused("notAllowed"):
            await event.publish(viewer, Source.CAMERA, Source.MICROPHONE)
        with refused("notAllowed"):
            await event.rooms.publish(viewer, Description("o"), [Wish(mid="0", source="camera")], fresh=True)


async def test_nothing_is_kept_of_who_left(house: House) -> None:
    await house.join(Role.HUB)
    for _ in range(3):
        clinic, client = await house.join(Role.SATELLITE)
        await house.publish(clinic, Source.CAMERA, Source.MICROPHONE)
        await house.hear(Levels(((TrackId("unknown"), -10),)))
        house.rooms.leave(clinic)
        assert clinic.outlet is None
        house.rooms.disconnected(clinic, client)
    await house.settle()
    assert house.media.peers.keys() <= {p for p, peer in house.media.peers.items() if not peer.tracks}
    assert house.rooms.counts().tracks == 0
    assert house.rooms.counts().participants == 1


async def test_event_that_cannot_be_taken_does_not_stop_the_next(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    (track,) = await house.publish(hub, Source.CAMERA)
    client.take()
    await house.hear(Levels(None), TrackFlowing(track, True))  # type: ignore[arg-type]
    assert client.take("trackChanged")
