"""What a thin link sees of a CT: bytes of a preview and of the whole, time to make them, and both over a slow line.

A real server stands at one end of a line between two network namespaces (needs root), at the other a client that
fetches four at once, as the page does. The CT has 300 slices of 512 by 512 with noise as a scanner's. The last line is
one JSON object; times over the line count from the request to the last byte, on connections that are open.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pydicom.uid import generate_uid  # noqa: E402

from bridge.imaging import parsing  # noqa: E402
from bridge.imaging.layout import decode_metadata  # noqa: E402
from bridge.imaging.pixels.jobs import STEPWISE, Job, pack, stepwise_of  # noqa: E402
from bridge.imaging.workers import Workers  # noqa: E402
from tests.imaging.corpus import ct_slice  # noqa: E402
from tests.netns.hosts import NEAR_ADDRESS, Line, two_hosts  # noqa: E402
from tests.serving import Server, running_server  # noqa: E402

SLICES = 300
SENT_AT_ONCE = 20
CONNECTIONS = 4
THIN_BPS, WIDE_BPS = 512_000, 2_000_000
DELAY_MS = 20
"""One way."""
QUEUE_MS = 300
PATIENCE_S = 120
MADE_ALONE = 40
JSON = "application/dicom+json"
TOGETHER = 30
MANY = 'multipart/related; type="image/jphc"; transfer-syntax=1.2.840.10008.1.2.4.202'
ACCEPT = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"


class Far:
    """The client at the far end: some connections that stay open. Used inside the far namespace."""

    def __init__(self, port: int, token: str, count: int) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Accept": ACCEPT, "Accept-Encoding": "gzip"}
        self._free: SimpleQueue[http.client.HTTPConnection] = SimpleQueue()
        for _ in range(count):
            connection = http.client.HTTPConnection(NEAR_ADDRESS, port, timeout=PATIENCE_S)
            connection.connect()
            self._free.put(connection)
        self.pool = ThreadPoolExecutor(count)

    def get(self, path: str, **headers: str) -> bytes:
        connection = self._free.get()
        try:
            connection.request("GET", f"/dicom-web{path}", headers=self._headers | headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status not in (200, 206):
                raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
            return body
        finally:
            self._free.put(connection)

    def timed(self, *paths: str, **headers: str) -> tuple[float, int]:
        """How long all of them take together, and how many bytes they have."""
        began_s = time.perf_counter()
        bodies = list(self.pool.map(lambda path: self.get(path, **headers), paths))
        return time.perf_counter() - began_s, sum(map(len, bodies))


def far_main(port: int, token: str, job: dict[str, Any]) -> None:
    """One measurement, as the parent asks for it on the command line; prints [seconds, bytes]."""
    far = Far(port, token, job["connections"])
    far.timed(*[job["warm"]] * job["connections"], Accept=JSON)
    print(json.dumps(far.timed(*job["paths"], **job.get("headers", {}))))


def measured(line: Line, server: Server, token: str, rate_bps: float, **job: Any) -> tuple[float, int]:
    line.set(rate_bps=rate_bps, delay_ms=DELAY_MS, queue_ms=QUEUE_MS)
    job.setdefault("connections", 1)
    words = line.far.command(sys.executable, __file__, "--far", str(server.port), token, json.dumps(job))
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE_S * 3, check=False, cwd=ROOT
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    seconds, size_bytes = json.loads(done.stdout)
    return seconds, size_bytes


def near(line: Line, script: str, *words: str) -> str:
    """What a script prints at the server's end of the line."""
    command = line.near.command(sys.executable, "-c", script, *words)
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=PATIENCE_S)
    return done.stdout


_SEND = """
import sys, time, requests
from pathlib import Path
from tests.imaging.webclients import body_of
address, token, folder, at_once = sys.argv[1:]
slices = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
session = requests.Session()
session.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/dicom+json"})
began_s = time.perf_counter()
for first in range(0, len(slices), int(at_once)):
    body, type = body_of(slices[first : first + int(at_once)])
    answer = session.post(f"{address}/dicom-web/studies", data=body, headers={"Content-Type": type}, timeout=60)
    assert answer.status_code == 200, answer.text
print(time.perf_counter() - began_s)
"""


def send(line: Line, server: Server, token: str, folder: Path) -> float:
    """Sends the files of a folder from the server's end of the line; gives the seconds that it takes."""
    return float(near(line, _SEND, server.address, token, str(folder), str(SENT_AT_ONCE)))


@contextmanager
def made_ct(folder: Path) -> Iterator[tuple[str, list[str], int]]:
    """The files of a CT in a folder in memory; gives its series' path, its slices' and the bytes of one picture."""
    study, series = generate_uid(), generate_uid()
    where = f"/studies/{study}/series/{series}"
    paths = []
    for number in range(SLICES):
        content = ct_slice(number, study, series)
        (folder / f"{number:04}.dcm").write_bytes(content)
        paths.append(f"{where}/instances/{parsing.parse(content).note.sop_instance}")
    yield where, paths, 512 * 512 * 2


