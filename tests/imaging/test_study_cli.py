"""`bridge study`: what it prints, what it writes, beside a running server and without one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from bridge.audit import Outcome, read_lines
from bridge.audit.log import load_key
from tests.imaging.corpus import ct_slice
from tests.imaging.dimse import until
from tests.imaging.peers import STORE_TITLE, storescp
from tests.imaging.webclients import Web, staff_token
from tests.serving import ROOT, Server

pytestmark = pytest.mark.timeout(240)
"""Each command is a process of its own, and each has all of Python to load."""
STUDY, SERIES = "1.2.826.0.1.3680043.8.498.91", "1.2.826.0.1.3680043.8.498.92"
NAME, NUMBER = "Nguyen^Thi Hong", "HN-0042"


def slices() -> list[bytes]:
    return [
        ct_slice(number, STUDY, SERIES, side=48, PatientName=NAME, PatientID=NUMBER) for number in range(1, 4)
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that has a study, and runs."""
    server = Server(tmp_path / "data").start()
    try:
        assert Web(server, staff_token(server)).send(*slices()).status_code == 200
        yield server
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()


def all_audited(server: Server) -> list[dict[str, Any]]:
    folder = server.data_dir / "audit"
    return [line.content for line in read_lines(folder, load_key(folder, make=False))]


def audited(server: Server) -> list[tuple[str, str, str | None]]:
    return [(line["who"].partition(":")[0], line["event"], line.get("on")) for line in all_audited(server)]


def only(server: Server) -> dict[str, object]:
    (row,) = json.loads(server.command("study", "list", "--json"))
    return dict(row)


def test_studies_are_listed_without_names_unless_they_are_asked_for(server: Server) -> None:
    row = only(server)
    assert (row["studyInstanceUID"], row["instances"], row["modalities"]) == (STUDY, 3, ["CT"])
    for words in (["study", "list"], ["study", "show", STUDY], ["study", "show", str(row["id"]), "--json"]):
        quiet, named = server.command(*words), server.command(*words, "--names")
        assert NAME not in quiet
        assert NUMBER not in quiet
        assert NAME in named
        assert NUMBER in named
    events = audited(server)
    assert ("operator", "queried", "studies/all") in events
    assert ("operator", "objectAccessed", f"study/{row['id']}") in events
    assert "nothing such" not in server.refused("study", "show", "1.2.3")


def test_an_export_is_what_came_and_never_over_anything(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert "Wrote 3 objects" in server.command("study", "export", STUDY, "-o", str(folder))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert [str(path.relative_to(folder)) for path in files] == [f"S00001/I{n:07}" for n in (1, 2, 3)]
    assert [path.read_bytes() for path in files] == slices()
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert "not empty" in server.refused("study", "export", STUDY, "-o", str(folder))
    assert [path.read_bytes() for path in files] == slices()
    assert ("operator", "objectExported", f"study/{only(server)['id']}") in audited(server)


@pytest.mark.parametrize(
    ("command", "number", "is_there"),
    [
        ("export", signal.SIGINT, False),
        ("export", signal.SIGTERM, True),
        ("deidentify", signal.SIGINT, True),
    ],
)
def test_who_stops_an_export_finds_nothing_half_written(
    server: Server, tmp_path: Path, command: str, number: signal.Signals, is_there: bool
) -> None:
    study = "1.2.826.0.1.3680043.8.498.95"
    many = [ct_slice(each, study, study + ".1", side=512) for each in range(1, 201)]
    assert Web(server, staff_token(server)).send(*many).status_code == 200
    server.stop()
    folder = tmp_path / "out"
    if is_there:
        folder.mkdir(mode=0o700)
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "study", command, study, "-o", str(folder)],
        cwd=ROOT,
        env=server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline_s = time.monotonic() + 60
        # Without a pause: it is over within a moment.
        while not any(folder.rglob("I*")):
            assert time.monotonic() < deadline_s, "it is being written"
        process.send_signal(number)
        said, wrong = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    assert b"Wrote" not in said
    assert b"Traceback" not in wrong
    assert folder.exists() is is_there
    assert not list(folder.rglob("*"))
    outcomes = [line["outcome"] for line in all_audited(server) if line["event"] == "objectExported"]
    assert outcomes == [Outcome.BEGUN, Outcome.FAILED]


