from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import BridgeError, LimitExceeded, ProtocolError
from bridge.media.sdp import MAX_SDP_BYTES, parse, parse_fragment

OFFERS = sorted((Path(__file__).parent / "offers").glob("*.sdp"))
TEXTS = [path.read_bytes().decode() for path in OFFERS]


def section(*attributes: str, line: str = "m=video 9 UDP/TLS/RTP/SAVPF 96") -> str:
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", line, *attributes, ""])


@pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
def test_real_offers_are_read(path: Path) -> None:
    session = parse(path.read_bytes().decode())
    assert len(session.sections) >= 2
    for entry in session.sections:
        assert entry.ice.ufrag
        assert entry.ice.pwd
        assert entry.fingerprints
        assert entry.mid in session.bundle
        assert not entry.rejected


def test_attributes_may_stand_before_their_rtpmap() -> None:
    first = (
        parse(section("a=fmtp:96 apt=97", "a=rtcp-fb:* nack pli", "a=rtpmap:96 RTX/90000"))
        .sections[0]
        .formats[0]
    )
    assert (first.name, first.parameters, first.feedback) == ("rtx", {"apt": "97"}, {"nack pli"})


def test_session_level_transport_counts_where_the_section_says_nothing() -> None:
    text = section("a=ice-ufrag:mine1").replace(
        "m=video", "a=ice-ufrag:theirs\r\na=ice-pwd:" + "p" * 22 + "\r\nm=video"
    )
    ice = parse(text).sections[0].ice
    assert (ice.ufrag, ice.pwd) == ("mine1", "p" * 22)


def test_simulcast_takes_the_first_alternative_and_paused_streams() -> None:
    assert parse(section("a=simulcast:recv x send l,q;~h")).sections[0].send_rids == ["l", "h"]


def test_port_zero_is_rejected_but_not_when_bundle_only() -> None:
    zero = "m=video 0 UDP/TLS/RTP/SAVPF 96"
    assert parse(section(line=zero)).sections[0].rejected
    assert not parse(section("a=bundle-only", line=zero)).sections[0].rejected


def test_bare_line_feeds_are_taken() -> None:
    assert parse(TEXTS[0].replace("\r\n", "\n")).bundle == parse(TEXTS[0]).bundle


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "o=- 1 1 IN IP4 127.0.0.1",
        section(line="m=video"),
        section(line="m=video 99999 UDP/TLS/RTP/SAVPF 96"),
        section(line="m=video 9 UDP/TLS/RTP/SAVPF x"),
        section(line="m=video 9 UDP/TLS/RTP/SAVPF 200"),
        section("a=mid:" + "x" * 17),
        section("a=mid:a b"),
        section("a=rtpmap:96 VP8/fast"),
        section("a=rtpmap:96 VP8/٩٠٠٠٠"),
        section("a=extmap:x urn:y"),
        section("a=extmap:1"),
        section("a=ssrc:99999999999 cname:x"),
        section("a=fingerprint:sha-256 zz"),
        section("a=setup:sometimes"),
        section("a=ice-ufrag:a\x00b\x01c"),
        section("a=simulcast:send"),
        section("a=simulcast:send l;l"),
        section("a=simulcast:send l;\x7f"),
        section("a=simulcast:send " + ";".join(str(number) for number in range(17))),
        section("a=mid:1") + section("a=mid:1").split("t=0 0\r\n")[1],
    ],
)
def test_malformed_is_said_so(bad: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(bad)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    "large",
    [
        "v=0\r\n" + "a=x\r\n" * (MAX_SDP_BYTES // 5 + 1),
        "v=0\r\n" + "é" * (MAX_SDP_BYTES // 2),
        "v=0\n" * 10_001,
        section() + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 200,
    ],
    ids=["bytes", "encoded bytes", "lines", "sections"],
)
def test_too_large_is_refused(large: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        parse(large)
    assert caught.value.code == "tooLarge"


def test_feedback_of_all_formats_costs_no_more_than_other_lines() -> None:
    formats = " ".join(str(number) for number in range(120))
    lines = [f"a=rtcp-fb:* x{number}" for number in range(9_000)]

    def cost_s(wildcards: list[str]) -> float:
        text = section(*wildcards, line=f"m=video 9 UDP/TLS/RTP/SAVPF {formats}")
        begun_s = time.process_time()
        parse(text)
        return time.process_time() - begun_s

    plain_s = min(cost_s([line.replace("*", "96") for line in lines]) for _ in range(5))
    assert min(cost_s(lines) for _ in range(5)) < plain_s * 2


def test_fragment_gives_the_first_credentials() -> None:
    fragment = parse_fragment("a=ice-ufrag:abcd\r\na=ice-pwd:" + "p" * 22 + "\r\na=ice-ufrag:efgh\r\n")
    assert (fragment.ufrag, fragment.pwd) == ("abcd", "p" * 22)
    assert parse_fragment("m=audio 9 x 0\r\n").ufrag is None


def refusal(call: Callable[[], object]) -> str | None:
    """The code that the call is refused with; any other error goes through."""
    try:
        call()
    except BridgeError as error:
        return error.code
    return None


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """Descriptions with lines left out, doubled, swapped, cut and with characters exchanged."""
    lines = draw(texts).split("\r\n")
    for _ in range(draw(st.integers(1, 12))):
        index = draw(st.integers(0, len(lines) - 1))
        action = draw(st.sampled_from(["drop", "double", "swap", "cut", "replace", "insert"]))
        line = lines[index]
        if action == "drop" and len(lines) > 1:
            del lines[index]
        elif action == "double":
            lines.insert(draw(st.integers(0, len(lines))), line)
        elif action == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[index], lines[other] = lines[other], line
        elif action == "cut":
            lines[index] = line[: draw(st.integers(0, len(line)))]
        elif action == "replace" and line:
            at = draw(st.integers(0, len(line) - 1))
            lines[index] = line[:at] + draw(st.text(max_size=6)) + line[at + 1 :]
        elif action == "insert":
            lines.insert(
                index,
                draw(st.sampled_from(["a=", "m=", "v=", "a=fmtp:", "a=rtpmap:"]))
                + draw(st.text(max_size=30)),
            )
    return "\r\n".join(lines)


def mutated_offers() -> st.SearchStrategy[str]:
    return mutated(st.sampled_from(TEXTS))


@given(
    st.one_of(
        mutated_offers(), st.text(max_size=400), st.text(max_size=200).map(lambda tail: "v=0\r\n" + tail)
    )
)
@settings(max_examples=300)
def test_no_text_raises_anything_but_a_bridge_error(text: str) -> None:
    for read in (parse, parse_fragment):
        assert refusal(partial(read, text)) in (None, "malformed", "tooLarge")
