"""What keeping and giving studies costs, side by side with Debian's Orthanc on the same machine in one run.

Both are whole servers in processes of their own, with data folders on the same disk, and are driven by the same
clients: dcmtk's `storescu` over one and four associations, and plain HTTP over one and four connections. Ours encrypts
everything and acknowledges what is durable; Orthanc does neither. Orthanc holds small packets back as it is shipped; it
is measured so too, but compared as it is with `TCP_NODELAY`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import data_store
import psutil
import pydicom

from tests.imaging.corpus import ct_slice
from tests.imaging.orthanc import TITLE, running_orthanc
from tests.imaging.webclients import body_of, staff_token
from tests.serving import free_port, running_server

CALLING = "BENCH"
OBJECTS = 300
STOW_AT_ONCE = 10
CINE = Path(data_store.__file__).parent / "data" / "color3d_jpeg_baseline.dcm"
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
JPEG = 'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50'
JSON = "application/dicom+json"
ASKED = 5
"""How often metadata and lists are asked for again; the first time, when nothing is remembered, is what counts."""
WAIT_S = 300.0


@dataclass(frozen=True)
class Study:
    """Made slices of a CT, each in a file too."""

    uid: str
    series: str
    folder: Path
    instances: list[str]

    @classmethod
    def make(cls, folder: Path, objects: int) -> Study:
        root = f"2.25.{uuid.uuid4().int}"
        series, instances = root + ".1", []
        for number in range(1, objects + 1):
            content = ct_slice(number, root, series)
            instances.append(
                str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID)
            )
            (folder / f"{number:04}.dcm").write_bytes(content)
        return cls(root, series, folder, instances)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@dataclass
class Subject:
    """A server that is measured. `root` is the path of its DICOMweb."""

    name: str
    title: str
    dicom_port: int
    http_port: int
    root: str
    process: int
    headers: dict[str, str] = field(default_factory=dict)

    def connection(self) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=WAIT_S)
        made.connect()
        return made

    def get(self, line: http.client.HTTPConnection, path: str, accept: str) -> bytes:
        packing = {"Accept-Encoding": "gzip"} if accept == JSON else {}
        line.request("GET", self.root + path, headers={"Accept": accept, **packing, **self.headers})
        answer = line.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{self.name} answered {answer.status} to {path.rpartition('/')[2]}")
        return content

    @property
    def memory_mb(self) -> float:
        """Of all its processes; what several share counts once."""
        own = psutil.Process(self.process)
        return sum(each.memory_full_info().pss for each in (own, *own.children(recursive=True))) / 1e6


# --- the two servers -------------------------------------------------------------------------------------------------


@contextmanager
def bridge(folder: Path) -> Iterator[Subject]:
    port = free_port()
    settings = {"dicom_port": str(port), "dicom_peers": f"{CALLING}=127.0.0.1"}
    with running_server(folder / "bridge", settings=settings) as server:
        assert server.process is not None
        headers = {"Authorization": f"Bearer {staff_token(server)}"}
        yield Subject("Bridge", "BRIDGE", port, server.port, "/dicom-web", server.process.pid, headers)


@contextmanager
def orthanc(folder: Path, *, at_once: bool) -> Iterator[Subject]:
    name = "Orthanc" if at_once else "Orthanc as shipped"
    with running_orthanc(folder / name.replace(" ", ""), at_once=at_once) as server:
        assert server.process is not None
        yield Subject(name, TITLE, server.dicom_port, server.http_port, "/dicom-web", server.process.pid)


# --- sending ---------------------------------------------------------------------------------------------------------


def store(subject: Subject, files: Sequence[Path], associations: int) -> float:
    """Objects a second over so many associations at once."""
    environment = {**os.environ, "TCP_NODELAY": "1"}
    began_s = time.monotonic()
    senders = [
        subprocess.Popen(
            [
                *("/usr/bin/storescu", "-aet", CALLING, "-aec", subject.title),
                *("127.0.0.1", str(subject.dicom_port)),
                *map(str, files[number::associations]),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for number in range(associations)
    ]
    if any(sender.wait(WAIT_S) for sender in senders):
        raise SystemExit(f"{subject.name} did not take everything")
    return len(files) / (time.monotonic() - began_s)


def stow(subject: Subject, files: Sequence[Path], at_once: int) -> float:
    """Objects a second over one connection, some in each request."""
    requests = [
        body_of(file.read_bytes() for file in files[at : at + at_once])
        for at in range(0, len(files), at_once)
    ]
    line = subject.connection()
    began_s = time.monotonic()
    for body, type in requests:
        headers = {"Content-Type": type, "Accept": JSON, **subject.headers}
        line.request("POST", f"{subject.root}/studies", body, headers)
        answer = line.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{subject.name} answered {answer.status} to STOW")
    return len(files) / (time.monotonic() - began_s)


# --- asking ----------------------------------------------------------------------------------------------------------


def frames(subject: Subject, paths: Sequence[str], accept: str, connections: int, least_bytes: int) -> float:
    """Frames a second, each in a request of its own."""
    lines = [subject.connection() for _ in range(connections)]
    short: list[str] = []

    def fetch(number: int) -> None:
        for path in paths[number::connections]:
            if len(subject.get(lines[number], path, accept)) < least_bytes:
                short.append(path)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(connections)]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    if short:
        raise SystemExit(f"{subject.name} gave less than a frame")
    return len(paths) / (time.monotonic() - began_s)


def asking_ms(subject: Subject, path: str) -> tuple[float, float]:
    """Milliseconds of the first time, and of the middle one of those after it."""
    line = subject.connection()
    took_ms = []
    for _ in range(1 + ASKED):
        began_s = time.monotonic()
        subject.get(line, path, JSON)
        took_ms.append(1000 * (time.monotonic() - began_s))
    return took_ms[0], statistics.median(took_ms[1:])


# --- all of it -------------------------------------------------------------------------------------------------------


def measured(subject: Subject, studies: Sequence[Study], say: Callable[[str], None]) -> dict[str, float]:
    one, four, web = studies
    found: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        found[name] = value
        say(f"{subject.name}: {name} {value:.1f}")

    note("store_1", store(subject, one.files, 1))
    note("store_4", store(subject, four.files, 4))
    note("stow", stow(subject, web.files, STOW_AT_ONCE))
    first_ms, middle_ms = asking_ms(subject, f"/studies/{one.uid}/metadata")
    note("metadata_ms", first_ms)
    say(f"{subject.name}: metadata again {middle_ms:.1f}")
    first_ms, middle_ms = asking_ms(subject, f"/studies/{one.uid}/instances")
    note("qido_ms", first_ms)
    say(f"{subject.name}: qido again {middle_ms:.1f}")
    for name, study, connections in (("frames_1", one, 1), ("frames_4", four, 4)):
        paths = [
            f"/studies/{study.uid}/series/{study.series}/instances/{uid}/frames/1" for uid in study.instances
        ]
        note(name, frames(subject, paths, OCTETS, connections, 512 * 512 * 2))
    note("cine", cine(subject))
    note("rss_mb", subject.memory_mb)
    return found


def cine(subject: Subject) -> float:
    stow(subject, [CINE], 1)
    dataset = pydicom.dcmread(CINE, stop_before_pixels=True)
    where = f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
    where += f"/instances/{dataset.SOPInstanceUID}/frames"
    return frames(
        subject, [f"{where}/{number}" for number in range(1, int(dataset.NumberOfFrames) + 1)], JPEG, 1, 1000
    )


def compared(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, dict[str, float]]:
    told = {}
    for name, value in ours.items():
        is_cost = re.search(r"_(ms|mb)$", name) is not None
        ratio = theirs[name] / value if is_cost else value / theirs[name]
        told[name] = {"bridge": round(value, 1), "orthanc": round(theirs[name], 1), "ratio": round(ratio, 2)}
    order = ("store_1", "store_4", "stow", "frames_1", "frames_4", "cine", "metadata_ms", "qido_ms", "rss_mb")
    return {name: told[name] for name in order}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=OBJECTS, help="slices of each study")
    parser.add_argument(
        "--only", choices=("bridge", "orthanc"), help="measures one of them, compares nothing"
    )
    chosen = parser.parse_args()

    def say(words: str) -> None:
        print(words, flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-imaging-") as name:
        folder = Path(name)
        studies = []
        for number in range(3):
            (folder / f"study{number}").mkdir()
            studies.append(Study.make(folder / f"study{number}", chosen.objects))
        results = []
        if chosen.only != "orthanc":
            with bridge(folder) as subject:
                results.append(measured(subject, studies, say))
        if chosen.only != "bridge":
            with orthanc(folder, at_once=True) as subject:
                results.append(measured(subject, studies, say))
            with orthanc(folder, at_once=False) as subject:
                say(f"{subject.name}: store_1 {store(subject, studies[0].files[:60], 1):.1f}")
        say(f"load of the machine: {os.getloadavg()[0]:.1f}")
        if len(results) == 2:
            print(json.dumps(compared(results[0], results[1])))


if __name__ == "__main__":
    main()
