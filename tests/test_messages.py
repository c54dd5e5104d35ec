"""The wire schema against the document, against hostile bytes, and against itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import messages
from bridge.errors import CODES, BridgeError, LimitExceeded, ProtocolError
from bridge.ids import RecordMode, Role, SessionFormat, SessionKind, SessionState
from bridge.media.contract import Source

DOCUMENT = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text()
CLIENT = {message.__struct_config__.tag: message for message in get_args(messages.AnyClientMessage)}
SERVER = {message.__struct_config__.tag: message for message in get_args(messages.AnyServerMessage)}


def fields(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_encode_fields__)


def table(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its head."""
    lines = iter(DOCUMENT[DOCUMENT.index(f"\n{heading}\n") :].splitlines())
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def ticked(text: str) -> list[str]:
    return re.findall(r"`([A-Za-z]+)`", text)


def valid(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type within its limits."""
    match kind:
        case msgspec.inspect.StructType():
            return st.builds(
                kind.cls, **{f.name: valid(f.type) for f in kind.fields if f.required or f.name == "fresh"}
            )
        case msgspec.inspect.UnionType():
            return st.one_of([valid(one) for one in kind.types])
        case msgspec.inspect.VarTupleType():
            return st.lists(valid(kind.item_type), max_size=3).map(tuple)
        case msgspec.inspect.LiteralType():
            return st.sampled_from(kind.values)
        case msgspec.inspect.DictType():
            return st.dictionaries(valid(kind.key_type), valid(kind.value_type), max_size=3)
        case _:
            return plain(kind)


def plain(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Of a type that holds no others."""
    text = st.text(st.characters(codec="utf-8"), max_size=40)
    match kind:
        case msgspec.inspect.IntType():
            return st.integers(kind.ge or 0, kind.le if kind.le is not None else 2**53)
        case msgspec.inspect.FloatType():
            ge, le = (-1e15 if kind.ge is None else kind.ge), (1e15 if kind.le is None else kind.le)
            return st.floats(ge, le, allow_nan=False)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.AnyType():
            return st.none() | st.booleans() | st.lists(st.integers(-(2**53), 2**53) | text, max_size=3)
        case msgspec.inspect.StrType():
            letters, longest = st.characters(codec="utf-8"), kind.max_length or 40
            return st.text(letters, min_size=kind.min_length or 0, max_size=min(40, longest))
    raise AssertionError(f"no strategy for {kind}")


def messages_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    return valid(msgspec.inspect.type_info(kind))


def test_every_message_is_in_the_document() -> None:
    named = set(ticked(DOCUMENT))
    assert {tag for tag in (*CLIENT, *SERVER) if tag not in named} == set()


def test_every_message_of_the_document_exists() -> None:
    said = {ticked(row[0])[0] for heading in ("### The room", "### Changes") for row in table(heading)}
    said |= {ticked(row[3])[0] for row in table("### The room")}
    said |= {word for pair in re.findall(r"^`(\w+)` [^\n]*?→ `(\w+)`", DOCUMENT, re.M) for word in pair}
    assert said - set(CLIENT) - set(SERVER) == set()
    assert len(said) > 30


@pytest.mark.parametrize("row", table("### The room"), ids=lambda row: row[0])
def test_fields_of_room_messages_are_as_documented(row: list[str]) -> None:
    documented = set(ticked(re.sub(r"\(.*?\)", "", row[1])))
    assert fields(CLIENT[ticked(row[0])[0]]) - {"request"} == documented


@pytest.mark.parametrize("row", table("### Changes"), ids=lambda row: row[0])
def test_fields_of_changes_are_as_documented(row: list[str]) -> None:
    documented = ticked(re.sub(r"\(.*?\)", "", row[1]).split(":")[0])
    assert fields(SERVER[ticked(row[0])[0]]) - {"seq"} == set(documented)


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("session", messages.SessionObject),
        ("recording", messages.RecordingObject),
        ("mark", messages.MarkObject),
        ("participant", messages.ParticipantObject),
        ("track", messages.TrackObject),
        ("chatLine", messages.ChatLine),
        ("study", messages.StudyObject),
        ("reader", messages.ReaderObject),
        ("lowerThird", messages.LowerThirdObject),
        ("question", messages.QuestionObject),
        ("notice", messages.NoticeObject),
        ("waiting", messages.WaitingObject),
    ],
)
def test_objects_are_as_documented(name: str, struct: type[msgspec.Struct]) -> None:
    objects = DOCUMENT[DOCUMENT.index("### Objects") : DOCUMENT.index("### Publishing")]
    paragraph = re.search(rf"^`{name}`: (.*?)\n\n", objects, re.M | re.S)
    assert paragraph is not None
    documented = set(ticked(re.sub(r"\([^()]*\)", "", paragraph.group(1))))
    assert fields(struct) <= documented
    assert documented - fields(struct) <= {"audienceChanged"}


@pytest.mark.parametrize("name", ["joined", "resumed"])
def test_answers_to_coming_in_are_as_documented(name: str) -> None:
    (*_, paragraph) = re.finditer(
        rf"`{name}`: ((?:(?!`{name}`:).)*?)(?:\n\n|After `resumeFailed`)", DOCUMENT, re.S
    )
    documented = set(ticked(re.sub(r"\([^()]*\)", "", paragraph.group(1))))
    assert fields(SERVER[name]) - {"request"} == documented - {"seq"} | ({"seq"} & fields(SERVER[name]))


