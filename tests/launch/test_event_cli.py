"""`bridge event`: points in and out, and who was there, with and without a server."""

from __future__ import annotations

import asyncio
import json
import resource
import zipfile
from pathlib import Path

import pytest

from bridge.audit import AUDIT_FOLDER, Audit, read_lines
from bridge.errors import BridgeError
from bridge.event_cli import _write
from bridge.ids import InviteId, ParticipantId, Role, SessionId
from bridge.imaging.catalogue import installation_key
from bridge.launch.presences import Presence, Presences
from bridge.launch.sealing import PURPOSE, Sealer
from bridge.store import Store, sqlite_url
from bridge.vault import Vault
from tests.commandline import Printed, Run, command_line, must_print

SHEET = "Tỉnh;Đơn vị;Điểm cầu\nSơn La;BVĐK;Hội trường\nLai Châu;TTYT;\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(data, monkeypatch, capsys)


@pytest.fixture
def printed(run: Run) -> Printed:
    return must_print(run)


@pytest.fixture
def event(printed: Printed) -> str:
    made = printed("session", "create", "--title", "Khánh thành", "--format", "event", "--json")
    return str(json.loads(made)["session"])


def test_points_are_taken_in_and_given_out_with_links(
    printed: Printed, run: Run, event: str, tmp_path: Path, data: Path
) -> None:
    sheet, out = tmp_path / "points.csv", tmp_path / "links.csv"
    sheet.write_text(SHEET)
    would = printed("event", "points", "import", event, str(sheet), "--preview")
    assert would == "2 added, 0 changed, 0 unchanged, 0 removed (nothing was done yet)\n"
    assert printed("event", "points", "import", event, str(sheet)).startswith(
        "2 added, 0 changed, 0 unchanged"
    )
    assert printed("event", "points", "export", event, str(out), "--language", "vi").startswith("2 points")
    assert out.stat().st_mode & 0o077 == 0
    assert out.read_text(encoding="utf-8-sig").count("/join#") == 2
    assert printed("event", "points", "import", event, str(out)).startswith("0 added, 0 changed, 2 unchanged")
    assert "is there already" in run("event", "points", "export", event, str(out)).stderr
    audit = Audit(data / AUDIT_FOLDER)
    events = [line.content["event"] for line in read_lines(audit.folder, audit.key)]
    assert events.count("objectImported") == 2
    assert events.count("objectExported") == 2


def test_lines_with_problems_are_told_and_nothing_is_removed_because_of_them(
    run: Run, printed: Printed, event: str, tmp_path: Path
) -> None:
    sheet = tmp_path / "points.csv"
    sheet.write_text(SHEET)
    printed("event", "points", "import", event, str(sheet))
    sheet.write_text("point\nMới\n---\n")
    refused = run("event", "points", "import", event, str(sheet), "--remove")
    assert refused.returncode == 1
    assert "line 3:" in refused.stderr
    done = run("event", "points", "import", event, str(sheet))
    assert (done.returncode, done.stdout) == (1, "1 added, 0 changed, 0 unchanged, 0 removed\n")


def test_a_consult_has_neither(run: Run, printed: Printed, tmp_path: Path) -> None:
    consult = json.loads(printed("session", "create", "--title", "Hội chẩn", "--json"))["session"]
    refused = run("event", "attendance", consult, str(tmp_path / "a.csv"))
    assert (refused.returncode, "consult" in refused.stderr) == (1, True)


def test_who_was_there_is_written_with_the_keys_of_the_installation(
    printed: Printed, event: str, tmp_path: Path, data: Path
) -> None:
    async def keep() -> None:
        store = await Store.open(sqlite_url(data / "bridge.db"))
        presences = Presences(store, Sealer(installation_key(Vault(data), PURPOSE)))
        one = Presence(
            id="a",
            session=SessionId(event),
            participant=ParticipantId("p"),
            invite=InviteId("i"),
            role=Role.VIEWER,
            point="",
            name="Nguyễn Thị Bí Mật",
            joined_at_ms=1_795_000_000_000,
            left_at_ms=1_795_000_600_000,
            seen_at_ms=1_795_000_600_000,
        )
        await presences.write([one], [])
        await store.close()

    asyncio.run(keep())
    sheet, book = tmp_path / "people.csv", tmp_path / "people.xlsx"
    assert printed("event", "attendance", event, str(sheet)).startswith("1 people")
    assert "Nguyễn Thị Bí Mật" in sheet.read_text(encoding="utf-8-sig")
    printed("event", "attendance", event, str(book), "--language", "ru")
    with zipfile.ZipFile(book) as opened:
        assert "Nguyễn Thị Bí Mật" in opened.read("xl/sharedStrings.xml").decode()


def test_a_list_that_does_not_fit_on_the_disk_is_not_left_half_written(tmp_path: Path) -> None:
    into = tmp_path / "links.csv"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(BridgeError, match="cannot be written"):
            _write(into, b"x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not into.exists()
    _write(into, b"x" * 100)
    assert into.read_bytes() == b"x" * 100
