"""A whole server in this event loop, with a session that was recorded, and what its audit says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.audit import read_lines
from bridge.desk import MadeSession
from bridge.ids import RecordingId, RecordingState, Role
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import ref_of
from bridge.store import RecordingRecord
from tests.house import House, open_house
from tests.recordings.making import STARTED_AT_MS, Made, make_recording


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


@asynccontextmanager
async def open_kept(folder: Path) -> AsyncIterator[Kept]:
    """A server with one recording of eight seconds."""
    async with open_house(folder) as house:
        session = await house.make("Tim thai")
        yield Kept(house, await put_in(house, session), session, folder)
