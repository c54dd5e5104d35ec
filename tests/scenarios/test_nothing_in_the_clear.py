"""What a thief of the disk would find of a recorded session: every byte under the data folder is looked through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.client import Participant
from bridge.demo.pictures import Cine
from bridge.demo.sound import Samples
from bridge.demo.tracks import CineTrack, VoiceTrack
from tests.scenarios.receiving import pictures, receive
from tests.scenarios.recorded import recordings, until_recorded, windows_ms
from tests.serving import Server, running_server

pytestmark = pytest.mark.timeout(120)

CLINIC, DOCTOR = "Nguyễn Thị Bí Mật", "Тайная Анна"
CHAT, MARK, RENAMED = "bệnh nhân có sỏi túi mật", "утолщение стенки", "Nguyễn Thị Ẩn"
SIGNATURE_BYTES = 24
"""Of a frame's beginning: too long to be met in ciphertext by chance."""
CONTAINER = re.compile(rb"OpusHead|matroska|V_VP8|A_OPUS|mp4a|avcC|\x00\x00\x00.moof|\x00\x00\x00.ftyp")


def everything_under(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def spellings(text: str) -> list[bytes]:
    """As UTF-8, as UTF-16, and as JSON may escape it; a part of it is enough."""
    words = [word for word in text.split() if len(word) > 3]
    escaped = text.encode("ascii", "backslashreplace")
    return [text.encode(), text.encode("utf-16-le"), escaped, *(word.encode() for word in words)]


def beginnings_of_frames(server: Server) -> list[bytes]:
    """The first bytes of every part and what lies at many places within it, opened with the server's own keys."""
    found: list[bytes] = []
    with recordings(server) as readers:
        for reader in readers:
            for track in reader.tracks:
                for entry in track.parts:
                    body = track.read(entry.number)
                    assert body
                    places = range(
                        0, max(len(body) - SIGNATURE_BYTES, 1), max(len(body) // 8, SIGNATURE_BYTES)
                    )
                    found += [body[at : at + SIGNATURE_BYTES] for at in places]
    return found


def look_through(server: Server) -> None:
    files = everything_under(server.data_dir)
    kept = {path.relative_to(server.data_dir) for path in files}
    assert any(path.parts[0] == "recordings" and path.suffix == ".parts" for path in kept)
    secrets = [spelling for text in (CLINIC, DOCTOR, CHAT, MARK, RENAMED) for spelling in spellings(text)]
    frames = beginnings_of_frames(server)
    assert len(frames) > 20
    for path, content in files.items():
        where = path.relative_to(server.data_dir)
        for number, secret in enumerate(secrets):
            assert secret not in content, f"secret {number} stands in {where}"
        assert CONTAINER.search(content) is None, f"something that can be played lies in {where}"
        for frame in frames:
            assert frame not in content, f"a frame lies in {where}"
        for text in (CLINIC, DOCTOR, CHAT):
            assert text.split()[0].lower() not in str(where).lower()


async def test_no_frame_no_name_and_no_word_of_a_recorded_session_lies_in_the_clear(
    tmp_path: Path, cine: Cine, sound: Samples
) -> None:
    with running_server(tmp_path / "data") as server:
        tokens = server.create_session("Hội chẩn", "--record", "auto", "--consent")["tokens"]
        tracks = {"ultrasound": CineTrack(cine), "microphone": VoiceTrack(sound)}
        clinic = Participant(server.address, tokens["satellite"], CLINIC, tracks=tracks, receive=False)
        doctor = Participant(server.address, tokens["hub"], DOCTOR)
        async with clinic.taking_part(), doctor.taking_part():
            await doctor.until(lambda: doctor.recording)
            await clinic.request("sendChat", text=CHAT)
            await doctor.request("addMark", text=MARK)
            await clinic.request("setName", name=RENAMED)
            await pictures(await receive(doctor, "ultrasound", clinic.id), 60)
            await until_recorded(
                server, lambda found: bool(found) and len(windows_ms(found[-1], clinic.id, "ultrasound")) >= 3
            )
            look_through(server)
            await doctor.request("endSession")
            await until_recorded(server, lambda found: bool(found) and all(r.sealed for r in found))
        assert server.process is not None
        look_through(server)
        server.stop()
        look_through(server)
        with recordings(server) as (reader,):
            said = str(reader.events())
    # It was all kept: what is looked for above is not absent because it was never there.
    assert all(text in said for text in (CLINIC, DOCTOR, CHAT, MARK, RENAMED))


def test_what_a_recording_holds_is_found_where_it_does_lie_in_the_clear(tmp_path: Path) -> None:
    """The search itself can fail: a file with a name, and one that can be played."""
    (tmp_path / "a").write_bytes(b"..." + CLINIC.encode() + b"...")
    (tmp_path / "b").write_bytes(b"\x1aE\xdf\xa3....A_OPUS")
    files = everything_under(tmp_path)
    assert any(spelling in content for content in files.values() for spelling in spellings(CLINIC))
    assert any(CONTAINER.search(content) for content in files.values())
