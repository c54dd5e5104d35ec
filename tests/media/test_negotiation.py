from __future__ import annotations

from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings

from bridge.errors import BridgeError, MediaError, ProtocolError
from bridge.media.contract import Mid, Source, TrackWish
from bridge.media.negotiation import (
    PublisherPlan,
    answer_player,
    answer_publisher,
    encoder_wishes,
)
from bridge.media.sdp import parse
from bridge.media.sdp_sections import LayerRow
from bridge.media.sdp_write import Local
from tests.media.test_sdp import mutated_offers, refusal

OFFERS = Path(__file__).parent / "offers"
LOCAL = Local("abcdefgh", "p" * 32, ":".join(["AB"] * 32), ("192.0.2.1", "2001:db8::1", "127.0.0.1"), 4443)


def offer(name: str) -> str:
    return (OFFERS / f"{name}.sdp").read_bytes().decode()


def wish(**sources: Source) -> list[TrackWish]:
    return [TrackWish(Mid(mid.removeprefix("_")), source) for mid, source in sources.items()]


def publish(name: str, **sources: Source) -> PublisherPlan:
    return answer_publisher(offer(name), wish(**sources), LOCAL, 7, 1)


@pytest.mark.parametrize(
    ("name", "video", "audio", "codec", "payload_type", "rtx"),
    [
        ("chromium_publisher", "1", "0", "vp8", 96, 97),
        ("firefox_publisher", "1", "0", "vp8", 120, 124),
        ("safari_publisher", "1", "0", "h264", 96, 97),
        ("gstreamer_publisher", "video0", "audio1", "vp8", 96, 100),
        ("obs_publisher", "1", "0", "h264", 96, 97),
    ],
)
def test_first_codec_of_each_publisher_is_taken(
    name: str, video: str, audio: str, codec: str, payload_type: int, rtx: int
) -> None:
    plan = publish(name, **{f"_{audio}": Source.MICROPHONE, f"_{video}": Source.ULTRASOUND})
    rows = {section.kind: section.codec for section in plan.sections}
    assert (rows["video"].codec, rows["video"].payload_type, rows["video"].rtx_payload_type) == (
        codec,
        payload_type,
        rtx,
    )
    assert rows["audio"].codec == "opus"
    assert all(1 <= number <= 14 for number in plan.extensions.values())


@pytest.mark.parametrize("path", sorted(OFFERS.glob("*_publisher.sdp")), ids=lambda path: path.stem)
def test_answers_mirror_the_offer_and_are_lite_and_passive(path: Path) -> None:
    text = path.read_bytes().decode()
    plan = answer_publisher(text, encoder_wishes(text, Source.ULTRASOUND, Source.MICROPHONE), LOCAL, 7, 1)
    offered, answered = parse(text), parse(plan.answer)
    assert answered.ice_lite
    assert [s.mid for s in answered.sections] == [s.mid for s in offered.sections]
    assert [s.kind for s in answered.sections] == [s.kind for s in offered.sections]
    assert set(answered.bundle) <= set(offered.bundle)
    for mine, theirs in zip(answered.sections, offered.sections, strict=True):
        assert mine.setup == "passive"
        assert mine.rtcp_mux
        assert {f.payload_type for f in mine.formats} <= {f.payload_type for f in theirs.formats}
        assert mine.extensions.items() <= theirs.extensions.items()
        assert mine.formats[0].feedback <= theirs.formats[0].feedback | mine.formats[0].feedback
    # An independent reader takes it too, with the candidates that a client which does not trickle needs: aiortc takes
    # those of the last section that shares a transport.
    for section in SessionDescription.parse(plan.answer).media:
        if section.port != 0:
            addresses = [candidate.ip for candidate in section.ice_candidates]
            assert addresses == ["192.0.2.1", "2001:db8::1", "127.0.0.1"]
            assert section.ice_candidates_complete


