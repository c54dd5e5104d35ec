"""Objects in pieces against a real server: whole over lines that break, and hostile pieces change nothing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.uid import generate_uid

from bridge.imaging.unfinished import PIECE_LEAST_BYTES, PIECE_MOST_BYTES
from tests.imaging.corpus import ct_slice
from tests.imaging.webclients import Web, parts_of, staff_token
from tests.serving import Server, running_server

PIECE = 256 * 1024


class Sender(Web):
    """One who sends in pieces."""

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        url = f"{self.server.address}/api/studies{path}"
        return requests.request(method, url, headers=headers, timeout=60, **more)

    def begin(self, content: bytes, key: str = "key-of-this-object", **changes: object) -> requests.Response:
        return self.call("POST", "/uploads", json={"key": key, "sizeBytes": len(content), **changes})

    def piece(self, upload: str, offset: int, content: bytes, **headers: str) -> requests.Response:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        own = {
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {digest}",
        }
        return self.call("PATCH", f"/uploads/{upload}", data=content, headers=own | headers)

    def offset(self, upload: str) -> int:
        return int(self.call("HEAD", f"/uploads/{upload}").headers["Upload-Offset"])

    def send_all(self, content: bytes, key: str = "key-of-this-object") -> dict[str, Any]:
        """What became of it."""
        begun = self.begin(content, key).json()
        answer: requests.Response | None = None
        for offset in range(begun["offset"], len(content), PIECE):
            answer = self.piece(begun["upload"], offset, content[offset : offset + PIECE])
            assert answer.status_code == 200, answer.text
        assert answer is not None
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("pieces") / "data") as server:
        yield server


@pytest.fixture
def clinic(server: Server) -> Sender:
    return Sender(server, server.create_session()["tokens"]["satellite"])


def large() -> tuple[str, bytes]:
    study = generate_uid()
    return study, ct_slice(1, study, generate_uid(), side=1024)


def test_an_object_comes_in_pieces_and_is_there_byte_by_byte(clinic: Sender) -> None:
    study, content = large()
    assert clinic.send_all(content)["outcome"] == {"kept": True}
    instances = clinic.call("GET", f"/{study}/instances").json()["instances"]
    assert len(instances) == 1
    series = clinic.get(f"/studies/{study}/instances").json()[0]["0020000E"]["Value"][0]
    got = clinic.get(f"/studies/{study}/series/{series}/instances/{instances[0]}")
    assert parts_of(got)[0][1] == content


def test_an_answer_that_was_lost_is_told_again(clinic: Sender) -> None:
    _, content = large()
    told = clinic.send_all(content)
    again = clinic.begin(content)
    assert again.status_code == 200
    assert again.json()["offset"] == len(content)
    assert clinic.piece(again.json()["upload"], len(content), b"").json() == told


def test_who_comes_back_goes_on_where_it_was(clinic: Sender) -> None:
    study, content = large()
    begun = clinic.begin(content)
    assert begun.status_code == 201
    upload = begun.json()["upload"]
    assert clinic.piece(upload, 0, content[:PIECE]).status_code == 200
    # The line breaks in the middle of a piece.
    head = (
        f"PATCH /api/studies/uploads/{upload} HTTP/1.1\r\nHost: {clinic.server.host}\r\n"
        f"Content-Length: {PIECE}\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: {PIECE}\r\n"
        f"Upload-Checksum: sha256 {'A' * 43}=\r\nAuthorization: Bearer {clinic.token}\r\n\r\n"
    )
    with socket.create_connection((clinic.server.host, clinic.server.port)) as line:
        line.sendall(head.encode() + content[PIECE : PIECE + 1000])
    assert clinic.offset(upload) == PIECE
    assert clinic.begin(content).json() == begun.json() | {"offset": PIECE}
    assert clinic.send_all(content)["outcome"] == {"kept": True}
    assert len(clinic.get(f"/studies/{study}/instances").json()) == 1


def test_a_piece_twice_is_told_where_to_go_on(clinic: Sender) -> None:
    _, content = large()
    upload = clinic.begin(content).json()["upload"]
    assert clinic.piece(upload, 0, content[:PIECE]).status_code == 200
    again = clinic.piece(upload, 0, content[:PIECE])
    assert again.status_code == 409
    assert again.headers["Upload-Offset"] == str(PIECE)
    assert again.json()["error"]["code"] == "conflict"


@pytest.mark.parametrize(
    ("headers", "size_bytes", "status", "code"),
    [
        ({"Upload-Offset": "-1"}, PIECE, 400, "malformed"),
        ({"Upload-Offset": "9" * 30}, PIECE, 400, "malformed"),
        ({"Upload-Offset": "1e3"}, PIECE, 400, "malformed"),
        ({"Upload-Offset": "٣"}, PIECE, 400, "malformed"),
        ({"Upload-Offset": str(2**50)}, PIECE, 409, "conflict"),
        ({"Upload-Checksum": ""}, PIECE, 400, "malformed"),
        ({"Upload-Checksum": "md5 AAAA"}, PIECE, 400, "malformed"),
        ({"Upload-Checksum": "sha256 %%%"}, PIECE, 400, "malformed"),
        ({"Upload-Checksum": f"sha256 {'A' * 43}="}, PIECE, 422, "damaged"),
        ({"Content-Type": "application/dicom"}, PIECE, 415, "wrongType"),
        ({"Content-Encoding": "gzip"}, PIECE, 415, "wrongType"),
        ({}, PIECE_LEAST_BYTES - 1, 400, "malformed"),
        ({}, 0, 400, "malformed"),
        ({}, PIECE_MOST_BYTES + 1, 413, "tooLarge"),
    ],
)
def test_a_hostile_piece_changes_nothing(
    clinic: Sender, headers: dict[str, str], size_bytes: int, status: int, code: str
) -> None:
    content = bytes(PIECE_MOST_BYTES * 2)
    upload = clinic.begin(content).json()["upload"]
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = clinic.piece(upload, 0, content[:size_bytes], **encoded)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert clinic.offset(upload) == 0


def test_a_piece_longer_than_the_object_is_refused(clinic: Sender) -> None:
    upload = clinic.begin(bytes(PIECE)).json()["upload"]
    assert clinic.piece(upload, 0, bytes(PIECE + 1)).status_code == 400
    assert clinic.offset(upload) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sizeBytes": 0}, 400),
        ({"sizeBytes": -5}, 400),
        ({"sizeBytes": (1 << 30) + 1}, 413),
        ({"sizeBytes": "many"}, 400),
        ({"key": "../../etc/passwd-and-more"}, 400),
        ({"key": "short"}, 400),
    ],
)
def test_what_cannot_be_an_object_is_not_begun(clinic: Sender, body: dict[str, object], status: int) -> None:
    assert clinic.begin(b"a", **body).status_code == status  # type: ignore[arg-type]


def test_nobody_else_has_a_hand_in_it(server: Server, clinic: Sender) -> None:
    _, content = large()
    upload = clinic.begin(content).json()["upload"]
    others = server.create_session("Another")["tokens"]
    for other in (Sender(server, others["hub"]), Sender(server, staff_token(server))):
        assert other.call("HEAD", f"/uploads/{upload}").status_code == 404
        assert other.piece(upload, 0, content[:PIECE]).status_code == 404
        assert other.call("DELETE", f"/uploads/{upload}").status_code == 404
    viewer = Sender(server, others["viewer"])
    assert viewer.begin(content).status_code == 403
    assert requests.post(f"{server.address}/api/studies/uploads", timeout=30).status_code == 401
    assert clinic.call("DELETE", f"/uploads/{upload}").status_code == 204
    assert clinic.call("HEAD", f"/uploads/{upload}").status_code == 404


def test_a_piece_of_what_was_forgotten_meanwhile_is_told_so(server: Server, clinic: Sender) -> None:
    _, content = large()
    upload = clinic.begin(content).json()["upload"]
    piece = content[:PIECE]
    digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
    head = (
        f"PATCH /api/studies/uploads/{upload} HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\n"
        f"Content-Length: {PIECE}\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
        f"Upload-Checksum: sha256 {digest}\r\nAuthorization: Bearer {clinic.token}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port), timeout=30) as line:
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 100")
        line.sendall(piece[:-1])
        assert clinic.call("DELETE", f"/uploads/{upload}").status_code == 204
        line.sendall(piece[-1:])
        answer = b"".join(iter(lambda: line.recv(4096), b""))
    assert b" 404 " in answer.partition(b"\r\n")[0]
    assert b'"notFound"' in answer


def test_what_is_no_dicom_is_said_once_it_is_whole(clinic: Sender) -> None:
    told = clinic.send_all(os.urandom(3 * PIECE))
    assert told["outcome"]["kept"] is False
    assert told["outcome"]["code"] == "wrongType"
    assert told["outcome"]["text"].endswith(".")


def test_anothers_study_cannot_be_added_to(server: Server, clinic: Sender) -> None:
    study, content = large()
    assert clinic.send_all(content)["outcome"] == {"kept": True}
    stranger = Sender(server, server.create_session("Another")["tokens"]["hub"])
    assert stranger.call("GET", f"/{study}/instances").status_code == 404
    assert stranger.send_all(ct_slice(2, study, generate_uid(), side=512))["outcome"]["code"] == "notAllowed"
    assert len(clinic.call("GET", f"/{study}/instances").json()["instances"]) == 1


def test_nothing_is_in_the_clear_while_it_waits(server: Server, clinic: Sender) -> None:
    content = b"PATIENT^IN^THE^CLEAR" * 100_000
    upload = clinic.begin(content).json()["upload"]
    assert clinic.piece(upload, 0, content[:PIECE]).status_code == 200
    assert server.process is not None
    held = dict(open_files(server.process.pid, server.data_dir))
    waiting = [data for path, data in held.items() if "(deleted)" in path]
    assert any(PIECE <= len(data) < PIECE + 64 for data in waiting)
    assert not any(b"IN^THE^CLEAR" in data for data in held.values())


def open_files(pid: int, folder: Path) -> Iterator[tuple[str, bytes]]:
    """What a process holds open of a folder; what it closes meanwhile is left out."""
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            path = os.readlink(each)
            if str(folder) in path:
                yield f"{each.name} {path}", each.read_bytes() if each.stat().st_size else b""


def test_a_disk_without_room_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", str(folder)], check=True)
    try:
        with running_server(folder / "data") as server:
            clinic = Sender(server, server.create_session()["tokens"]["satellite"])
            _, content = large()
            assert clinic.begin(bytes(8 << 20)).status_code == 507
            begun = clinic.begin(content)
            assert begun.status_code == 201
            room = os.statvfs(folder)
            (folder / "full").write_bytes(bytes(room.f_bavail * room.f_frsize - PIECE // 2))
            full = clinic.piece(begun.json()["upload"], 0, content[:PIECE])
            assert (full.status_code, full.json()["error"]["code"]) == (507, "storageFailed")
            (folder / "full").unlink()
            assert clinic.send_all(content)["outcome"] == {"kept": True}
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_server_that_died_begins_anew(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        clinic = Sender(server, server.create_session()["tokens"]["satellite"])
        _, content = large()
        upload = clinic.begin(content).json()["upload"]
        assert clinic.piece(upload, 0, content[:PIECE]).status_code == 200
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.start()
        assert clinic.call("HEAD", f"/uploads/{upload}").status_code == 404
        assert clinic.send_all(content)["outcome"] == {"kept": True}


def test_slow_pieces_of_one_leave_room_for_others(server: Server, clinic: Sender) -> None:
    content = bytes(4 * PIECE)
    upload = clinic.begin(content).json()["upload"]
    head = (
        f"PATCH /api/studies/uploads/{upload} HTTP/1.1\r\nHost: {server.host}\r\n"
        f"Content-Length: {PIECE}\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
        f"Upload-Checksum: sha256 {'A' * 43}=\r\nAuthorization: Bearer {clinic.token}\r\n\r\n"
    )
    lines = [socket.create_connection((server.host, server.port)) for _ in range(3)]
    try:
        for line in lines:
            line.sendall(head.encode())
        deadline_s = time.monotonic() + 20
        wrong = {"Upload-Checksum": f"sha256 {'A' * 43}="}
        while (answer := clinic.piece(upload, 0, content[:PIECE], **wrong)).status_code != 429:
            assert answer.status_code == 422
            assert time.monotonic() < deadline_s
        other = Sender(server, server.create_session("Another")["tokens"]["satellite"])
        _, object = large()
        assert other.send_all(object)["outcome"] == {"kept": True}
    finally:
        for line in lines:
            line.close()
