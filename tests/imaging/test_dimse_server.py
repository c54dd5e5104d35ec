"""A whole server that takes in studies over the network, to the session of their point."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from pynetdicom import AE

from bridge.imaging.parsing import parse
from bridge.store import Store, sqlite_url
from tests.imaging.corpus import ct_slice
from tests.imaging.dimse import CALLING, DCMTK, TITLE, WAIT_S, Sender, context, until
from tests.serving import free_port, running_server

STUDY = "1.2.826.0.1.3680043.8.498.77"


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


def test_a_study_goes_to_the_session_of_its_point(tmp_path: Path) -> None:
    settings = with_dicom(f"{CALLING}=127.0.0.1/Sơn La", "OTHER=127.0.0.1/Nowhere")
    with running_server(tmp_path / "data", settings=settings) as server:
        session = server.create_session("Echo", "--satellite-point", "Sơn La")
        until(lambda: echoes(settings["dicom_port"]), "it takes associations")
        contents = slices(1, 2)
        sender = opened(settings["dicom_port"], contents[0])
        assert [sender.send(content) for content in contents] == [0, 0]
        sender.close()
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