def test_simulcast_layers_are_sorted_lowest_first_and_answered_in_the_order_of_the_offer() -> None:
    text = offer("chromium_publisher").replace("a=simulcast:send l;h", "a=simulcast:send h;l")
    plan = answer_publisher(text, wish(_1=Source.ULTRASOUND), LOCAL, 7, 1)
    assert plan.sections[0].layers == (LayerRow(rid="l"), LayerRow(rid="h"))
    assert "a=simulcast:recv h;l\r\n" in plan.answer
    assert "a=rid:l recv\r\n" in plan.answer


def test_sources_of_one_layer_come_with_their_retransmission() -> None:
    plan = publish("safari_publisher", _1=Source.CAMERA)
    assert plan.sections[0].layers == (LayerRow(ssrc=3217843914, rtx_ssrc=1192309127),)


def test_simulcast_by_ssrc_group_is_understood() -> None:
    text = offer("obs_publisher").replace(
        "a=ssrc:3845367544 cname",
        "a=ssrc-group:SIM 11 12 13\r\na=ssrc-group:FID 11 21\r\na=ssrc:3845367544 cname",
    )
    plan = answer_publisher(text, wish(_1=Source.CAMERA), LOCAL, 7, 1)
    assert plan.sections[0].layers == (LayerRow(ssrc=11, rtx_ssrc=21), LayerRow(ssrc=12), LayerRow(ssrc=13))


def test_only_the_ultrasound_gets_the_high_start() -> None:
    plan = publish("chromium_publisher", _1=Source.ULTRASOUND, _2=Source.CAMERA)
    ultrasound, camera = plan.answer.split("m=video")[1:]
    assert "x-google-start-bitrate=" in ultrasound
    assert "b=AS:" in ultrasound
    assert "x-google" not in camera
    assert "b=AS:" not in camera


@pytest.mark.parametrize(
    ("source", "left_out"), [(Source.MICROPHONE, True), (Source.ULTRASOUND_SOUND, False)]
)
def test_of_microphones_silence_is_left_out_and_of_the_ultrasound_nothing(
    source: Source, left_out: bool
) -> None:
    plan = publish("chromium_publisher", _0=source)
    (sound,) = [section for section in parse(plan.answer).sections if section.kind == "audio"]
    assert (sound.formats[0].parameters.get("usedtx") == "1") is left_out


def test_a_section_without_a_wish_is_inactive() -> None:
    plan = publish("chromium_publisher", _1=Source.ULTRASOUND)
    sections = {section.mid: section for section in parse(plan.answer).sections}
    assert sections["1"].direction == "recvonly"
    assert sections["0"].direction == sections["2"].direction == "inactive"
    assert [section.mid for section in plan.sections] == ["1"]


def test_a_data_channel_is_rejected_and_leaves_the_bundle() -> None:
    extra = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\na=rtcp-mux\r\n"
    text = offer("obs_publisher").replace("BUNDLE 0 1", "BUNDLE 0 1 9") + extra
    answered = parse(answer_publisher(text, wish(_1=Source.CAMERA), LOCAL, 7, 1).answer)
    assert answered.sections[2].rejected
    assert answered.bundle == ("0", "1")


def test_extension_that_the_publisher_only_receives_is_not_answered() -> None:
    assert "playout_delay" not in publish("firefox_publisher", _1=Source.CAMERA).extensions


