"""What is sent to DICOMweb: by whom, at once, again, torn, hostile; and who sees it afterwards."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest
import requests
from pydicom.uid import generate_uid

from tests.imaging.corpus import ct_slice
from tests.imaging.webclients import Web, body_of, parts_of, staff_token
from tests.serving import Server, running_server

SITE = "https://viewer.example.org"


@dataclass
class House:
    server: Server
    staff: Web
    session: dict[str, Any]

    def invited(self, role: str) -> Web:
        return Web(self.server, self.session["tokens"][role])

    def audit(self) -> list[dict[str, Any]]:
        folder = self.server.data_dir / "audit"
        return [
            json.loads(line)
            for file in sorted(folder.glob("*.jsonl"))
            for line in file.read_text().splitlines()
        ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("dicomweb")
    with running_server(folder / "data", settings={"allowed_origins": SITE}) as server:
        yield House(server, Web(server, staff_token(server)), server.create_session())


def slices(count: int, **changes: object) -> tuple[str, list[bytes]]:
    """A study of its own, and its objects."""
    study, series = generate_uid(), generate_uid()
    return study, [ct_slice(number, study, series, side=64, **changes) for number in range(1, count + 1)]


def reasons(answer: requests.Response) -> list[int]:
    told = answer.json()
    items = [*told.get("00081198", {}).get("Value", []), *told.get("0008119A", {}).get("Value", [])]
    return [item["00081197"]["Value"][0] for item in items]


def count(web: Web, study: str) -> int:
    answer = web.get(f"/studies/{study}/instances")
    return len(answer.json()) if answer.status_code == 200 else 0


# --- what is kept --------------------------------------------------------------------------------------------------


def test_the_same_object_again_is_no_failure_and_another_of_its_name_is(house: House) -> None:
    study, (first, second) = slices(2)
    assert house.staff.send(first).status_code == 200
    assert house.staff.send(first, second).status_code == 200
    dataset = pydicom.dcmread(io.BytesIO(first))
    other = first.replace(bytes(dataset.PixelData[:64]), bytes(64))
    assert other != first
    answer = house.staff.send(other)
    assert answer.status_code == 409
    assert reasons(answer) == [0x0111]
    assert count(house.staff, study) == 2
    refused = [line for line in house.audit() if line.get("detail", {}).get("conflicts")]
    assert len(refused) == 1


def test_some_that_fail_leave_the_others(house: House) -> None:
    study, (first, second) = slices(2)
    answer = house.staff.send(first, b"no DICOM at all", second[:-100], second)
    assert answer.status_code == 202
    assert reasons(answer) == [0xC000, 0xC000]
    assert len(answer.json()["00081199"]["Value"]) == 2
    assert count(house.staff, study) == 2


def test_what_is_of_another_study_is_not_taken_for_this_one(house: House) -> None:
    study, (first,) = slices(1)
    answer = house.staff.send(first, path="/studies/1.2.3")
    assert answer.status_code == 409
    assert reasons(answer) == [0xA900]
    assert count(house.staff, study) == 0
    assert house.staff.send(first, path=f"/studies/{study}").status_code == 200


@pytest.mark.parametrize(
    ("type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ('multipart/related; type="application/dicom+json"; boundary=a', b"--a--", 415),
        ('multipart/related; type="application/dicom"', b"", 400),
        ('multipart/related; type="application/dicom"; boundary=a', b"", 400),
        ('multipart/related; type="application/dicom"; boundary=a', b"--a--\r\n", 400),
        (
            'multipart/related; type="application/dicom"; boundary=a',
            b"--a\r\nContent-Type: application/dicom\r\n\r\nx",
            400,
        ),
        ('multipart/related; type="application/dicom"; boundary=a', b"--a\r\n" + b"x" * 20_000, 400),
        ('multipart/related; type="application/dicom"; boundary=a', b"x" * 200_000, 400),
        ("application/dicom", b"", 400),
        ("application/dicom", b"x", 409),
    ],
)
def test_what_is_no_upload_is_refused(house: House, type: str, body: bytes, status: int) -> None:
    answer = house.staff.ask("POST", "/studies", data=body, headers={"Content-Type": type})
    assert answer.status_code == status, answer.text


def test_one_object_may_come_without_parts(house: House) -> None:
    study, (first,) = slices(1)
    answer = house.staff.ask("POST", "/studies", data=first, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200
    assert answer.json()["00081190"]["Value"] == [f"{house.staff.url}/studies/{study}"]


def test_a_torn_upload_leaves_whole_objects_and_nothing_of_the_torn_one(house: House) -> None:
    study, (first, second) = slices(2)
    body, type = body_of([first, second])
    cut = body[:-500]
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {house.server.host}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: {type}\r\nAuthorization: Bearer {house.staff.token}\r\n\r\n"
    )
    with socket.create_connection((house.server.host, house.server.port)) as line:
        line.sendall(head.encode() + cut)
        deadline_s = time.monotonic() + 20
        while count(house.staff, study) < 1:
            assert time.monotonic() < deadline_s
    assert count(house.staff, study) == 1
    assert house.staff.send(second).status_code == 200
    assert count(house.staff, study) == 2
    lone_study, (lone,) = slices(1)
    body, type = body_of([lone])
    with socket.create_connection((house.server.host, house.server.port)) as line:
        line.sendall(head.encode() + body[:-200])
    assert house.staff.get(f"/studies/{lone_study}").status_code == 404
    assert house.staff.send(lone).status_code == 200


def test_two_who_send_the_same_study_at_once_both_succeed(house: House) -> None:
    study, objects = slices(24)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda part: house.staff.send(*part), (objects[:16], objects[8:])))
    assert [answer.status_code for answer in answers] == [200, 200]
    got = {content for _, content in parts_of(house.staff.get(f"/studies/{study}"))}
    assert got == set(objects)


def test_one_who_reads_while_objects_come_in_sees_whole_ones(house: House) -> None:
    study, objects = slices(20)
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            answer = house.staff.get(f"/studies/{study}")
            if answer.status_code == 200:
                parts = parts_of(answer)
                assert {content for _, content in parts} <= set(objects)
                seen.append(len(parts))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for each in objects:
            assert house.staff.send(each).status_code == 200
        done.set()
        reading.result(30)
    assert seen == sorted(seen)
    assert count(house.staff, study) == 20


# --- who may -------------------------------------------------------------------------------------------------------


def test_a_session_has_its_studies_and_nobody_else_sees_them(house: House) -> None:
    study, (first, second) = slices(2)
    satellite, hub = house.invited("satellite"), house.invited("hub")
    assert satellite.send(first).status_code == 200
    other = house.server.create_session("Another")
    stranger = Web(house.server, other["tokens"]["hub"])
    for web in (satellite, hub, house.invited("organiser"), house.staff):
        assert count(web, study) == 1
        assert study in {row["0020000D"]["Value"][0] for row in web.get("/studies").json()}
    assert stranger.get("/studies").json() == stranger.get("/instances").json() == []
    for path in ("", "/metadata", "/series", "/instances", "/rendered", "/thumbnail"):
        assert stranger.get(f"/studies/{study}{path}").status_code == 404
    answer = stranger.send(second)
    assert answer.status_code == 409
    assert reasons(answer) == [0x0124]
    assert count(house.staff, study) == 1
    lines = [line for line in house.audit() if line.get("on", "") and str(line["on"]).startswith("study/")]
    assert any(line["outcome"] == 4 for line in lines)


def test_what_came_from_elsewhere_is_not_the_sessions(house: House) -> None:
    study, (first, second) = slices(2)
    assert house.staff.send(first).status_code == 200
    assert house.invited("hub").get(f"/studies/{study}").status_code == 404
    assert reasons(house.invited("hub").send(second)) == [0x0124]


def test_a_viewer_sees_and_sends_nothing(house: House) -> None:
    viewer = house.invited("viewer")
    _, (first,) = slices(1)
    assert viewer.get("/studies").status_code == 403
    assert viewer.send(first).status_code == 403


def test_a_token_is_needed_and_a_revoked_one_is_none(house: House) -> None:
    made = house.server.create_session("Revoked")
    hub = Web(house.server, made["tokens"]["hub"])
    assert hub.get("/studies").status_code == 200
    assert requests.get(f"{hub.url}/studies", timeout=30).status_code == 401
    api = f"{house.server.address}/api/sessions/{made['session']}"
    headers = {"Authorization": f"Bearer {house.staff.token}"}
    shown = requests.get(api, headers=headers, timeout=30).json()
    invite = next(each["id"] for each in shown["invites"] if each["role"] == "hub")
    assert requests.delete(f"{api}/invites/{invite}", headers=headers, timeout=30).status_code == 204
    deadline_s = time.monotonic() + 10
    while hub.get("/studies").status_code == 200:
        assert time.monotonic() < deadline_s
    assert hub.get("/studies").json()["error"]["code"] == "inviteRevoked"


def test_nothing_is_sent_into_a_session_that_is_over(house: House) -> None:
    made = house.server.create_session("Over")
    hub = Web(house.server, made["tokens"]["hub"])
    study, (first, second) = slices(2)
    assert hub.send(first).status_code == 200
    headers = {"Authorization": f"Bearer {house.staff.token}"}
    ended = requests.post(
        f"{house.server.address}/api/sessions/{made['session']}/end", headers=headers, timeout=30
    )
    assert ended.status_code == 204
    assert hub.send(second).status_code == 410
    assert count(hub, study) == 1


# --- other sites, other servers' lives -----------------------------------------------------------------------------


def test_only_sites_that_are_named_may_ask_from_a_browser(house: House) -> None:
    for origin, allowed in ((SITE, True), ("https://evil.example.org", False)):
        answer = requests.options(f"{house.staff.url}/studies", headers={"Origin": origin}, timeout=30)
        assert answer.status_code == 204
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed
        assert ("Access-Control-Allow-Headers" in answer.headers) is allowed
        got = house.staff.get("/studies", headers={"Origin": origin})
        assert (got.headers.get("Access-Control-Allow-Origin") == origin) is allowed
        refused = requests.get(f"{house.staff.url}/studies", headers={"Origin": origin}, timeout=30)
        assert (refused.headers.get("Access-Control-Allow-Origin") == origin) is allowed


def test_everything_is_there_after_a_kill_and_a_stop(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        made = server.create_session()
        hub = Web(server, made["tokens"]["hub"])
        study, objects = slices(5)
        assert hub.send(*objects[:3]).status_code == 200
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.start()
        assert count(hub, study) == 3
        assert hub.send(*objects[3:]).status_code == 200
        assert server.stop() == 0
        server.start()
        assert {content for _, content in parts_of(hub.get(f"/studies/{study}"))} == set(objects)


def test_a_full_disk_is_said_and_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", str(folder)], check=True)
    try:
        with running_server(folder / "data") as server:
            web = Web(server, staff_token(server))
            study, series = generate_uid(), generate_uid()
            objects = [ct_slice(number, study, series, side=512) for number in range(1, 41)]
            statuses = []
            kept = []
            for each in objects:
                answer = web.send(each)
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    kept.append(each)
            assert set(statuses) == {200, 507}
            assert reasons(web.send(objects[-1])) in ([0xA700], [])
            got = parts_of(web.get(f"/studies/{study}"))
            assert {content for _, content in got} == set(kept)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_an_upload_larger_than_memory_allows_is_taken_piece_by_piece(house: House) -> None:
    study, series = generate_uid(), generate_uid()
    large = [ct_slice(number, study, series, side=2048) for number in range(1, 21)]
    assert house.server.process is not None
    process = psutil.Process(house.server.process.pid)
    peak_bytes = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak_bytes
        while not done.wait(0.02):
            peak_bytes = max(peak_bytes, process.memory_info().rss)

    before_bytes = process.memory_info().rss
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        answer = house.staff.send(*large)
        done.set()
        watching.result(10)
    assert answer.status_code == 200
    # Eight objects of 8 MiB are kept at one time, and one more arrives.
    assert peak_bytes - before_bytes < 120 * 1024 * 1024 < sum(map(len, large))
    got = house.staff.get(f"/studies/{study}")
    assert {content for _, content in parts_of(got)} == set(large)


def test_nothing_of_a_study_is_in_the_logs(house: House) -> None:
    study, (first,) = slices(1, PatientName="Nguyễn^Thị Lan", SpecificCharacterSet="ISO_IR 192")
    # By a token that the server did not print itself.
    staff = Web(house.server, house.server.command("staff", "link").strip().partition("#")[2])
    staff.send(first)
    staff.send(first[:-10])
    staff.get(f"/studies/{study}/metadata")
    staff.get(f"/studies/{study}/series/1.2/instances/1.3/frames/7")
    assert "Nguy" not in house.server.log  # Whatever becomes of the other letters.
    for secret in (study, "Nguyễn", staff.token):  # Shorter ones are found in sealed bytes by chance.
        assert secret not in house.server.log
        for file in house.server.data_dir.rglob("*"):
            if file.is_file() and "test.log" not in file.name:
                assert secret.encode() not in file.read_bytes(), file
