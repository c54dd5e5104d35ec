"""The crowd's half of the negotiations, against the server's own."""

from __future__ import annotations

from bridge.crowd import sdp
from bridge.media.contract import Mid, Source, TrackWish
from bridge.media.negotiation import answer_publisher
from bridge.media.sdp_subscriber import OfferedSlot, Slot, offer_subscriber, read_answer
from bridge.media.sdp_write import Local

OWN = sdp.Own("clientfrag", "c" * 32, ":".join(["AB"] * 32))
SERVER = Local("serverfrag", "s" * 32, ":".join(["CD"] * 32), ("127.0.0.1",), 40_000)


def test_the_server_takes_the_offer_with_all_layers() -> None:
    offer = sdp.write_offer(OWN, ["l", "m", "h"])
    wishes = [
        TrackWish(Mid(sdp.AUDIO_MID), Source.MICROPHONE),
        TrackWish(Mid(sdp.VIDEO_MID), Source.CAMERA),
    ]
    plan = answer_publisher(offer, wishes, SERVER, 1, 1)
    audio, video = plan.sections
    assert (audio.codec.codec, video.codec.codec) == ("opus", "vp8")
    assert [layer.rid for layer in video.layers] == ["l", "m", "h"]
    assert video.codec.rtx_payload_type == sdp.VP8.rtx_payload_type
    assert dict(plan.extensions) == sdp.publishing_extensions()
    assert plan.remote.ufrag == OWN.ufrag


def test_reads_where_the_server_takes_what_is_published() -> None:
    offer = sdp.write_offer(OWN, ["l"])
    plan = answer_publisher(offer, [TrackWish(Mid(sdp.AUDIO_MID), Source.MICROPHONE)], SERVER, 1, 1)
    fingerprints = (("sha-256", SERVER.fingerprint),)
    assert sdp.read_answer(plan.answer) == sdp.Server(
        "127.0.0.1", 40_000, SERVER.ufrag, SERVER.pwd, fingerprints
    )


def test_takes_every_track_that_is_offered_and_no_other() -> None:
    slots = [
        OfferedSlot(Slot(Mid("0"), "audio", 11, 0), "opus", "s", "track-a"),
        OfferedSlot(Slot(Mid("1"), "video", 12, 13), "vp8", "s", "track-v"),
        OfferedSlot(Slot(Mid("2"), "video", 14, 15), "vp8"),
    ]
    answered = sdp.answer(offer_subscriber(slots, "cname", SERVER, 1, 1), OWN)
    assert answered.incoming == (
        sdp.Incoming("0", "audio", "opus", 11, 0),
        sdp.Incoming("1", "video", "vp8", 12, 13),
    )
    assert answered.server is not None
    taken = read_answer(answered.sdp, slots)
    assert dict(taken.receives) == {"0": False, "1": True}
    assert taken.transport_cc
    assert dict(taken.extensions) == answered.extensions
