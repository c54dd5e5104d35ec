"""What is done with recordings over HTTP: marks, clips, exports, holding and shredding."""

from __future__ import annotations

import asyncio
import importlib
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import av
import pytest

from bridge import download
from bridge.ids import RecordingId, RecordingState, Role
from bridge.recordings import layout
from bridge.recordings.layout import ref_of
from bridge.recordings.library import LONG_WORKS, Library
from bridge.store import RecordingRecord
from tests.media.recording.sending import video
from tests.media.taped import until
from tests.recordings.kept import Kept, open_kept, put_in
from tests.recordings.making import STARTED_AT_MS, Track, make_recording

Code = tuple[int, str]
_Answer = TypeVar("_Answer")
READING = ("", "/changes?events=0", "/tracks/3/parts", "/tracks/3/parts/2", "/tracks/3/frames?from=2&to=3")


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with open_kept(tmp_path) as opened:
        yield opened


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


async def test_a_clip_tells_nothing_of_who_was_gone_before_it_began(kept: Kept) -> None:
    gone: list[layout.Event] = [
        layout.ParticipantJoined(at_ms=100, participant="gone", name="Bà Mai", role="viewer", point=""),
        layout.ConsentAnswered(
            at_ms=200,
            participant="gone",
            name="Bà Mai",
            agreed=True,
            language="vi",
            wording="?",
            answered_at=1,
        ),
        layout.ParticipantLeft(at_ms=1_000, participant="gone", reason="left"),
    ]
    made = await put_in(kept.house, kept.session, more=gone)
    path = f"/api/recordings/{made.recording}/clips"
    answer = await kept.house.ask("POST", path, kept.staff, json={"beginMs": 2_000, "endMs": 3_000})
    clip = await whole_of(kept, answer[1]["recording"]["id"], kept.staff)
    assert "gone" not in [event.get("participant") for event in clip["events"]]
    assert "Bà Mai" not in str(clip)


async def shred_when_called(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, place: str, asked: Awaitable[_Answer], *, after: bool = False
) -> _Answer:
    """Shreds the recording when long work has begun on it (`after`: has done that), and lets that go on then."""
    module, name = place.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)
    begun, shredded = threading.Event(), threading.Event()

    def waiting(*args: Any, **more: Any) -> Any:
        done = real(*args, **more) if after else None
        begun.set()
        assert shredded.wait(20)
        return done if after else real(*args, **more)

    monkeypatch.setattr(place, waiting)
    working = asyncio.ensure_future(asked)
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await kept.house.ask("DELETE", kept.path, kept.staff))[0] == 204
    shredded.set()
    return await working


async def test_no_clip_is_made_of_what_is_shredded_meanwhile(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = kept.house.code("POST", kept.path + "/clips", kept.staff, json={"beginMs": 0, "endMs": 5_000})
    answer = await shred_when_called(kept, monkeypatch, "bridge.recordings.library.cut_clip", asked)
    assert answer == (404, "notFound")
    assert list((kept.folder / "data" / "recordings").iterdir()) == []
    assert len(await kept.house.server.office.store.list_recordings()) == 1


async def test_no_clip_is_kept_of_what_another_process_shreds_meanwhile(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "check_on", lambda *_: lambda: None)  # Nobody told this process.
    asked = kept.house.code("POST", kept.path + "/clips", kept.staff, json={"beginMs": 0, "endMs": 5_000})
    answer = await shred_when_called(kept, monkeypatch, "bridge.recordings.library.cut_clip", asked)
    assert answer == (404, "notFound")
    assert list((kept.folder / "data" / "recordings").iterdir()) == []


async def test_no_export_is_made_of_what_is_shredded_meanwhile(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = kept.house.code("GET", kept.path + "/export?format=mkv", kept.staff)
    answer = await shred_when_called(
        kept, monkeypatch, "bridge.recordings.export.movies._side_by_side", asked
    )
    assert answer == (404, "notFound")
    await exports_audited(kept, 1, 8)


# --- exports -------------------------------------------------------------------------------------------------------


async def exports_audited(kept: Kept, *outcomes: int) -> list[tuple[str, str, int, dict[str, Any]]]:
    """The lines of exports, as soon as they end as given: the last is written when the answer has gone out."""

    def lines() -> list[tuple[str, str, int, dict[str, Any]]]:
        return [line for line in kept.audited() if line[0] == "objectExported"]

    await until(lambda: [line[2] for line in lines()] == list(outcomes))
    return lines()


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
    assert await exports_audited(kept, 1, 0) == [
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
    await exports_audited(kept, 1, 8)


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
    await until(lambda: 8 in [line[2] for line in kept.audited() if line[0] == "objectExported"])


async def test_an_export_that_nobody_waits_for_any_more_is_given_up_before_its_first_byte(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LOOK_S", 0.05)
    working, ended = threading.Event(), threading.Event()

    def endless(*_: Any, progress: Callable[[int, int], None], **__: Any) -> None:
        working.set()
        deadline_s = time.monotonic() + 20
        try:
            while time.monotonic() < deadline_s:
                progress(0, 1)
                time.sleep(0.01)
        except Exception:
            ended.set()
            raise

    monkeypatch.setattr("bridge.replay.export", endless)
    asked = asyncio.ensure_future(exported(kept, "format=mp4"))
    assert await asyncio.to_thread(working.wait, 20)
    asked.cancel()
    assert await asyncio.to_thread(ended.wait, 20)
    await exports_audited(kept, 1, 8)


async def test_an_export_of_what_another_process_shreds_meanwhile_is_broken_off(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "check_on", lambda *_: lambda *_: None)  # Nobody told this process.
    with pytest.raises(aiohttp.ClientPayloadError):
        await shred_when_called(
            kept, monkeypatch, "bridge.replay.export", exported(kept, "format=mkv"), after=True
        )
    await exports_audited(kept, 1, 8)


async def test_what_an_export_had_to_leave_out_is_counted_in_the_audit(kept: Kept) -> None:
    with kept.reader() as reader:
        part = reader.tracks[1].parts[1].part
    path = kept.file(kept.made.streams[1])
    stored = bytearray(path.read_bytes())
    stored[part.offset_bytes + part.header.body_offset] ^= 1
    path.write_bytes(stored)
    status, _, content = await exported(kept, "format=mkv")
    assert status == 200
    done = (await exports_audited(kept, 1, 0))[-1]
    assert done[2:] == (0, {"format": "mkv", "sizeBytes": len(content), "lostParts": 1})


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
