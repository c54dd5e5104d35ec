"""Recordings over HTTP, as `docs/protocol.md` has it: what is shown, to whom, and what the audit says of it."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest
from aiohttp import web

from bridge.auth import Auth
from bridge.ids import RecordingState, Role
from bridge.replay import Replay
from bridge.store import NewInvite
from tests.recordings.kept import Kept, open_kept
from tests.recordings.making import STARTED_AT_MS

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "protocol.md").read_text()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with open_kept(tmp_path) as opened:
        yield opened


# --- what there is -------------------------------------------------------------------------------------------------


async def test_a_recording_is_told_as_the_protocol_has_it(kept: Kept) -> None:
    whole = await kept.get()
    assert set(whole) == {"recording", "tracks", "events", "findings"}
    assert whole["findings"] == []
    recorded = whole["recording"]
    assert recorded.pop("sizeBytes") > 1_000_000
    assert recorded == {
        "id": kept.made.recording,
        "session": kept.session.session.id,
        "title": "Tim thai",
        "kind": "consultation",
        "state": "ended",
        "startedAt": STARTED_AT_MS,
        "beginMs": 0,
        "endMs": 8_000,
        "hold": False,
        "retainUntil": None,
        "clipOf": None,
    }
    assert [track["id"] for track in whole["tracks"]] == kept.made.streams
    camera = whole["tracks"][1]
    assert camera.pop("sizeBytes") == sum(
        len(part.data) for part in kept.made.parts[kept.made.streams[1]]
    ) + len(kept.made.parts[kept.made.streams[1]][0].init.data)
    assert camera == {
        "id": kept.made.streams[1],
        "participant": kept.made.tracks[1].participant,
        "source": "camera",
        "kind": "video",
        "live": False,
        "beginMs": 0,
        "endMs": 8_000,
        "inits": [
            {
                "part": 1,
                "mediaType": 'video/webm; codecs="vp8"',
                "codec": "vp8",
                "width": 320,
                "height": 240,
            }
        ],
    }
    times = [event["atMs"] for event in whole["events"]]
    assert times == sorted(times)
    assert {event["type"] for event in whole["events"]} >= {"recordingStarted", "chatSent", "stageChanged"}
    listed = await kept.house.ask("GET", "/api/recordings", kept.staff)
    assert listed == (200, {"recordings": [recorded | {"sizeBytes": 1}]})


async def test_what_comes_out_plays_and_is_what_was_recorded(kept: Kept) -> None:
    for stream in kept.made.streams:
        listed = await kept.get(f"/tracks/{stream}/parts?after=-1")
        assert listed["findings"] == []
        sent = kept.made.parts[stream]
        bodies = [await kept.part(stream, row[0]) for row in listed["parts"]]
        assert bodies == [part.data for part in sent]
        (init,) = {row[1] for row in listed["parts"]}
        content = await kept.part(stream, init) + b"".join(bodies)
        with av.open(io.BytesIO(content)) as container:
            decoded = sum(1 for _ in container.decode(container.streams[0]))
        assert decoded == sum(row[6] for row in listed["parts"])
        for row, part in zip(listed["parts"], sent, strict=True):
            assert abs(row[2] - part.start_us / 1000) <= 1
            assert abs(row[3] - part.duration_us / 1000) <= 1
            assert (row[4] & 1 == 1, row[4] & 2 == 2) == (part.keyframe, part.damaged)
            assert row[5] == len(part.data)
        last = listed["parts"][-1][0]
        assert (await kept.get(f"/tracks/{stream}/parts?after={last - 1}"))["parts"] == listed["parts"][-1:]


async def test_frames_are_told_for_stepping(kept: Kept) -> None:
    stream = kept.made.streams[3]
    parts = kept.made.parts[stream]
    told = await kept.get(f"/tracks/{stream}/frames?from=3&to=4")
    shown = [mark.start_us for part in parts[1:3] for mark in part.frames]
    # The notes tell durations in whole microseconds.
    assert all(abs(at - mark) < 100 for at, mark in zip(told["frames"], shown, strict=True))
    assert told["endUs"] == parts[2].start_us + parts[2].duration_us


async def test_changes_are_only_the_new_events(kept: Kept) -> None:
    known = (await kept.get())["events"]
    mark = (await kept.post("marks", atMs=1_000, text="x"))["mark"]
    changes = await kept.get(f"/changes?events={len(known)}")
    (event,) = changes["events"]
    assert (event["type"], event["mark"], event["atMs"]) == ("markAdded", mark, 1_000)
    assert changes["tracks"] == (await kept.get())["tracks"]


async def test_every_request_is_in_the_protocol(kept: Kept) -> None:
    app = web.Application()
    Replay(
        kept.house.server.office.auth, kept.house.server.office.store, kept.house.server.library
    ).add_routes(app)
    names = {"recording": "ID", "track": "T", "part": "K", "mark": "MARK"}
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.format(**names)
        assert re.search(rf"`{route.method} {re.escape(path)}[?`]", DOCUMENT), (route.method, path)


# --- who may -------------------------------------------------------------------------------------------------------

READING = ("", "/changes?events=0", "/tracks/3/parts", "/tracks/3/parts/2", "/tracks/3/frames?from=2&to=3")
CHANGING = (
    ("POST", "/marks", {"atMs": 1, "text": "x"}),
    ("DELETE", "/marks/markmarkmarkmar1", None),
    ("POST", "/clips", {"beginMs": 0, "endMs": 1_000}),
    ("POST", "/hold", {"hold": True}),
    ("DELETE", "", None),
)


async def test_organiser_and_hub_replay_their_session_even_when_it_is_over(kept: Kept) -> None:
    for ended in (False, True):
        if ended:
            await kept.house.server.office.store.end_session(kept.session.session.id, 1)
        for role in (Role.ORGANISER, Role.HUB):
            token = kept.token(role)
            listing = f"/api/recordings?session={kept.session.session.id}"
            status, listed = await kept.house.ask("GET", listing, token)
            assert (status, len(listed["recordings"])) == (200, 1)
            for path in READING:
                async with kept.house.client.get(
                    kept.house.url + kept.path + path, headers={"Authorization": f"Bearer {token}"}
                ) as answer:
                    assert answer.status == 200
                    assert answer.headers["Cache-Control"] == "no-store"


async def test_others_are_refused_and_nothing_happens(kept: Kept) -> None:
    other = await kept.house.make("another")
    strangers = [
        kept.token(Role.SATELLITE),
        kept.token(Role.VIEWER),
        kept.house.token(other, Role.ORGANISER),
        kept.house.token(other, Role.HUB),
    ]
    listing = f"/api/recordings?session={kept.session.session.id}"
    asked = [("GET", kept.path + path, None) for path in READING]
    asked += [(method, kept.path + path, body) for method, path, body in CHANGING]
    asked += [("GET", listing, None)]
    for method, path, body in asked:
        assert await kept.house.code(method, path, json=body) == (401, "notAuthorised")
        assert await kept.house.code(method, path, "nonsense", json=body) == (401, "notAuthorised")
        for token in strangers:
            assert await kept.house.code(method, path, token, json=body) == (403, "notAllowed")
    for role in (Role.ORGANISER, Role.HUB):
        token = kept.token(role)
        for method, path in (("POST", "/hold"), ("DELETE", "")):
            refused = await kept.house.code(method, kept.path + path, token, json={"hold": True})
            assert refused == (403, "notAllowed")
        assert await kept.house.code("GET", "/api/recordings", token) == (403, "notAllowed")
    row = await kept.house.server.office.store.get_recording(kept.made.recording)
    assert (row.state, row.hold) == (RecordingState.ENDED, False)
    assert len(await kept.house.server.office.store.list_recordings()) == 1
    with kept.reader() as reader:
        assert len(reader.events()) == 10


async def test_a_refusal_is_in_the_audit_with_who_was_refused(kept: Kept) -> None:
    for _ in range(5):
        await kept.house.code("GET", kept.path, kept.token(Role.VIEWER))
    viewer = f"invite:{kept.session.invites[Role.VIEWER].id}"
    assert kept.audited() == [("objectAccessed", viewer, 4, {})]


async def test_a_withdrawn_or_expired_link_opens_nothing(kept: Kept) -> None:
    store = kept.house.server.office.store
    hub = kept.token(Role.HUB)
    await store.revoke_invite(kept.session.invites[Role.HUB].id)
    assert await kept.house.code("GET", kept.path, hub) == (401, "inviteRevoked")
    old = NewInvite(Role.HUB, "", 1, 2_000)
    invite = await store.create_invite(kept.session.session.id, old, 1_000)
    token = kept.house.server.office.auth.invite_token(invite)
    assert await kept.house.code("GET", kept.path, token) == (401, "tokenExpired")
    forged = Auth(bytes(32), store).invite_token(kept.session.invites[Role.ORGANISER])
    assert await kept.house.code("GET", kept.path, forged) == (401, "notAuthorised")


# --- the audit -----------------------------------------------------------------------------------------------------


async def test_what_is_seen_is_in_the_audit_and_does_not_drown_it(kept: Kept) -> None:
    hub = kept.token(Role.HUB)
    who = f"invite:{kept.session.invites[Role.HUB].id}"
    await kept.get(token=hub)
    camera, ultrasound = kept.made.streams[1], kept.made.streams[3]
    for stream, part in itertools.product((camera, ultrasound), (2, 3, 4)):
        await kept.part(stream, part, hub)
    assert kept.audited() == [
        ("objectAccessed", who, 0, {}),
        ("objectAccessed", who, 1, {"track": camera, "part": 2}),
        ("objectAccessed", who, 1, {"track": ultrasound, "part": 2}),
    ]


async def test_nothing_is_shown_that_cannot_be_written_down(kept: Kept) -> None:
    audit = kept.folder / "data" / "audit"
    audit.rename(kept.folder / "away")
    for path in READING:
        assert await kept.house.code("GET", kept.path + path, kept.staff) == (507, "storageFailed")
    mark = await kept.house.code("POST", kept.path + "/marks", kept.staff, json={"atMs": 1, "text": "x"})
    assert mark == (507, "storageFailed")
    assert await kept.house.code("DELETE", kept.path, kept.staff) == (507, "storageFailed")
    (kept.folder / "away").rename(audit)
    assert (await kept.get())["recording"]["state"] == "ended"
    assert await kept.part(kept.made.streams[1], 2)


# --- damage --------------------------------------------------------------------------------------------------------


async def test_a_damaged_part_is_named_and_the_rest_is_offered(kept: Kept) -> None:
    stream = kept.made.streams[1]
    with kept.reader() as reader:
        track = reader.track(stream)
        assert track is not None
        body, header = (track.parts[place].part for place in (2, 4))
    content = bytearray(kept.file(stream).read_bytes())
    content[body.offset_bytes + body.header.body_offset + 9] ^= 1
    content[header.offset_bytes + 60] ^= 1
    kept.file(stream).write_bytes(content)
    listed = await kept.get(f"/tracks/{stream}/parts")
    assert [(each["part"], each["trouble"]) for each in listed["findings"]] == [(header.number, "altered")]
    for hurt in (body, header):
        path = f"{kept.path}/tracks/{stream}/parts/{hurt.number}"
        status, answer = await kept.house.ask("GET", path, kept.staff)
        assert (status, answer["error"]["code"]) == (422, "damaged")
        assert f"part {hurt.number} is altered" in answer["error"]["text"]
    rest = [row[0] for row in listed["parts"] if row[0] != body.number]
    parts = kept.made.parts[stream]
    assert [await kept.part(stream, number) for number in rest] == [
        part.data for place, part in enumerate(parts) if place not in (2, 4)
    ]


async def test_damage_is_noticed_on_a_recording_that_is_open_already(kept: Kept) -> None:
    stream = kept.made.streams[1]
    assert await kept.part(stream, 3)
    kept.file(stream).write_bytes(b"")
    path = f"{kept.path}/tracks/{stream}/parts/3"
    assert await kept.house.code("GET", path, kept.staff) == (422, "damaged")
    kept.file(stream).unlink()
    assert await kept.house.code("GET", path, kept.staff) == (422, "damaged")
    assert await kept.part(kept.made.streams[0], 3)


async def test_a_key_that_does_not_open_is_told(kept: Kept) -> None:
    (kept.file(1).parent / "key.age").write_bytes(b"nonsense")
    assert await kept.house.code("GET", kept.path, kept.staff) == (422, "damaged")


# --- what is not there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/recordings/aaaaaaaaaaaaaaaa",
        "/api/recordings/short",
        "/api/recordings/RECORDING/tracks/99/parts",
        "/api/recordings/RECORDING/tracks/1/parts",
        "/api/recordings/RECORDING/tracks/3/parts/4000000000",
        "/api/recordings/RECORDING/tracks/3/parts/0",
        "/api/recordings/RECORDING/tracks/x/parts",
        "/api/recordings/../bridge.db",
        "/api/recordings?session=aaaaaaaaaaaaaaaa",
    ],
)
async def test_what_is_not_there_is_not_found(kept: Kept, path: str) -> None:
    path = path.replace("RECORDING", kept.made.recording)
    assert await kept.house.code("GET", path, kept.staff) == (404, "notFound")


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/tracks/3/parts?after=x", (400, "malformed")),
        ("/tracks/3/parts?after=-2", (400, "malformed")),
        ("/tracks/3/parts?after=" + "9" * 5000, (400, "malformed")),
        ("/changes?events=-1", (400, "malformed")),
        ("/tracks/3/frames?from=1", (400, "malformed")),
        ("/tracks/3/frames?from=1&to=9999999", (413, "tooLarge")),
        ("/tracks/3/frames?from=5&to=1", (413, "tooLarge")),
    ],
)
async def test_questions_out_of_bounds_are_refused(kept: Kept, path: str, refusal: tuple[int, str]) -> None:
    assert await kept.house.code("GET", kept.path + path, kept.staff) == refusal