def test_what_is_damaged_is_named(server: Server) -> None:
    id = str(only(server)["id"])
    server.command("study", "verify", STUDY)
    part = next((server.data_dir / "imaging" / id).glob("*.parts"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "study", "verify"],
        cwd=ROOT,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert id in done.stdout


@pytest.mark.parametrize("is_running", [True, False])
def test_a_study_is_shredded_beside_the_server_and_without_it(server: Server, is_running: bool) -> None:
    id = str(only(server)["id"])
    if not is_running:
        server.stop()
    assert "kept until it is released" in server.command("study", "hold", STUDY)
    assert "held" in server.refused("study", "shred", STUDY, "--yes")
    server.command("study", "release", id)
    assert server.command("study", "shred", id, "--yes") == f"Shredded {id}.\n"
    assert json.loads(server.command("study", "list", "--json")) == []
    assert not list((server.data_dir / "imaging").iterdir())
    assert ("operator", "objectShredded", f"study/{id}") in audited(server)
    if is_running:
        web = Web(server, staff_token(server))
        assert web.get("/studies").json() == []
        assert web.send(*slices()).status_code == 200
    else:
        server.start()


@pytest.mark.parametrize("is_running", [True, False])
def test_a_study_is_sent_beside_the_server_and_without_it(tmp_path: Path, is_running: bool) -> None:
    with storescp(tmp_path / "got") as store:
        settings = {"dicom_peers": f"{STORE_TITLE}=127.0.0.1:{store.port}"}
        server = Server(tmp_path / "data", settings=settings).start()
        try:
            assert Web(server, staff_token(server)).send(*slices()).status_code == 200
            if not is_running:
                server.stop()
            assert "Sent 3 objects to STORESCP." in server.command(
                "study", "send", STUDY, "--to", STORE_TITLE
            )
            assert "no destination" in server.refused("study", "send", STUDY, "--to", "NOBODY")
            (listed,) = server.command("study", "jobs").splitlines()
            assert "done" in listed
            job = listed.split()[0]
            assert "over already" in server.refused("study", "stop", job)
            assert "tried again" in server.refused("study", "retry", job)
            sent = {str(pydicom.dcmread(BytesIO(each)).SOPInstanceUID) for each in slices()}
            assert set(store.received()) == sent
        finally:
            if server.process is not None:
                server.process.kill()
                server.process.wait()


@pytest.mark.parametrize("is_running", [True, False])
def test_a_copy_for_teaching_is_made_in_the_archive_or_a_folder(
    server: Server, tmp_path: Path, is_running: bool
) -> None:
    if not is_running:
        server.stop()
    said = server.command("study", "deidentify", STUDY, "--shift-dates")
    made = said.split()[1]
    assert said == f"Made {made} with 3 objects.\n"
    shown = server.command("study", "show", made, "--names")
    assert "TEACHING-1" in shown
    assert NUMBER not in shown
    folder = tmp_path / "copies"
    assert "Wrote 3 objects" in server.command("study", "deidentify", STUDY, "-o", str(folder))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        content = path.read_bytes()
        assert b"Nguyen" not in content
        assert NUMBER.encode() not in content
        assert STUDY.encode() not in content
        assert pydicom.dcmread(path).PatientIdentityRemoved == "YES"
    assert "not empty" in server.refused("study", "deidentify", STUDY, "-o", str(folder))


def test_a_job_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    contents = [ct_slice(number, STUDY, SERIES, side=256) for number in range(1, 121)]
    with storescp(tmp_path / "got") as store:
        settings = {"dicom_peers": f"{STORE_TITLE}=127.0.0.1:{store.port}"}
        server = Server(tmp_path / "data", settings=settings).start()
        try:
            web = Web(server, staff_token(server))
            assert web.send(*contents).status_code == 200
            api = f"{server.address}/api"
            headers = {"Authorization": f"Bearer {web.token}"}
            made = requests.post(
                f"{api}/studies/{STUDY}/send", json={"to": STORE_TITLE}, headers=headers, timeout=30
            )
            job = made.json()["job"]["id"]

            def told() -> dict[str, Any]:
                answer = requests.get(f"{api}/study-jobs/{job}", headers=headers, timeout=30)
                return dict(answer.json()["job"])

            until(lambda: told()["done"] > 3, "it is being sent")
            server.stop(signal.SIGKILL)
            assert len(store.received()) < len(contents)
            server.start()
            until(lambda: told()["state"] == "done", "it is sent")
            assert told()["done"] == len(contents)
            assert len(store.received()) == len(contents)
        finally:
            if server.process is not None:
                server.process.kill()
                server.process.wait()
