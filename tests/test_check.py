"""`bridge check` finds what is wrong, and passes where nothing is."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bridge import check
from bridge.config import Settings


def outcome(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = check.run(settings, json=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    return code, {finding["name"]: finding for finding in told["findings"]}


def test_sound_installation_passes_with_a_real_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, findings = outcome(Settings(data_dir=tmp_path, port=0, media_port=0), capsys)
    assert {f["state"] for f in findings.values()} <= {"good", "warning"}, findings
    assert {"picture", "movement", "sound", "relay"} <= findings.keys()
    assert code == 0


def test_data_folder_that_cannot_be_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    code, findings = outcome(Settings(data_dir=in_the_way / "data", port=0, media_port=0), capsys)
    assert findings["data folder"]["state"] == "failed"
    assert findings["data folder"]["todo"]
    assert code == 1


def test_missing_page_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "FOLDER", tmp_path / "nothing")
    code, findings = outcome(Settings(data_dir=tmp_path, port=0, media_port=0), capsys)
    assert findings["page"]["state"] == "failed"
    assert code == 1


def test_taken_port_is_told_with_its_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        settings = Settings(
            data_dir=tmp_path, port=0, media_host="127.0.0.1", media_port=other.getsockname()[1]
        )
        code, findings = outcome(settings, capsys)
    assert findings["media port"]["state"] == "warning"
    assert "another port" in findings["media port"]["todo"]
    assert code == 0
