"""A whole server is killed at random moments while studies arrive over the network and over the web: whatever it
acknowledged is there and opens, and nothing half-stored is shown. `make kill-imaging` does it thirty times."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import requests
from pydicom.uid import generate_uid
from pynetdicom import AE

from bridge.imaging.parsing import parse
from tests.imaging.corpus import ct_slice
from tests.imaging.dimse import CALLING, TITLE, WAIT_S, Sender, context, dataset_of
from tests.imaging.webclients import Web, parts_of, staff_token
from tests.serving import Server, free_port

KILLS = int(os.environ.get("KILLS", "4"))
LONGEST_S = 1.5
"""From the first acknowledgement to the kill."""
MOST = 2_000
"""Objects of one sender and round, should the kill not stop it."""
AT_ONCE = 3
"""Of one request over the web."""
SIDE = 384
"""Larger than a part, so that each object is written in several."""


@dataclass
class Arrivals:
    """One study while it is sent: what was begun, by digest of the dataset, and what was acknowledged."""

    study: str = field(default_factory=generate_uid)
    series: str = field(default_factory=generate_uid)
    begun: dict[str, str] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)

    def begin(self) -> tuple[str, bytes]:
        """The next object, and its SOPInstanceUID."""
        content = ct_slice(len(self.begun), self.study, self.series, side=SIDE)
        uid = parse(content).note.sop_instance
        self.begun[uid] = digest(content)
        return uid, content


def digest(content: bytes) -> str:
    return hashlib.sha256(dataset_of(content)).hexdigest()


def over_the_network(port: int, arrivals: Arrivals, first: threading.Event) -> None:
    uid, content = arrivals.begin()
    note = parse(content).note
    ae = AE(ae_title=CALLING)
    ae.dimse_timeout = ae.network_timeout = WAIT_S
    pair = context(note.sop_class, note.transfer_syntax)
    association = ae.associate("127.0.0.1", port, contexts=[pair], ae_title=TITLE)
    assert association.is_established
    sender = Sender(association)
    while len(arrivals.begun) < MOST and sender.send(content) == 0:
        arrivals.acknowledged.add(uid)
        first.set()
        uid, content = arrivals.begin()
    sender.close()


def over_the_web(web: Web, arrivals: Arrivals, first: threading.Event) -> None:
    with contextlib.suppress(requests.RequestException):
        while len(arrivals.begun) < MOST:
            contents = dict(arrivals.begin() for _ in range(AT_ONCE))
            if web.send(*contents.values()).status_code != 200:
                break
            arrivals.acknowledged.update(contents)
            first.set()


@contextlib.contextmanager
def under_way(*senders: Callable[[threading.Event], None]) -> Iterator[None]:
    """All of them at once; the block begins when each has had something acknowledged."""
    events = [threading.Event() for _ in senders]
    threads = [
        threading.Thread(target=sender, args=(event,)) for sender, event in zip(senders, events, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        assert all(event.wait(WAIT_S) for event in events), "each has sent something"
        yield
    finally:
        for thread in threads:
            thread.join(2 * WAIT_S)
    assert not any(thread.is_alive() for thread in threads)


def shown(web: Web, study: str) -> dict[str, str]:
    """What the server has of a study, opened, and the same by search."""
    contents = [content for _, content in parts_of(web.get(f"/studies/{study}"))]
    found = {parse(content).note.sop_instance: digest(content) for content in contents}
    listed = web.get(f"/studies/{study}/instances").json()
    assert {row["00080018"]["Value"][0] for row in listed} == found.keys()
    told = web.get(f"/studies/{study}/metadata").json()
    assert {dataset["00080018"]["Value"][0] for dataset in told} == found.keys()
    (row,) = web.get(f"/studies?StudyInstanceUID={study}").json()
    assert row["00201208"]["Value"] == [len(found)]
    return found


@pytest.mark.timeout(60 + 30 * KILLS)
def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    port = free_port()
    settings = {"dicom_port": str(port), "dicom_peers": f"{CALLING}=127.0.0.1"}
    server = Server(tmp_path / "data", settings=settings).start()
    chance = random.Random(11)
    rounds: list[Arrivals] = []
    kept: dict[str, int] = {}
    try:
        web = Web(server, staff_token(server))
        for number in range(KILLS):
            senders = [Arrivals() for _ in range(3)]
            with under_way(
                *(partial(over_the_network, port, arrivals) for arrivals in senders[:2]),
                partial(over_the_web, web, senders[2]),
            ):
                time.sleep(chance.uniform(0, LONGEST_S))  # Any moment is as good as another.
                server.stop(signal.SIGKILL)
            server.start()
            for arrivals in senders:
                there = shown(web, arrivals.study)
                assert arrivals.acknowledged <= there.keys()
                assert there.items() <= arrivals.begun.items()
                assert len(arrivals.begun) > len(arrivals.acknowledged), "it was busy when it was killed"
                kept[arrivals.study] = len(there)
            rounds += senders
            print(
                f"kill {number + 1}: {sum(len(each.begun) for each in senders)} objects begun, "
                f"{sum(len(each.acknowledged) for each in senders)} acknowledged, "
                f"{sum(kept[each.study] for each in senders)} there and whole"
            )
        rows = web.get("/studies").json()
        assert {row["0020000D"]["Value"][0]: row["00201208"]["Value"][0] for row in rows} == kept
        assert server.stop() == 0
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait(WAIT_S)
    acknowledged = sum(len(arrivals.acknowledged) for arrivals in rounds)
    print(
        f"{KILLS} kills: {acknowledged} objects acknowledged, {sum(kept.values())} kept, none lost or half there"
    )
