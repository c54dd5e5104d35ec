from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.media.contract import Mid
from bridge.media.sdp import parse
from bridge.media.sdp_subscriber import OfferedSlot, Slot, offer_subscriber, read_answer, slot_codecs
from bridge.media.sdp_write import Local
from tests.media.test_sdp import mutated, refusal

LOCAL = Local("abcdefgh", "p" * 32, ":".join(["AB"] * 32), ("127.0.0.1",), 4443)
SOUND = Slot(Mid("0"), "audio", 1001, 0)
PICTURE = Slot(Mid("1"), "video", 1002, 1003)
HIGH = Slot(Mid("2"), "video", 1004, 1005, "64001f")

OFFERED = (
    OfferedSlot(SOUND, "opus", "7-camera", "t1"),
    OfferedSlot(PICTURE, "vp8", "7-camera", "t2"),
    OfferedSlot(HIGH, "h264", "8-ultrasound", "t3"),
)


def accept(offer: str, *changes: tuple[str, str]) -> str:
    """A browser's answer: the offer turned round."""
    text = offer.replace("a=sendonly", "a=recvonly").replace("a=setup:passive", "a=setup:active")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def write(*slots: OfferedSlot) -> str:
    return offer_subscriber(slots, "cn", LOCAL, 7, 1)


def test_offer_names_only_the_codec_of_each_track() -> None:
    session = parse(write(*OFFERED))
    names = [[known.name for known in section.formats] for section in session.sections]
    assert names == [["opus"], ["vp8", "rtx"], ["h264", "rtx"]]
    assert session.sections[2].formats[0].parameters["profile-level-id"] == "64001f"
    assert [section.ssrcs for section in session.sections] == [[1001], [1002, 1003], [1004, 1005]]
    assert session.bundle == ("0", "1", "2")
    assert len(SessionDescription.parse(write(*OFFERED)).media) == 3


def test_free_slot_is_inactive_and_keeps_its_place() -> None:
    session = parse(write(OFFERED[0], OfferedSlot(PICTURE, "vp8"), OFFERED[2]))
    assert [section.direction for section in session.sections] == ["sendonly", "inactive", "sendonly"]
    assert session.sections[1].ssrcs == []


def test_payload_types_mean_the_same_in_all_sections() -> None:
    slots = [
        Slot(Mid(str(i)), "video", 1, 2, profile)
        for i, profile in enumerate(("42e01f", "4d001f", "640c1f", "64001f"))
    ]
    meanings: dict[int, tuple[str, str]] = {}
    for slot in [SOUND, *slots]:
        for row in slot_codecs(slot):
            for number in (row.payload_type, row.rtx_payload_type):
                meaning = (row.codec, row.h264_profile + str(row.parameters) + str(row.payload_type))
                assert not number or meanings.setdefault(number, meaning) == meaning


def test_whole_answer_is_taken() -> None:
    answer = read_answer(accept(write(*OFFERED)), OFFERED)
    assert answer.receives == {"0": False, "1": True, "2": True}
    assert answer.transport_cc
    assert answer.extensions["transport_wide_cc"] == 4
    assert answer.remote is not None
    assert answer.remote.ufrag == "abcdefgh"


def test_refused_section_and_missing_rtx_are_seen() -> None:
    text = accept(
        write(*OFFERED),
        ("m=video 9 UDP/TLS/RTP/SAVPF 96 97", "m=video 9 UDP/TLS/RTP/SAVPF 96"),
        ("m=video 9 UDP/TLS/RTP/SAVPF 108", "m=video 0 UDP/TLS/RTP/SAVPF 108"),
    )
    assert read_answer(text, OFFERED).receives == {"0": False, "1": False}


def test_answer_may_refuse_everything() -> None:
    answer = read_answer(
        accept(write(*OFFERED), ("m=audio 9", "m=audio 0"), ("m=video 9", "m=video 0")), OFFERED
    )
    assert not answer.receives
    assert answer.remote is None


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("m=audio 9", "m=video 9", "malformed"),
        ("a=mid:0", "a=mid:9", "malformed"),
        ("a=setup:active", "a=setup:passive", "unsupported"),
        ("a=extmap:4 ", "a=extmap:9 ", "malformed"),
        ("a=fingerprint:", "a=finger:", "malformed"),
        ("v=0", "v=1", "malformed"),
    ],
)
def test_answers_that_do_not_fit_are_refused(old: str, new: str, code: str) -> None:
    with pytest.raises(BridgeError) as caught:
        read_answer(accept(write(*OFFERED), (old, new)), OFFERED)
    assert caught.value.code == code


def test_answer_of_other_length_is_refused() -> None:
    with pytest.raises(BridgeError):
        read_answer(accept(write(*OFFERED[:2])), OFFERED)


@given(st.data())
@settings(max_examples=150)
def test_mutated_answers_raise_nothing_but_bridge_errors(data: st.DataObject) -> None:
    text = data.draw(mutated(st.just(accept(write(*OFFERED)))))
    assert refusal(lambda: read_answer(text, OFFERED)) in (None, "malformed", "tooLarge", "unsupported")
