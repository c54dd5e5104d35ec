"""Objects go from Debian's Orthanc to a whole server and back, over the network and over the web, with every pixel."""

from __future__ import annotations

import io
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from bridge.imaging.parsing import parse
from tests.imaging.corpus import ct_slice, valid
from tests.imaging.dimse import DCMTK, WAIT_S
from tests.imaging.orthanc import TITLE, Orthanc
from tests.imaging.webclients import Web, parts_of, staff_token
from tests.serving import free_port, running_server

ANONYMOUS = "explicit_VR-UN.dcm"
"""Its UIDs are of an unknown sort, and Orthanc announces it over the network without any."""
UNREADABLE = "SC_rgb_jpeg.dcm"
"""To Orthanc."""


@dataclass
class Pair:
    orthanc: Orthanc
    web: Web
    dicom_port: int


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """An empty server and an empty Orthanc that know each other."""
    orthanc, port = Orthanc(tmp_path / "orthanc"), free_port()
    peers = f"{TITLE}=127.0.0.1:{orthanc.dicom_port},MOVER=127.0.0.1"
    with running_server(
        tmp_path / "data", settings={"dicom_port": str(port), "dicom_peers": peers}
    ) as server:
        web = Web(server, staff_token(server))
        orthanc.settings |= {
            "DicomModalities": {"bridge": ["BRIDGE", "127.0.0.1", port]},
            "UnknownSopClassAccepted": True,
            "DicomWeb": {
                "Enable": True,
                "Servers": {
                    "bridge": {
                        "Url": web.url + "/",
                        "HttpHeaders": {"Authorization": f"Bearer {web.token}"},
                    }
                },
            },
        }
        try:
            orthanc.start()
            yield Pair(orthanc, web, port)
        finally:
            orthanc.stop()


def objects(*without: str) -> dict[str, bytes]:
    """By SOPInstanceUID; of those that there are in several forms the first."""
    found: dict[str, bytes] = {}
    for path in valid():
        if path.name not in (UNREADABLE, *without):
            content = path.read_bytes()
            found.setdefault(parse(content).note.sop_instance, content)
    return found


def given_to(orthanc: Orthanc, contents: dict[str, bytes]) -> list[str]:
    """Orthanc's ids of those."""
    return [orthanc.ask("POST", "/instances", data=content)["ID"] for content in contents.values()]


def held_by(web: Web) -> dict[str, bytes]:
    """All that a server gives to who fetches every study."""
    studies = [row["0020000D"]["Value"][0] for row in web.get("/studies").json()]
    contents = [content for study in studies for _, content in parts_of(web.get(f"/studies/{study}"))]
    return {parse(content).note.sop_instance: content for content in contents}


def pixels_are_equal(one: bytes, other: bytes) -> bool:
    first, second = parse(one).note, parse(other).note
    if first.transfer_syntax == second.transfer_syntax:
        return first.pixel_sha256 == second.pixel_sha256
    # Orthanc unpacks what it finds no context for.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arrays = [pydicom.dcmread(io.BytesIO(each)).pixel_array.tobytes() for each in (one, other)]
    return arrays[0] == arrays[1]


def require_same(got: dict[str, bytes], sent: dict[str, bytes]) -> None:
    assert got.keys() == sent.keys()
    assert [uid for uid in sent if not pixels_are_equal(sent[uid], got[uid])] == []


def test_orthanc_stores_every_object_over_the_network(pair: Pair) -> None:
    sent = objects(ANONYMOUS)
    wish = {"Resources": given_to(pair.orthanc, sent), "Synchronous": True}
    done = pair.orthanc.ask("POST", "/modalities/bridge/store", json=wish)
    assert done["FailedInstancesCount"] == 0
    require_same(held_by(pair.web), sent)


def test_orthanc_stores_every_object_over_the_web(pair: Pair) -> None:
    sent = objects()
    wish = {"Resources": given_to(pair.orthanc, sent), "Synchronous": True}
    pair.orthanc.ask("POST", "/dicom-web/servers/bridge/stow", json=wish)
    got = held_by(pair.web)
    require_same(got, sent)
    assert {
        parse(got[uid]).note.transfer_syntax == parse(sent[uid]).note.transfer_syntax for uid in sent
    } == {True}


def test_orthanc_is_sent_studies_over_the_network(pair: Pair) -> None:
    sent = objects(ANONYMOUS)
    assert pair.web.send(*sent.values()).status_code == 200
    for study in {parse(content).note.study for content in sent.values()}:
        command = [f"{DCMTK}movescu", "-S", "-aet", "MOVER", "-aec", "BRIDGE", "-aem", TITLE]
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        done = subprocess.run(
            [*command, *keys, "127.0.0.1", str(pair.dicom_port)],
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    require_same(held_by_orthanc(pair.orthanc), sent)


def test_orthanc_fetches_studies_over_the_web(pair: Pair) -> None:
    sent = objects()
    assert pair.web.send(*sent.values()).status_code == 200
    studies = sorted({parse(content).note.study for content in sent.values()})
    wish = {"Resources": [{"Study": study} for study in studies], "Synchronous": True}
    pair.orthanc.ask("POST", "/dicom-web/servers/bridge/retrieve", json=wish)
    require_same(held_by_orthanc(pair.orthanc), sent)


def test_what_comes_back_from_orthanc_is_the_same_object(pair: Pair) -> None:
    content = ct_slice(1, "1.2.826.0.1.3680043.8.498.55", "1.2.826.0.1.3680043.8.498.55.1", side=64)
    assert pair.web.send(content).status_code == 200
    wish = {"Resources": [{"Study": parse(content).note.study}], "Synchronous": True}
    pair.orthanc.ask("POST", "/dicom-web/servers/bridge/retrieve", json=wish)
    back = {"Resources": pair.orthanc.instances(), "Synchronous": True}
    assert pair.orthanc.ask("POST", "/modalities/bridge/store", json=back)["FailedInstancesCount"] == 0
    pair.orthanc.ask("POST", "/dicom-web/servers/bridge/stow", json=back)
    assert held_by(pair.web) == {parse(content).note.sop_instance: content}


def held_by_orthanc(orthanc: Orthanc) -> dict[str, bytes]:
    contents = [orthanc.file(instance) for instance in orthanc.instances()]
    return {parse(content).note.sop_instance: content for content in contents}
