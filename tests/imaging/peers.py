"""Other people's archives for tests: Debian's dcmtk and Orthanc, on free ports, with their data in a folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import requests

from tests.imaging.certificates import Certificates
from tests.imaging.dimse import DCMTK, WAIT_S, until
from tests.serving import free_port

ORTHANC = "/usr/sbin/Orthanc"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
STORE_TITLE, ORTHANC_TITLE = "STORESCP", "ORTHANC"
USER, PASSWORD = "bridge", "a secret of the test"


@dataclass
class Store:
    """dcmtk's storescp."""

    port: int
    folder: Path

    def received(self) -> dict[str, pydicom.FileDataset]:
        """By SOPInstanceUID."""
        found = [pydicom.dcmread(path) for path in self.folder.iterdir()]
        return {str(dataset.SOPInstanceUID): dataset for dataset in found}


@contextmanager
def storescp(
    folder: Path, *options: str, tls: Certificates | None = None, port: int | None = None
) -> Iterator[Store]:
    """`tls` is what it is asked by whether it is there, if its options say that it speaks TLS."""
    folder.mkdir(exist_ok=True)
    port = free_port() if port is None else port
    command = [DCMTK + "storescp", "-aet", STORE_TITLE, "-od", str(folder), *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _echoes(port, STORE_TITLE, tls), "storescp listens")
        yield Store(port, folder)
    finally:
        process.kill()
        process.wait()


def _echoes(port: int, called: str, tls: Certificates | None) -> bool:
    own = ["+tls", str(tls.key), str(tls.cert), "+cf", str(tls.ca)] if tls is not None else []
    command = [DCMTK + "echoscu", *own, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False).returncode == 0


@dataclass
class Orthanc:
    """Orthanc with its DICOMweb plugin."""

    port: int
    http_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def ask(self, path: str, method: str = "GET", **more: Any) -> Any:
        response = requests.request(method, self.url + path, auth=(USER, PASSWORD), timeout=WAIT_S, **more)
        response.raise_for_status()
        return response.json() if "json" in response.headers.get("Content-Type", "") else response.content

    def files(self) -> dict[str, bytes]:
        """By SOPInstanceUID, as they are kept."""
        found = [self.ask(f"/instances/{id}/file") for id in self.ask("/instances")]
        by_uid = {}
        for content in found:
            dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content), stop_before_pixels=True)
            by_uid[str(dataset.SOPInstanceUID)] = content
        return by_uid


@contextmanager
def orthanc(folder: Path, modality_port: int, title: str) -> Iterator[Orthanc]:
    """One that knows us by this title at this port."""
    folder.mkdir(exist_ok=True)
    peer = Orthanc(free_port(), free_port())
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomAet": ORTHANC_TITLE,
        "DicomPort": peer.port,
        "HttpPort": peer.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomModalities": {"bridge": [title, "127.0.0.1", modality_port]},
        "DicomCheckCalledAet": True,
        "OverwriteInstances": False,
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        command = [ORTHANC, str(folder / "orthanc.json")]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: _is_up(peer), "Orthanc is up")
        yield peer
    finally:
        process.kill()
        process.wait()


def _is_up(peer: Orthanc) -> bool:
    try:
        return bool(peer.ask("/system"))
    except requests.RequestException:
        return False
