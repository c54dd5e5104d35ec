"""Debian's Orthanc with its DICOMweb plug-in as a process of its own, with its own folder and free ports."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.serving import free_port

PROGRAM = "/usr/sbin/Orthanc"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
TITLE = "ORTHANC"
START_TIMEOUT_S = 30.0


class Orthanc:
    """Started and stopped by `running_orthanc`. `folder` is for its data, configuration and log."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.http_port, self.dicom_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [PLUGIN],
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": TITLE,
            "DicomWeb": {"Enable": True},
            **settings,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def start(self, *, at_once: bool = True) -> None:
        """`at_once`: small packets are not held back, which Orthanc does as it is shipped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(self.settings))
        environment = {**os.environ, "TCP_NODELAY": "1"} if at_once else dict(os.environ)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, str(path)], stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"Orthanc did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
            self.process = None

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Its own REST interface."""
        answer = requests.request(method, self.url + path, timeout=120, **more)
        answer.raise_for_status()
        return answer.json()

    def instances(self) -> list[str]:
        """Its ids of all objects that it holds."""
        found: list[str] = self.ask("GET", "/instances")
        return found

    def file(self, instance: str) -> bytes:
        """An object as a Part 10 file."""
        answer = requests.get(f"{self.url}/instances/{instance}/file", timeout=60)
        answer.raise_for_status()
        return answer.content

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/system", timeout=2).ok
        except requests.ConnectionError:
            return False


@contextmanager
def running_orthanc(folder: Path, *, at_once: bool = True, **settings: Any) -> Iterator[Orthanc]:
    """`settings` are of its configuration file."""
    orthanc = Orthanc(folder, **settings)
    try:
        orthanc.start(at_once=at_once)
        yield orthanc
    finally:
        orthanc.stop()
