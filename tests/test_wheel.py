"""The wheel alone, in an environment of its own, is a working installation: relay, page, migrations, dependencies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.serving import ROOT, free_port


@pytest.mark.timeout(600)
def test_wheel_carries_all_that_a_server_needs(tmp_path: Path) -> None:
    maturin = shutil.which("maturin", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert maturin
    built = tmp_path / "dist"
    subprocess.run(
        [maturin, "build", "--release", "--quiet", "--interpreter", sys.executable, "--out", str(built)],
        cwd=ROOT,
        check=True,
    )
    (wheel,) = built.glob("*.whl")
    place = tmp_path / "place"
    venv.create(place, with_pip=True)
    subprocess.run(
        [
            place / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "-c",
            ROOT / "requirements.lock",
            wheel,
        ],
        check=True,
    )
    settings = {
        "BRIDGE_DATA_DIR": str(tmp_path / "data"),
        "BRIDGE_PORT": str(free_port()),
        "BRIDGE_MEDIA_PORT": "0",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    checked = subprocess.run(
        [place / "bin" / "bridge", "check", "--json"],
        cwd=tmp_path,
        env={**clean, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = json.loads(checked.stdout.splitlines()[-1])
    assert found["ok"]
    assert {"page", "picture", "sound"} <= {finding["name"] for finding in found["findings"]}
