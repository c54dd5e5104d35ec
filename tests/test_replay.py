"""Recordings over HTTP, as `docs/protocol.md` has it: a whole server, its vault, and recordings put into it."""

from __future__ import annotations

import io
import itertools
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web

from bridge import download
from bridge.audit import read_lines
from bridge.auth import Auth
from bridge.desk import MadeSession
from bridge.ids import RecordingId, RecordingState, Role
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import ref_of
from bridge.recordings.library import LONG_WORKS
from bridge.replay import Replay
from bridge.store import NewInvite, RecordingRecord
from tests.house import House, open_house
from tests.media.recording.sending import video
from tests.recordings.making import STARTED_AT_MS, Made, Track, make_recording

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "protocol.md").read_text()


@dataclass
class Kept:
    """A house with one session that was recorded."""

    house: House
    made: Made
    session: MadeSession
    folder: Path

    @property
    def path(self) -> str:
        return f"/api/recordings/{self.made.recording}"

    @property
    def staff(self) -> str:
        return self.house.staff_token()

    def token(self, role: Role) -> str:
        return self.house.token(self.session, role)

    async def get(self, path: str = "", token: str | None = None) -> dict[str, Any]:
        status, body = await self.house.ask("GET", self.path + path, token or self.staff)
        assert status == 200, body
        return body

    async def part(self, track: int, part: int, token: str | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {token or self.staff}"}
        url = f"{self.house.url}{self.path}/tracks/{track}/parts/{part}"
        async with self.house.client.get(url, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
            return await answer.read()

    async def post(self, what: str, token: str | None = None, **body: Any) -> dict[str, Any]:
        status, answer = await self.house.ask("POST", f"{self.path}/{what}", token or self.staff, json=body)
        assert status in (201, 204), answer
        return answer

    def file(self, stream: int, recording: str | None = None) -> Path:
        return self.folder / "data" / "recordings" / (recording or self.made.recording) / f"{stream:08}.parts"

    def reader(self, recording: str | None = None) -> RecordingReader:
        ref = ref_of(RecordingId(recording or self.made.recording))
        return RecordingReader(self.house.server.vault.open(ref))

    def audited(self, on: str | None = None) -> list[tuple[str, str, int, dict[str, Any]]]:
        """Event, who, outcome and detail of all that was written about the recording."""
        audit = self.house.server.audit
        lines = [line.content for line in read_lines(audit.folder, audit.key)]
        about = f"recording/{on or self.made.recording}"
        return [
            (line["event"], line["who"], line["outcome"], line["detail"])
            for line in lines
            if line["on"] == about
        ]


async def put_in(house: House, session: MadeSession, **more: Any) -> Made:
    made = make_recording(house.server.vault, session=session.session.id, **more)
    row = RecordingRecord(
        made.recording, session.session.id, RecordingState.ENDED, STARTED_AT_MS, 8_000, size_bytes=1
    )
    await house.server.office.store.add_recording(row)
    return made


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with open_house(tmp_path) as house:
        session = await house.make("Tim thai")
        yield Kept(house, await put_in(house, session), session, tmp_path)


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
    refused = await kept.house.code("GET", f"{kept.path}/tracks/{stream}/parts/3", kept.staff)
    assert refused in ((404, "notFound"), (422, "damaged"))
    assert await kept.part(kept.made.streams[0], 3)


async def test_a_key_that_does_not_open_is_told(kept: Kept) -> None:
    (kept.file(1).parent / "key.age").write_bytes(b"nonsense")
    assert await kept.house.code("GET", kept.path, kept.staff) == (422, "damaged")


# --- marks ---------------------------------------------------------------------------------------------------------


async def test_a_mark_is_set_and_taken_back_and_nothing_is_rewritten(kept: Kept) -> None:
    before = {path.name: path.read_bytes() for path in kept.file(1).parent.glob("*.parts")}
    hub = kept.token(Role.HUB)
    mark = (await kept.post("marks", hub, atMs=2_500, untilMs=3_000, text="  Van   hai lá "))["mark"]
    added = [event for event in (await kept.get())["events"] if event.get("mark") == mark]
    assert [(event["type"], event["atMs"], event["untilMs"]) for event in added] == [
        ("markAdded", 2_500, 3_000)
    ]
    assert added[0]["text"] == "Van hai lá"
    path = f"{kept.path}/marks/{mark}"
    assert (await kept.house.ask("DELETE", path, hub))[0] == 204
    assert await kept.house.code("DELETE", path, hub) == (404, "notFound")
    events = [event["type"] for event in (await kept.get())["events"] if event.get("mark") == mark]
    assert events == ["markAdded", "markRemoved"]
    after = {path.name: path.read_bytes() for path in kept.file(1).parent.glob("*.parts")}
    assert {name: after[name] for name in before if name != "00000000.parts"} == {
        name: content for name, content in before.items() if name != "00000000.parts"
    }
    assert list(kept.house.server.vault.verify(ref_of(kept.made.recording))) == []
    who = f"invite:{kept.session.invites[Role.HUB].id}"
    changes = [line for line in kept.audited() if line[0] == "objectChanged"]
    assert changes == [
        ("objectChanged", who, 0, {"mark": mark, "atMs": 2_500}),
        ("objectChanged", who, 0, {"markRemoved": mark}),
    ]


async def test_a_mark_from_the_session_can_be_removed_too(kept: Kept) -> None:
    path = f"{kept.path}/marks/markmarkmarkmar1"
    assert (await kept.house.ask("DELETE", path, kept.token(Role.HUB)))[0] == 204


async def test_a_mark_does_not_paint_over_damage(kept: Kept) -> None:
    kept.file(kept.made.streams[4]).unlink()
    await kept.post("marks", atMs=1_000, text="x")
    with kept.reader() as reader:
        assert [finding.stream for finding in reader.findings()] == [kept.made.streams[4]]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"atMs": 8_001, "text": "x"}, (400, "malformed")),
        ({"atMs": -1, "text": "x"}, (400, "malformed")),
        ({"atMs": 2_000, "untilMs": 1_000, "text": "x"}, (400, "malformed")),
        ({"atMs": 2_000, "untilMs": 9_000, "text": "x"}, (400, "malformed")),
        ({"atMs": 1, "text": "x" * 201}, (413, "tooLarge")),
        ({"atMs": 1, "text": "a\x00b"}, (400, "malformed")),
        ({"text": "x"}, (400, "malformed")),
    ],
)
async def test_marks_that_cannot_be_are_refused(
    kept: Kept, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    assert await kept.house.code("POST", kept.path + "/marks", kept.staff, json=body) == refusal


# --- clips ---------------------------------------------------------------------------------------------------------


async def test_a_clip_is_a_recording_of_its_own_with_the_same_parts(kept: Kept) -> None:
    hub = kept.token(Role.HUB)
    answer = await kept.post("clips", hub, beginMs=1_500, endMs=3_200, title="Van hai lá")
    clip = answer["recording"]
    assert (clip["clipOf"], clip["title"], clip["state"]) == (kept.made.recording, "Van hai lá", "ended")
    assert (clip["beginMs"], clip["endMs"], clip["startedAt"]) == (1_500, 3_200, STARTED_AT_MS)
    with kept.reader() as source, kept.reader(clip["id"]) as cut:
        copied = {(track.about.participant, track.about.source): track for track in cut.tracks}
        for track in source.tracks:
            notes = [
                (entry, entry.note)
                for entry in track.parts
                if entry.note.start_us < 3_200_000
                and entry.note.start_us + entry.note.duration_us > 1_500_000
            ]
            found = copied.pop((track.about.participant, track.about.source), None)
            if not notes:
                continue
            assert found is not None
            assert found.parts[0].note.key
            assert [found.read(entry.number) for entry in found.parts] == [
                track.read(entry.number) for entry, _ in notes
            ]
            assert [(entry.note.start_us, entry.note.steps_us) for entry in found.parts] == [
                (note.start_us, note.steps_us) for _, note in notes
            ]
            assert [found.read(number) for number in found.inits] == [
                track.read(number) for number in track.inits
            ]
        assert copied == {}
    told = [(event["type"], event["atMs"]) for event in (await whole_of(kept, clip["id"], hub))["events"]]
    assert told == [
        ("recordingStarted", 1_500),
        ("participantJoined", 1_500),
        ("participantJoined", 1_500),
        ("stageChanged", 1_500),
        ("chatSent", 1_500),
        ("markAdded", 2_000),
        ("recordingEnded", 3_200),
    ]
    assert list(kept.house.server.vault.verify(ref_of(RecordingId(clip["id"])))) == []
    row = await kept.house.server.office.store.get_recording(RecordingId(clip["id"]))
    assert row.retain_until_ms is not None
    created = [(event, outcome) for event, _, outcome, _ in kept.audited(clip["id"])][:2]
    assert created == [("objectCreated", 1), ("objectCreated", 0)]
    listing = f"/api/recordings?session={kept.session.session.id}"
    listed = (await kept.house.ask("GET", listing, hub))[1]["recordings"]
    assert {each["id"]: each["beginMs"] for each in listed} == {kept.made.recording: 0, clip["id"]: 1_500}


async def whole_of(kept: Kept, recording: str, token: str) -> dict[str, Any]:
    return (await kept.house.ask("GET", f"/api/recordings/{recording}", token))[1]


async def test_a_clip_leaves_out_what_is_damaged_and_says_what_depends_on_it(kept: Kept) -> None:
    sent = video("vp8", 240, keyframe_every=120)
    made = await put_in(kept.house, kept.session, tracks=[Track("p", "camera", "video", sent)])
    with kept.reader(made.recording) as reader:
        (track,) = reader.tracks
        hurt = track.parts[2].part
    path = kept.file(track.stream, made.recording)
    content = bytearray(path.read_bytes())
    content[hurt.offset_bytes + hurt.header.body_offset] ^= 1
    path.write_bytes(content)
    answer = await kept.house.ask(
        "POST",
        f"/api/recordings/{made.recording}/clips",
        kept.staff,
        json={"beginMs": 1_500, "endMs": 7_500},
    )
    with kept.reader(answer[1]["recording"]["id"]) as cut:
        (camera,) = cut.tracks
        notes = [entry.note for entry in camera.parts]
    # It begins at the keyframe before the stretch; all refers to the lost part until the next keyframe.
    assert [(note.start_us // 500_000, note.key, note.damaged) for note in notes] == [
        (0, True, False),
        (1, False, False),
        (5, False, True),
        (7, True, False),
        (9, False, False),
        (11, False, False),
        (13, False, False),
    ]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"beginMs": 2_000, "endMs": 2_000}, (400, "malformed")),
        ({"beginMs": 9_000, "endMs": 10_000}, (400, "malformed")),
        ({"beginMs": 0, "endMs": 1_000, "title": "x" * 201}, (413, "tooLarge")),
        ({"beginMs": 0}, (400, "malformed")),
    ],
)
async def test_clips_that_cannot_be_are_refused(
    kept: Kept, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    assert await kept.house.code("POST", kept.path + "/clips", kept.staff, json=body) == refusal
    assert len(list((kept.folder / "data" / "recordings").iterdir())) == 1


async def test_a_clip_that_fails_leaves_nothing_behind(kept: Kept) -> None:
    await kept.house.server.library.break_off()
    refused = await kept.house.code(
        "POST", kept.path + "/clips", kept.staff, json={"beginMs": 0, "endMs": 5_000}
    )
    assert refused == (503, "shuttingDown")
    assert [path.name for path in (kept.folder / "data" / "recordings").iterdir()] == [kept.made.recording]
    assert len(await kept.house.server.office.store.list_recordings()) == 1


# --- exports -------------------------------------------------------------------------------------------------------


async def exported(kept: Kept, query: str, token: str | None = None) -> tuple[int, dict[str, str], bytes]:
    headers = {"Authorization": f"Bearer {token or kept.staff}"}
    async with kept.house.client.get(
        f"{kept.house.url}{kept.path}/export?{query}", headers=headers
    ) as answer:
        return answer.status, dict(answer.headers), await answer.read()


async def test_an_export_holds_every_track(kept: Kept) -> None:
    hub = kept.token(Role.HUB)
    status, headers, content = await exported(kept, "format=mkv", hub)
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (
        200,
        "video/x-matroska",
        "no-store",
    )
    assert headers["Content-Disposition"] == f'attachment; filename="recording-{kept.made.recording}.mkv"'
    with av.open(io.BytesIO(content)) as container:
        assert len(container.streams.video) == 2
        assert len(container.streams.audio) == 2
        frames = sum(1 for packet in container.demux(container.streams.video) if packet.pts is not None)
    assert frames == sum(
        len(part.frames) for part in kept.made.of(kept.made.tracks[1].participant, "camera")
    ) + sum(len(part.frames) for part in kept.made.of(kept.made.tracks[3].participant, "ultrasound"))
    who = f"invite:{kept.session.invites[Role.HUB].id}"
    assert [line for line in kept.audited() if line[0] == "objectExported"] == [
        ("objectExported", who, 1, {"format": "mkv"}),
        ("objectExported", who, 0, {"format": "mkv", "sizeBytes": len(content)}),
    ]
    files = [path for path in (kept.folder / "data").rglob("*") if path.is_file()]
    assert not any(b"matroska" in path.read_bytes() for path in files)


async def test_an_export_that_cannot_be_says_so_and_not_with_half_a_file(kept: Kept) -> None:
    for query, refusal in (
        ("", (400, "malformed")),
        ("format=exe", (400, "malformed")),
        ("format=mkv&track=x", (400, "malformed")),
        ("format=mkv&track=99", (404, "notFound")),
    ):
        assert await kept.house.code("GET", f"{kept.path}/export?{query}", kept.staff) == refusal
    viewer = await kept.house.code("GET", f"{kept.path}/export?format=mkv", kept.token(Role.VIEWER))
    assert viewer == (403, "notAllowed")
    await kept.house.server.library.break_off()
    stopped = await kept.house.code("GET", f"{kept.path}/export?format=mkv", kept.staff)
    assert stopped == (503, "shuttingDown")
    assert [line[2] for line in kept.audited() if line[0] == "objectExported"] == [1, 8]


async def test_who_goes_away_in_the_midst_of_an_export_blocks_nobody(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK_BYTES", 1024)  # Far more of them than may wait.
    url = f"{kept.house.url}{kept.path}/export?format=mkv"
    deadline_s = time.monotonic() + 20
    for _ in range(2 * LONG_WORKS):
        while True:
            answer = await kept.house.client.get(url, headers={"Authorization": f"Bearer {kept.staff}"})
            answer.close()
            if answer.status == 200:
                break
            assert answer.status == 429
            assert time.monotonic() < deadline_s
    while (await exported(kept, "format=mkv"))[0] != 200:
        assert time.monotonic() < deadline_s
    assert 8 in [line[2] for line in kept.audited() if line[0] == "objectExported"]


# --- holding and shredding -----------------------------------------------------------------------------------------


async def test_what_is_shredded_is_gone_and_says_so(kept: Kept) -> None:
    assert await kept.part(kept.made.streams[1], 2)
    assert (await kept.house.ask("DELETE", kept.path, kept.staff))[0] == 204
    assert not kept.file(1).parent.exists()
    for path in READING:
        assert await kept.house.code("GET", kept.path + path, kept.staff) == (404, "notFound")
    assert await kept.house.code("DELETE", kept.path, kept.staff) == (404, "notFound")
    (listed,) = (await kept.house.ask("GET", "/api/recordings", kept.staff))[1]["recordings"]
    assert (listed["state"], listed["sizeBytes"]) == ("shredded", 0)
    shredded = [line[1:3] for line in kept.audited() if line[0] == "objectShredded"]
    assert shredded == [("staff", 1), ("staff", 0)]


async def test_what_is_held_or_running_is_not_shredded(kept: Kept) -> None:
    await kept.post("hold", hold=True)
    assert (await kept.get())["recording"]["hold"] is True
    assert await kept.house.code("DELETE", kept.path, kept.staff) == (409, "conflict")
    await kept.post("hold", hold=False)
    running = make_recording(kept.house.server.vault, session=kept.session.session.id, sealed=False)
    await kept.house.server.office.store.add_recording(
        RecordingRecord(
            running.recording, kept.session.session.id, RecordingState.RUNNING, int(time.time() * 1000)
        )
    )
    path = f"/api/recordings/{running.recording}"
    assert await kept.house.code("DELETE", path, kept.staff) == (409, "conflict")
    assert (await kept.house.ask("DELETE", kept.path, kept.staff))[0] == 204
    changed = [line[3] for line in kept.audited() if line[0] == "objectChanged"]
    assert changed == [{"hold": 1}, {"hold": 0}]


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
