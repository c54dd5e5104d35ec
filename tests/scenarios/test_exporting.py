"""A session on a real server, recorded and then exported by the command line: what other programs make of the files."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import av
import pydicom
import pytest

from bridge.client import Participant
from bridge.demo.pictures import Cine
from bridge.demo.sound import Samples
from bridge.demo.tracks import CineTrack, VoiceTrack
from tests.recordings.test_export_dicom import assert_valid, decoded
from tests.scenarios.receiving import pictures, receive
from tests.scenarios.recorded import recordings, until_recorded, windows_ms
from tests.serving import Server

pytestmark = pytest.mark.timeout(180)

DURATION_TOLERANCE_S = 0.1
PARTS = 5


def ffprobe(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"]
    done = subprocess.run([*command, str(path)], capture_output=True, check=True)
    probed: dict[str, Any] = json.loads(done.stdout)
    return probed


def times_s(path: Path, kind: str) -> list[float]:
    """When each packet of the first track of this kind is shown."""
    with av.open(str(path)) as film:
        (stream, *_) = film.streams.video if kind == "video" else film.streams.audio
        return [float(p.pts * p.time_base) for p in film.demux(stream) if p.pts is not None and p.time_base]


async def recorded(server: Server, cine: Cine, sound: Samples) -> tuple[str, float, float]:
    """A recording of one clinic: its id, and from when to when its ultrasound lasts, in seconds."""
    tokens = server.create_session()["tokens"]
    tracks = {"ultrasound": CineTrack(cine), "microphone": VoiceTrack(sound)}
    clinic = Participant(server.address, tokens["satellite"], "Phòng khám Lan", tracks=tracks, receive=False)
    doctor = Participant(server.address, tokens["hub"], "Dr Hà")
    async with clinic.taking_part(), doctor.taking_part():
        await doctor.until(lambda: doctor.recording)
        await doctor.request("sendChat", text="tilt the probe")
        await doctor.request("addMark", text="polyp")
        await pictures(await receive(doctor, "ultrasound", clinic.id), 60)
        await until_recorded(
            server,
            lambda found: bool(found) and len(windows_ms(found[-1], clinic.id, "ultrasound")) >= PARTS,
        )
        await doctor.request("endSession")
        await until_recorded(server, lambda found: bool(found) and all(r.sealed for r in found))
    with recordings(server) as (reader,):
        windows = windows_ms(reader, clinic.id, "ultrasound")
    (listed,) = json.loads(server.command("recording", "list", "--json"))
    return listed["id"], windows[0][0] / 1000, windows[-1][1] / 1000


async def test_a_live_session_is_exported_whole(
    server: Server, cine: Cine, sound: Samples, tmp_path: Path
) -> None:
    recording, begin_s, end_s = await recorded(server, cine, sound)
    server.command("recording", "verify", recording)

    film = tmp_path / "session.mkv"
    server.command("recording", "export", recording, "--format", "mkv", "-o", str(film))
    probed = ffprobe(film)
    assert sorted(stream["codec_type"] for stream in probed["streams"]) == ["audio", "subtitle", "video"]
    shown = times_s(film, "video")
    steps = [later - earlier for earlier, later in itertools.pairwise(shown)]
    assert min(steps) > 0
    # On a clean line no picture of the loop is missing: so many lie between the first and the last.
    assert len(shown) == round((shown[-1] - shown[0]) / cine.frame_time_s) + 1
    assert abs((shown[-1] + cine.frame_time_s) - end_s) < DURATION_TOLERANCE_S
    assert abs(shown[0] - begin_s) < DURATION_TOLERANCE_S
    heard = times_s(film, "audio")
    assert min(later - earlier for earlier, later in itertools.pairwise(heard)) > 0
    (picture,) = (stream for stream in probed["streams"] if stream["codec_type"] == "video")
    assert int(picture["nb_read_frames"]) == len(shown)

    film = tmp_path / "session.mp4"
    server.command("recording", "export", recording, "--format", "mp4", "-o", str(film))
    (picture,) = (stream for stream in ffprobe(film)["streams"] if stream["codec_type"] == "video")
    assert (picture["codec_name"], int(picture["nb_read_frames"])) == ("h264", len(shown))

    video = tmp_path / "ultrasound.dcm"
    server.command("recording", "export", recording, "--format", "dicom", "-o", str(video))
    dataset = pydicom.dcmread(video)
    assert dataset.NumberOfFrames == len(decoded(dataset)) == len(shown)
    assert_valid(video.read_bytes(), tmp_path)