def change(name: str, *changes: tuple[str, str]) -> str:
    text = offer(name)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("text", "sources", "code"),
    [
        (change("obs_publisher", ("H264/90000", "H265/90000")), {"_1": Source.CAMERA}, "unsupported"),
        (
            change("obs_publisher", ("packetization-mode=1", "packetization-mode=0")),
            {"_1": Source.CAMERA},
            "unsupported",
        ),
        (change("obs_publisher", ("opus/48000/2", "PCMU/8000")), {"_0": Source.MICROPHONE}, "unsupported"),
        (change("obs_publisher", ("setup:actpass", "setup:passive")), {"_1": Source.CAMERA}, "unsupported"),
        (change("obs_publisher", ("a=rtcp-mux\r\n", "")), {"_1": Source.CAMERA}, "unsupported"),
        (change("obs_publisher", ("a=mid:1\r\n", "")), {}, "malformed"),
        (change("obs_publisher", ("a=fingerprint", "a=finger")), {"_1": Source.CAMERA}, "malformed"),
        (change("obs_publisher", ("a=ice-pwd", "a=ice-pw")), {"_1": Source.CAMERA}, "malformed"),
        (change("chromium_publisher", ("a=extmap:2 ", "a=extmap:4 ")), {"_1": Source.CAMERA}, "malformed"),
        (
            change("chromium_publisher", ("a=extmap:10 urn", "a=extmap:15 urn")),
            {"_1": Source.CAMERA},
            "unsupported",
        ),
        (offer("obs_publisher"), {"_7": Source.CAMERA}, "malformed"),
        (offer("obs_publisher"), {"_1": Source.MICROPHONE}, "malformed"),
        (offer("obs_publisher"), {"_0": Source.CAMERA}, "malformed"),
        (change("obs_publisher", ("a=sendonly", "a=recvonly")), {"_1": Source.CAMERA}, "malformed"),
    ],
)
def test_unusable_offers_are_refused(text: str, sources: dict[str, Source], code: str) -> None:
    with pytest.raises(BridgeError) as caught:
        answer_publisher(text, wish(**sources), LOCAL, 7, 1)
    assert caught.value.code == code


def test_payload_type_may_not_mean_two_things_in_a_bundle() -> None:
    text = change("obs_publisher", ("AVPF 96 97", "AVPF 111 97"), (":96 ", ":111 "), ("apt=96", "apt=111"))
    with pytest.raises(ProtocolError):
        answer_publisher(text, wish(_0=Source.MICROPHONE, _1=Source.CAMERA), LOCAL, 7, 1)


def test_encoder_says_nothing_and_its_first_sections_are_taken() -> None:
    assert encoder_wishes(offer("gstreamer_publisher"), Source.ULTRASOUND, Source.MICROPHONE) == (
        TrackWish(Mid("video0"), Source.ULTRASOUND),
        TrackWish(Mid("audio1"), Source.MICROPHONE),
    )
    with pytest.raises(MediaError):
        encoder_wishes(offer("chromium_player"), Source.ULTRASOUND, Source.MICROPHONE)


def test_player_gets_all_its_codecs_and_one_h264() -> None:
    plan = answer_player(offer("chromium_player"), [1, 2, 3], "cn", LOCAL, 7, 1)
    slots = {slot.kind: slot for slot in plan.slots}
    codecs = [row.codec for row in slots["video"].codecs]
    assert sorted(codecs) == ["av1", "h264", "vp8", "vp9"]
    assert (slots["video"].ssrc, slots["video"].rtx_ssrc, slots["audio"].ssrc) == (1, 2, 3)
    assert plan.transport_cc
    answered = parse(plan.answer)
    assert {section.direction for section in answered.sections} == {"sendonly"}
    assert answered.sections[0].ssrcs == [1, 2]


def test_publisher_offer_is_no_player() -> None:
    with pytest.raises(MediaError):
        answer_player(offer("obs_publisher"), [1, 2, 3], "cn", LOCAL, 7, 1)


@given(mutated_offers())
@settings(max_examples=300)
def test_mutated_offers_raise_nothing_but_bridge_errors(text: str) -> None:
    def publish_all() -> None:
        wishes = encoder_wishes(text, Source.ULTRASOUND, Source.MICROPHONE)
        answer = answer_publisher(text, wishes, LOCAL, 7, 1).answer
        # What is answered can be read, and holds nothing that was not offered as a checked token.
        assert len(parse(answer).sections) == len(parse(text).sections)
        SessionDescription.parse(answer)

    known = (None, "malformed", "tooLarge", "unsupported")
    assert refusal(publish_all) in known
    assert refusal(lambda: answer_player(text, [1, 2, 3], "cn", LOCAL, 7, 1)) in known
