"""A whole server that takes in studies over the network: to the session of their point, and through its own death."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from pynetdicom import AE

from bridge.imaging.archive import Archive
from bridge.imaging.parsing import parse
from bridge.imaging.workers import Workers
from bridge.store import Store, sqlite_url
from tests.imaging.corpus import archive_in, ct_slice
from tests.imaging.dimse import CALLING, DCMTK, TITLE, WAIT_S, Sender, context, dataset_of, until
from tests.serving import Server, free_port, running_server

STUDY = "1.2.826.0.1.3680043.8.498.77"
KILLS = 3


def with_dicom(*peers: str) -> dict[str, str]:
    return {"dicom_port": str(free_port()), "dicom_peers": ",".join(peers)}


def slices(first: int, count: int) -> list[bytes]:
    return [ct_slice(number, STUDY, STUDY + ".1", side=128) for number in range(first, first + count)]


def echoes(port: str) -> bool:
    command = [DCMTK + "echoscu", "-aet", CALLING, "-aec", TITLE, "127.0.0.1", port]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False).returncode == 0


def opened(port: str, like: bytes) -> Sender:
    note = parse(like).note
    ae = AE(ae_title=CALLING)
    ae.dimse_timeout = WAIT_S
    association = ae.associate(
        "127.0.0.1", int(port), contexts=[context(note.sop_class, note.transfer_syntax)], ae_title=TITLE
    )
    assert association.is_established
    return Sender(association)


def sent(sender: Sender, contents: list[bytes], acknowledged: list[bytes], enough: threading.Event) -> None:
    for content in contents:
        if sender.send(content) != 0:
            break
        acknowledged.append(content)
        if len(acknowledged) % 20 == 10:
            enough.set()
    sender.close()


def kept(archive: Archive) -> dict[str, bytes]:
    (entry,) = archive.catalogue.all()
    with archive.open(entry.id) as reader:
        return {one.note.sop_instance: b"".join(reader.iterate(one)) for one in reader.instances()}


@pytest.mark.timeout(150)
def test_what_was_acknowledged_outlives_the_server(tmp_path: Path) -> None:
    settings = with_dicom(f"{CALLING}=127.0.0.1")
    server = Server(tmp_path / "data", settings=settings)
    acknowledged: list[bytes] = []
    for round in range(KILLS):
        server.start()
        until(lambda: echoes(settings["dicom_port"]), "it takes associations")
        contents = slices(1 + round * 100, 100)
        enough = threading.Event()
        sender = opened(settings["dicom_port"], contents[0])
        thread = threading.Thread(target=sent, args=(sender, contents, acknowledged, enough))
        thread.start()
        assert enough.wait(WAIT_S)
        server.stop(signal.SIGKILL)
        thread.join(2 * WAIT_S)
        assert not thread.is_alive()
    workers = Workers(1)
    try:
        # As after a start; the database has another name in the tests' own archives.
        (tmp_path / "data" / "bridge.sqlite").symlink_to(tmp_path / "data" / "bridge.db")
        with archive_in(tmp_path / "data", workers) as archive:
            stored = {uid: dataset_of(file) for uid, file in kept(archive).items()}
    finally:
        workers.close()
    assert len(acknowledged) >= 10 * KILLS
    for content in acknowledged:
        assert stored[parse(content).note.sop_instance] == dataset_of(content)


def test_a_study_goes_to_the_session_of_its_point(tmp_path: Path) -> None:
    settings = with_dicom(f"{CALLING}=127.0.0.1/Sơn La", "OTHER=127.0.0.1/Nowhere")
    with running_server(tmp_path / "data", settings=settings) as server:
        session = server.create_session("Echo", "--satellite-point", "Sơn La")
        until(lambda: echoes(settings["dicom_port"]), "it takes associations")
        acknowledged: list[bytes] = []
        contents = slices(1, 2)
        sent(opened(settings["dicom_port"], contents[0]), contents, acknowledged, threading.Event())
        assert len(acknowledged) == 2
        assert server.stop() == 0
        assert not echoes(settings["dicom_port"]), "its process is gone with it"
        assert STUDY not in server.log

    async def rows() -> list[tuple[str | None, str]]:
        store = await Store.open(sqlite_url(tmp_path / "data" / "bridge.db"))
        try:
            return [(study.session, study.point) for study in await store.list_studies()]
        finally:
            await store.close()

    assert asyncio.run(rows()) == [(session["session"], "Sơn La")]
