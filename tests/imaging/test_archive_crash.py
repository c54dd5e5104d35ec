"""A server that is killed while objects arrive, and a disk that fills up: what was acknowledged is there and opens."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bridge.errors import BridgeError
from bridge.imaging.workers import Workers
from bridge.vault import Trouble
from tests.imaging.corpus import archive_in, ct_slice
from tests.media.disks import memory_disk

ROOT = Path(__file__).resolve().parents[2]
SENDERS = 2
SERVER = """
import hashlib, sys, threading
from pathlib import Path
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in, ct_slice
workers = Workers(2)
said = threading.Lock()
def say(*words):
    with said:
        print(*words, flush=True)
with archive_in(Path(sys.argv[1]), workers) as archive:
    say(*workers.pids)
    def send(sender):
        with archive.arrivals() as arrivals:
            number = sender
            while True:
                content = ct_slice(number, "1.2", f"1.2.{sender}", side=256)
                kept = arrivals.keep(content)
                say(kept.note.sop_instance, hashlib.sha256(content).hexdigest())
                number += 2
    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("seed", range(10))
def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path, workers: Workers, seed: int) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "data")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in server.stdout.readline().split()]
    chance = random.Random(seed)
    said = [server.stdout.readline() for _ in range(chance.randrange(0, 25))]
    time.sleep(chance.uniform(0, 0.05))  # Not to wait for anything: any moment is as good as another.
    server.kill()
    said += server.communicate()[0].splitlines(keepends=True)
    acknowledged = dict(line.split() for line in said if line.endswith("\n"))

    with archive_in(tmp_path / "data", workers) as archive:
        entries = archive.catalogue.all()
        shown: dict[str, str] = {}
        assert len(entries) == 1 or not acknowledged
        for entry in entries:
            with archive.open(entry.id) as reader:
                shown = {
                    one.note.sop_instance: hashlib.sha256(b"".join(reader.iterate(one))).hexdigest()
                    for one in reader.instances()
                }
                series = len(reader.series())
            assert acknowledged.items() <= shown.items()
            # What each was storing just then may have become whole without having been acknowledged.
            assert len(shown) <= len(acknowledged) + SENDERS
            assert entry.instances == len(shown)
            assert entry.series == series
        with archive.arrivals() as arrivals:
            for number in range(4):
                content = ct_slice(number, "1.2", f"1.2.{number % SENDERS}", side=256)
                kept = arrivals.keep(content)
                assert kept.is_new == (kept.note.sop_instance not in shown)
        assert archive.catalogue.unsettled() == []
    for _ in range(500):
        if not any(psutil.pid_exists(pid) for pid in pids):
            break
        time.sleep(0.01)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(tmp_path: Path, workers: Workers) -> None:
    with memory_disk(tmp_path / "disk", 12 << 20) as disk:
        data = disk.folder / "data"
        contents: list[bytes] = []
        acknowledged: list[bytes] = []
        with archive_in(data, workers) as archive:
            with archive.arrivals() as arrivals:

                def fill() -> None:
                    for number in range(100):
                        contents.append(ct_slice(number, "1.2", "1.2.3"))
                        arrivals.keep(contents[-1])
                        acknowledged.append(contents[-1])

                with pytest.raises(BridgeError) as caught:
                    fill()
                content = contents[-1]
                assert caught.value.code == "storageFailed"
                assert getattr(caught.value, "trouble", None) is Trouble.DISK_FULL
                assert len(acknowledged) > 10
                free = os.statvfs(disk.folder).f_bfree
                for _ in range(5):
                    with pytest.raises(BridgeError):
                        arrivals.keep(content)
                # What could not be kept takes no room: something smaller can be.
                assert os.statvfs(disk.folder).f_bfree == free
                small = ct_slice(200, "1.2", "1.2.3", side=32)
                arrivals.keep(small)
                acknowledged.append(small)
                subprocess.run(["mount", "-o", "remount,size=24m", disk.folder], check=True)
                arrivals.keep(content)
                acknowledged.append(content)
            (entry,) = archive.catalogue.all()
            assert entry.instances == len(acknowledged)
        with archive_in(data, workers) as archive:
            (entry,) = archive.catalogue.all()
            with archive.open(entry.id) as reader:
                found = [b"".join(reader.iterate(one)) for one in reader.instances()]
            assert sorted(found) == sorted(acknowledged)
            assert list(archive._vault.verify(next(iter(archive._vault.objects())))) == []


def test_a_full_disk_refuses_a_new_study_and_shows_nothing_of_it(tmp_path: Path, workers: Workers) -> None:
    with (
        memory_disk(tmp_path / "disk", 4 << 20) as disk,
        archive_in(disk.folder / "data", workers) as archive,
    ):
        with archive.arrivals() as arrivals:
            with disk.full():
                for _ in range(3):
                    with pytest.raises(BridgeError) as caught:
                        arrivals.keep(ct_slice(1, "1.2", "1.2.3"))
                    assert caught.value.code == "storageFailed"
                assert archive.catalogue.all() == []
            assert arrivals.keep(ct_slice(1, "1.2", "1.2.3")).is_new
        assert [entry.instances for entry in archive.catalogue.all()] == [1]


def test_an_object_that_was_torn_is_not_shown_and_not_removed(tmp_path: Path, workers: Workers) -> None:
    contents = [ct_slice(number, "1.2", "1.2.3") for number in range(3)]
    with archive_in(tmp_path / "data", workers) as archive:
        with archive.arrivals() as arrivals:
            study = {arrivals.keep(content).study for content in contents}.pop()
        with archive.open(study) as reader:
            last = reader.instances()[2]
            length = reader._streams[last.stream].parts[last.part].offset_bytes
        (stream,) = (tmp_path / "data" / "imaging" / study).glob("00000001.parts")
        whole = stream.read_bytes()
        for cut in (
            len(whole) - 84,
            len(whole) - 85,
            len(whole) - 200_000,
            length + 2_000,
            length + 60,
            length,
        ):
            stream.write_bytes(whole[:cut])
            with archive.open(study) as reader:
                shown = 3 if cut == len(whole) - 84 else 2
                assert [one.note.number for one in reader.instances()] == list(range(shown))
                assert [b"".join(reader.iterate(one)) for one in reader.instances()] == contents[:shown]
            assert stream.read_bytes() == whole[:cut]