def test_error_codes_are_as_documented() -> None:
    documented = {
        ticked(row[0])[0]: (int(row[1]), None if row[2] == "-" else int(row[2])) for row in table("## Errors")
    }
    assert documented == {code: (wire.http, wire.close) for code, wire in CODES.items()}


def test_words_are_the_same_in_all_layers() -> None:
    assert set(get_args(messages.SourceName)) == {source.value for source in Source}
    assert set(get_args(messages.RoleName)) == {role.value for role in Role}
    assert set(get_args(messages.SessionKindName)) == {kind.value for kind in SessionKind}
    assert set(get_args(messages.FormatName)) == {name.value for name in SessionFormat}
    assert set(get_args(messages.RecordName)) == {mode.value for mode in RecordMode}
    assert set(get_args(messages.StateName)) == {state.value for state in SessionState}


@pytest.mark.parametrize("tag", CLIENT)
@settings(max_examples=20)
@given(st.data())
def test_client_messages_survive_the_wire(tag: str, data: st.DataObject) -> None:
    sent = data.draw(messages_of(CLIENT[tag]))
    wire = messages.encode(sent)
    assert json.loads(wire)["type"] == tag
    assert messages.decode_client(wire) == sent


@pytest.mark.parametrize("tag", [tag for tag in SERVER if tag != "resumed"])
@settings(max_examples=20)
@given(st.data(), st.integers(0, 2**53))
def test_server_messages_survive_the_wire(tag: str, data: st.DataObject, seq: int) -> None:
    sent = data.draw(messages_of(SERVER[tag]))
    assert messages.decode_server(messages.encode(sent)) == sent
    if isinstance(sent, messages.Change):
        sent.seq = msgspec.UNSET
        numbered = messages.numbered(messages.encode(sent), seq)
        sent.seq = seq
        assert messages.decode_server(numbered) == sent


def refuse_cleanly(data: str | bytes) -> None:
    refusal: BridgeError | None = None
    try:
        assert isinstance(messages.decode_client(data), messages.ClientMessage)
    except (ProtocolError, LimitExceeded) as error:
        refusal = error
    if refusal is not None:
        assert refusal.code in ("malformed", "tooLarge")
        assert 0 < len(refusal.text) < 200
    number = messages.request_of(data)
    assert number is None or number >= 1


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_random_bytes_are_refused_cleanly(data: str | bytes) -> None:
    refuse_cleanly(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(sorted(CLIENT)), st.data())
def test_wrong_fields_are_refused_cleanly(tag: str, data: st.DataObject) -> None:
    names = sorted(fields(CLIENT[tag]))
    body = {name: data.draw(JSON, label=name) for name in names if data.draw(st.booleans())}
    refuse_cleanly(json.dumps({"type": tag, **body}))


@given(st.sampled_from(sorted(CLIENT)), st.data())
def test_cut_and_changed_messages_are_refused_cleanly(tag: str, data: st.DataObject) -> None:
    wire = bytearray(messages.encode(data.draw(messages_of(CLIENT[tag]))))
    where = data.draw(st.integers(0, len(wire) - 1))
    wire[where] = data.draw(st.integers(0, 255))
    refuse_cleanly(bytes(wire[: data.draw(st.integers(0, len(wire)))]))
    refuse_cleanly(bytes(wire))


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"type":"join","x":['])
def test_deep_nesting_is_refused_cleanly(opening: str) -> None:
    refuse_cleanly(opening * 30_000)


@pytest.mark.parametrize(
    ("message", "code", "names"),
    [
        ({"type": "setName", "name": "x" * 81}, "tooLarge", "name"),
        ({"type": "sendChat", "text": "x" * 2001}, "tooLarge", "text"),
        ({"type": "sendChat", "text": ""}, "malformed", "text"),
        ({"type": "join", "name": "a", "language": "en"}, "malformed", "token"),
        ({"type": "join", "token": "t", "name": "a", "language": "secret"}, "malformed", "language"),
        (
            {"type": "publishOffer", "sdp": "v", "tracks": [{"mid": "0", "source": "secret"}]},
            "malformed",
            "tracks",
        ),
        (
            {"type": "publishOffer", "sdp": "v", "tracks": [{"mid": "0", "source": "camera"}] * 41},
            "tooLarge",
            "tracks",
        ),
        ({"type": "resume", "resumeToken": "t", "seq": -1}, "malformed", "seq"),
        ({"type": "secret"}, "malformed", "type"),
        ({"type": "setHand", "raised": "yes"}, "malformed", "raised"),
    ],
)
def test_refusals_name_the_field_and_never_its_value(message: dict[str, Any], code: str, names: str) -> None:
    with pytest.raises(BridgeError) as refused:
        messages.decode_client(json.dumps(message))
    assert refused.value.code == code
    assert names in refused.value.text
    assert "secret" not in refused.value.text


def test_message_over_the_limit_is_too_large() -> None:
    with pytest.raises(LimitExceeded) as refused:
        messages.decode_client(b'{"type":"leave","x":"' + b"x" * messages.MESSAGE_LIMIT_BYTES + b'"}')
    assert refused.value.code == "tooLarge"


def test_unknown_fields_are_ignored() -> None:
    assert messages.decode_client('{"type":"leave","request":3,"later":{"a":1}}') == messages.Leave(request=3)


def test_largest_description_fits_into_a_message() -> None:
    line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    sdp = (line * (messages.SDP_LIMIT // len(line) + 1))[: messages.SDP_LIMIT]
    wire = messages.encode(messages.SubscribeAnswer(negotiation=1, sdp=sdp))
    assert messages.decode_client(wire) == messages.SubscribeAnswer(negotiation=1, sdp=sdp)