def making_ms(folder: Path) -> tuple[float, int, int]:
    """Milliseconds that one worker takes for one slice, bytes of its preview and of the whole."""
    workers = Workers(1)
    try:
        took = []
        for path in sorted(folder.iterdir())[:MADE_ALONE]:
            content = path.read_bytes()
            parsed = parsing.parse(content)
            metadata = decode_metadata(parsed.metadata)
            frames = metadata.frames
            pixels = content[frames.offset : frames.offset + frames.frame_bits // 8]
            payload = pack(Job(parsed.note.transfer_syntax, metadata.dataset), pixels)
            began_s = time.perf_counter()
            made = stepwise_of(workers.call(STEPWISE, payload))
            took.append(time.perf_counter() - began_s)
        return 1000 * statistics.median(took), made.ends[-3], made.ends[-1]
    finally:
        workers.close()


def until_made(data: Path, size_bytes: int) -> float:
    """How long it takes from now until all slices are made beforehand."""
    began_s = time.perf_counter()
    bell = threading.Event()
    while time.perf_counter() - began_s < PATIENCE_S:
        made_bytes = sum(path.stat().st_size for path in (data / "derived").rglob("*.parts"))
        if made_bytes > 0.98 * size_bytes:
            return time.perf_counter() - began_s
        bell.wait(0.05)
    raise SystemExit("the slices were not made beforehand")


def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, tempfile.TemporaryDirectory() as place:
        files, data = Path(folder), Path(place) / "data"
        with (
            made_ct(files) as (series, slices, native_bytes),
            two_hosts() as line,
            running_server(data, host=NEAR_ADDRESS, prefix=line.near.command()) as server,
        ):
            make_ms, preview_bytes, whole_bytes = making_ms(files)
            print(
                f"one slice: {make_ms:.1f} ms, preview {preview_bytes} bytes, whole {whole_bytes} of {native_bytes}"
            )
            token = server.command("staff", "link").strip().rpartition("#")[2]
            send_s = send(line, server, token, files)
            behind_s = until_made(data, SLICES * whole_bytes)
            print(
                f"{SLICES} slices taken in within {send_s:.1f} s, all made beforehand {behind_s:.1f} s later"
            )
            warm = f"{slices[0]}/metadata"
            previews = [f"{path}/frames/1?level=2" for path in slices]
            first_s, _ = measured(line, server, token, THIN_BPS, warm=warm, paths=previews[150:151])
            rest = {"Range": f"bytes={preview_bytes}-"}
            sharp_s, _ = measured(
                line, server, token, THIN_BPS, warm=warm, paths=[f"{slices[150]}/frames/1"], headers=rest
            )
            print(f"at {THIN_BPS} bit/s: first picture {first_s:.2f} s, its rest {sharp_s:.2f} s more")
            metadata_s, metadata_bytes = measured(
                line,
                server,
                token,
                THIN_BPS,
                warm=warm,
                paths=[f"{series}/metadata"],
                headers={"Accept": JSON},
            )
            print(f"at {THIN_BPS} bit/s: metadata of the series {metadata_s:.2f} s, {metadata_bytes} bytes")
            all_s, all_bytes = measured(
                line, server, token, WIDE_BPS, warm=warm, paths=previews, connections=CONNECTIONS
            )
            print(f"at {WIDE_BPS} bit/s: {SLICES} previews {all_s:.1f} s, {all_bytes} bytes")
            uids = [path.rpartition("/")[2] for path in slices]
            many = [
                f"{series}/previews?level=2&instances={','.join(uids[first : first + TOGETHER])}"
                for first in range(0, SLICES, TOGETHER)
            ]
            many_s, many_bytes = measured(
                line,
                server,
                token,
                WIDE_BPS,
                warm=warm,
                paths=many,
                connections=2,
                headers={"Accept": MANY},
            )
            print(
                f"at {WIDE_BPS} bit/s: {SLICES} previews, {TOGETHER} in each answer, {many_s:.1f} s, {many_bytes} bytes"
            )
    return {
        "native_bytes": native_bytes,
        "whole_bytes": whole_bytes,
        "preview_bytes": preview_bytes,
        "make_ms": round(make_ms, 1),
        "arrival_s": round(send_s, 2),
        "made_after_arrival_s": round(behind_s, 2),
        "first_preview_512k_s": round(first_s, 2),
        "rest_512k_s": round(sharp_s, 2),
        "metadata_512k_s": round(metadata_s, 2),
        "metadata_bytes": metadata_bytes,
        "previews_300_2m_s": round(all_s, 1),
        "previews_300_2m_together_s": round(many_s, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--far", nargs=3, help=argparse.SUPPRESS)
    far = parser.parse_args().far
    if far:
        far_main(int(far[0]), far[1], json.loads(far[2]))
    else:
        print(json.dumps(run()))
