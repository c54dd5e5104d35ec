"""Studies sent on to other people's archives: dcmtk and Orthanc, with commitment both ways, stopped and tried again."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bridge.app import running
from bridge.audit import Outcome, read_lines
from bridge.audit.log import load_key
from bridge.config import DicomPeer, WebPeer
from bridge.ids import Role
from bridge.imaging.catalogue import Belonging
from bridge.studyrows import JobKind, JobState, StudyRows
from tests.house import House, settings_for
from tests.imaging.certificates import make_certificates
from tests.imaging.corpus import ct_slice, file_of
from tests.imaging.peers import ORTHANC_TITLE, PASSWORD, STORE_TITLE, USER, orthanc, storescp
from tests.serving import free_port

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.81", "1.2.826.0.1.3680043.8.498.82"
WAIT_S = 40.0
COMPRESSED = ("JPEG2000.dcm", "693_J2KR.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm")
"""Of which pydicom decodes the pixels too; the first is lossy."""


def slices(count: int, study: str = STUDY) -> list[bytes]:
    return [ct_slice(number, study, SERIES, side=64) for number in range(1, count + 1)]


def compressed_study() -> list[bytes]:
    """Objects in several compressed syntaxes, and one video, as of one study."""
    made = []
    for number, name in enumerate([*COMPRESSED, "examples_ybr_color.dcm"]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(get_testdata_file(name))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{SERIES}.{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}.1"
        made.append(file_of(dataset))
    return made


@dataclass
class Sender:
    """A server with studies, and who sends them on."""

    house: House

    async def keep(self, objects: list[bytes], session: str | None = None) -> str:
        archive = self.house.server.imaging.archive

        def keep() -> str:
            with archive.arrivals() as arrivals:
                kept = [arrivals.keep(each) for each in objects]
            if session is not None:
                archive.catalogue.assign(kept[0].study, Belonging(session))  # type: ignore[arg-type]
            return kept[0].study

        return await asyncio.to_thread(keep)

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> dict[str, Any]:
        status, answer = await self.house.ask(method, path, token or self.house.staff_token(), json=body)
        assert status < 400, answer
        return answer

    async def send(self, to: str, study: str = STUDY, token: str | None = None) -> str:
        return str((await self.ask("POST", f"/api/studies/{study}/send", {"to": to}, token))["job"]["id"])

    async def job(self, job: str) -> dict[str, Any]:
        return dict((await self.ask("GET", f"/api/study-jobs/{job}"))["job"])

    async def until(self, job: str, *states: str) -> dict[str, Any]:
        return await self.when(job, lambda told: told["state"] in states)

    async def when(self, job: str, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            told = await self.job(job)
            if is_so(told):
                return told
            assert time.monotonic() < deadline_s, told
            await asyncio.sleep(0.05)


Opened = Callable[..., Awaitable[Sender]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open(*peers: DicomPeer | WebPeer, **changes: Any) -> Sender:
            devices = tuple(peer for peer in peers if isinstance(peer, DicomPeer))
            webs = tuple(peer for peer in peers if isinstance(peer, WebPeer))
            settings = settings_for(tmp_path, dicom_peers=devices, dicom_web_peers=webs, **changes)
            server = await stack.enter_async_context(running(settings))
            client = await stack.enter_async_context(aiohttp.ClientSession())
            return Sender(House(server, client))

        yield open


def store_at(port: int) -> DicomPeer:
    return DicomPeer(STORE_TITLE, "127.0.0.1", port, "")


def pixels(content: bytes | pydicom.FileDataset) -> np.ndarray[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(content)) if isinstance(content, bytes) else content
        return np.asarray(dataset.pixel_array)


async def test_a_study_goes_as_it_is_kept_where_that_is_taken(opened: Opened, tmp_path: Path) -> None:
    objects = compressed_study()
    with storescp(tmp_path / "got", "+xa") as store:
        sender = await opened(store_at(store.port))
        await sender.keep(objects)
        told = await sender.until(await sender.send(STORE_TITLE), "done", "failed")
        assert (told["state"], told["done"], told["failed"], told["total"]) == ("done", 5, 0, 5), told
        got = store.received()
    for content in objects:
        sent = pydicom.dcmread(BytesIO(content))
        received = got[str(sent.SOPInstanceUID)]
        assert received.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert received.PixelData == sent.PixelData


@pytest.mark.parametrize(
    ("option", "syntax"), [("+xe", ExplicitVRLittleEndian), ("+xi", ImplicitVRLittleEndian)]
)
async def test_who_takes_no_compressed_objects_gets_them_decoded(
    opened: Opened, tmp_path: Path, option: str, syntax: str
) -> None:
    objects = compressed_study()
    with storescp(tmp_path / "got", option) as store:
        sender = await opened(store_at(store.port))
        await sender.keep(objects)
        told = await sender.until(await sender.send(STORE_TITLE), "done", "failed")
        assert (told["state"], told["done"]) == ("done", 5), told
        got = store.received()
    for content in objects[:4]:
        sent = pydicom.dcmread(BytesIO(content))
        received = got[str(sent.SOPInstanceUID)]
        assert not received.file_meta.TransferSyntaxUID.is_compressed
        assert (pixels(received) == pixels(content)).all()


async def test_orthanc_keeps_what_it_is_sent_and_says_so(opened: Opened, tmp_path: Path) -> None:
    objects = slices(12)
    port = free_port()
    with orthanc(tmp_path / "orthanc", port, "BRIDGE") as other:
        sender = await opened(DicomPeer(ORTHANC_TITLE, "127.0.0.1", other.port, ""), dicom_port=port)
        await sender.keep(objects)
        told = await sender.until(await sender.send(ORTHANC_TITLE), "done", "failed")
        assert (told["state"], told["commitment"], told["done"]) == ("done", "confirmed", 12), told
        kept = other.files()
        assert {uid: pixels(content).tobytes() for uid, content in kept.items()} == {
            str(pydicom.dcmread(BytesIO(each)).SOPInstanceUID): pixels(each).tobytes() for each in objects
        }


async def test_we_tell_orthanc_truthfully_what_we_keep(opened: Opened, tmp_path: Path) -> None:
    objects = slices(3)
    port = free_port()
    with orthanc(tmp_path / "orthanc", port, "BRIDGE") as other:
        sender = await opened(DicomPeer(ORTHANC_TITLE, "127.0.0.1", other.port, ""), dicom_port=port)
        await sender.keep(objects[:2])
        named = [pydicom.dcmread(BytesIO(each)) for each in objects]

        async def judged(datasets: list[pydicom.FileDataset]) -> dict[str, Any]:
            wish = {"DicomInstances": [[str(one.SOPClassUID), str(one.SOPInstanceUID)] for one in datasets]}
            asked = await asyncio.to_thread(
                other.ask, "/modalities/bridge/storage-commitment", "POST", data=json.dumps(wish)
            )
            async with asyncio.timeout(WAIT_S):
                while True:
                    told = await asyncio.to_thread(other.ask, asked["Path"])
                    if told["Status"] != "Pending":
                        return dict(told)
                    await asyncio.sleep(0.1)

        good = await judged(named[:2])
        assert (good["Status"], len(good["Success"])) == ("Success", 2)
        bad = await judged(named)
        assert (bad["Status"], len(bad["Success"]), len(bad["Failures"])) == ("Failure", 2, 1)
        assert bad["Failures"][0]["FailureReason"] == 0x0112
        named[0].SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        assert (await judged(named[:1]))["Failures"][0]["FailureReason"] == 0x0119


async def test_a_study_goes_by_stow(opened: Opened, tmp_path: Path) -> None:
    objects = [*slices(4), *compressed_study()[:4]]
    token = tmp_path / "token"
    token.write_text(f"Basic {USER}:{PASSWORD}\n")
    with orthanc(tmp_path / "orthanc", free_port(), "BRIDGE") as other:
        sender = await opened(WebPeer("WEB", f"{other.url}/dicom-web", token))
        await sender.keep(objects)
        told = await sender.until(await sender.send("WEB"), "done", "failed")
        assert (told["state"], told["done"], told["total"]) == ("done", 8, 8), str(told)
        kept = other.files()
        for content in objects:
            sent = pydicom.dcmread(BytesIO(content))
            assert pydicom.dcmread(BytesIO(kept[str(sent.SOPInstanceUID)])).PixelData == sent.PixelData
        token.write_text("Basic nobody:nothing")
        refused = await sender.until(await sender.send("WEB"), "done", "failed")
        assert (refused["state"], refused["error"]["code"]) == ("failed", "notAllowed")


async def test_what_failed_is_tried_again_and_can_be_stopped(opened: Opened, tmp_path: Path) -> None:
    port = free_port()
    sender = await opened(store_at(port))
    await sender.keep(slices(3))
    job = await sender.send(STORE_TITLE)
    told = await sender.when(job, lambda told: told["error"])
    assert (told["state"], told["attempts"], told["error"]["text"]) == (
        "waiting",
        1,
        "The destination does not answer.",
    )
    assert (await sender.ask("POST", f"/api/study-jobs/{job}/stop"))["job"]["state"] == "stopped"
    assert await sender.house.code("POST", f"/api/study-jobs/{job}/stop", sender.house.staff_token()) == (
        409,
        "conflict",
    )
    await sender.ask("POST", f"/api/study-jobs/{job}/retry")
    assert (await sender.until(job, "waiting", "failed"))["state"] == "waiting"


async def test_a_job_outlives_the_server(tmp_path: Path) -> None:
    port = free_port()
    settings = settings_for(tmp_path, dicom_peers=(store_at(port),))
    async with running(settings) as server, aiohttp.ClientSession() as client:
        sender = Sender(House(server, client))
        await sender.keep(slices(3))
        job = await sender.send(STORE_TITLE)
        await server.office.store.check_writable()
    with storescp(tmp_path / "got") as store:
        settings = settings_for(tmp_path, dicom_peers=(store_at(store.port),))
        async with running(settings) as server, aiohttp.ClientSession() as client:
            sender = Sender(House(server, client))
            if (await sender.job(job))["error"]:
                await sender.ask("POST", f"/api/study-jobs/{job}/stop")
                await sender.ask("POST", f"/api/study-jobs/{job}/retry")
            assert (await sender.until(job, "done", "failed"))["done"] == 3
        assert len(store.received()) == 3


async def test_only_staff_and_the_hub_of_its_session_send_a_study(opened: Opened, tmp_path: Path) -> None:
    with storescp(tmp_path / "got") as store:
        sender = await opened(store_at(store.port))
        house = sender.house
        made, other = await house.make("Echo"), await house.make("Other")
        await sender.keep(slices(2), made.session.id)
        path, wish = f"/api/studies/{STUDY}/send", {"to": STORE_TITLE}
        for role in (Role.SATELLITE, Role.VIEWER, Role.ORGANISER):
            token = house.token(made, role)
            assert await house.code("POST", path, token, json=wish) == (403, "notAllowed")
        strange = house.token(other, Role.HUB)
        assert await house.code("POST", path, strange, json=wish) == (404, "notFound")
        hub = house.token(made, Role.HUB)
        assert await house.code("POST", path, hub, json={"to": "NOBODY"}) == (404, "notFound")
        job = await sender.send(STORE_TITLE, token=hub)
        assert (await sender.until(job, "done", "failed"))["state"] == "done"
        assert [each["id"] for each in (await sender.ask("GET", "/api/study-jobs", token=hub))["jobs"]] == [
            job
        ]
        assert (await sender.ask("GET", "/api/study-jobs", token=strange))["jobs"] == []
        assert await house.code("GET", f"/api/study-jobs/{job}", strange) == (404, "notFound")
        assert (await sender.ask("GET", "/api/destinations", token=hub))["destinations"] == [STORE_TITLE]
        assert len(store.received()) == 2


async def test_the_hub_sees_and_stops_nothing_but_what_sends_its_session_s_studies(
    opened: Opened, tmp_path: Path
) -> None:
    sender = await opened(store_at(free_port()))
    house = sender.house
    made = await house.make("Echo")
    study = await sender.keep(slices(2), made.session.id)
    hub, rows = house.token(made, Role.HUB), StudyRows(house.server.office.store)
    for kind in (JobKind.SHRED, JobKind.COPY):
        job = await rows.add_job(kind, study, "staff", now_ms=2**60, session=made.session.id)
        for end, method in (("", "GET"), ("/stop", "POST"), ("/retry", "POST")):
            assert await house.code(method, f"/api/study-jobs/{job.id}{end}", hub) == (404, "notFound")
        assert (await rows.get_job(job.id)).state is JobState.WAITING
    sent = await sender.send(STORE_TITLE, token=hub)
    for token, count in ((hub, 1), (None, 3)):
        assert len((await sender.ask("GET", "/api/study-jobs", token=token))["jobs"]) == count
    await sender.when(sent, lambda told: told["error"])
    assert (await sender.ask("POST", f"/api/study-jobs/{sent}/stop", token=hub))["job"]["state"] == "stopped"
    await sender.ask("POST", f"/api/study-jobs/{sent}/retry", token=house.staff_token())
    assert await house.code("POST", f"/api/study-jobs/{sent}/retry", hub) == (409, "conflict")
    folder = tmp_path / "data" / "audit"
    lines = await asyncio.to_thread(lambda: list(read_lines(folder, load_key(folder, make=False))))
    audited = [
        (line.content["who"], line.content["outcome"], set(line.content["detail"]) - {"job"})
        for line in lines
        if line.content.get("on") == f"study/{study}" and line.content["event"] == "objectChanged"
    ]
    assert [(outcome, *what) for _, outcome, what in audited] == [
        (Outcome.BEGUN, "stopped"),
        (Outcome.DONE, "stopped"),
        (Outcome.BEGUN, "retried"),
        (Outcome.DONE, "retried"),
        (Outcome.BEGUN, "retried"),
        (Outcome.REFUSED, "retried"),
    ]
    who = [who for who, *_ in audited]
    assert who[0] == who[1] == who[4] == who[5] != who[2] == who[3]


async def test_a_connection_that_breaks_off_is_tried_again(opened: Opened, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", "--abort-during") as store:
        sender = await opened(store_at(store.port))
        await sender.keep(slices(3))
        began_s = time.monotonic()
        told = await sender.when(await sender.send(STORE_TITLE), lambda told: told["error"])
        assert (told["state"], told["error"]["text"]) == (
            "waiting",
            "The connection to the destination broke off.",
        )
        assert time.monotonic() - began_s < 20


async def test_a_destination_that_does_not_know_us_is_told_plainly(opened: Opened, tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc", free_port(), "BRIDGE") as other:
        sender = await opened(DicomPeer("NOBODY", "127.0.0.1", other.port, ""))
        await sender.keep(slices(1))
        told = await sender.until(await sender.send("NOBODY"), "done", "failed")
        assert (told["state"], told["error"]["code"]) == ("failed", "notAllowed")
        assert "AE title" in told["error"]["text"]


async def test_what_is_sent_by_tls_is_taken_by_who_asks_for_certificates(
    opened: Opened, tmp_path: Path
) -> None:
    files = make_certificates(tmp_path)
    own = ("+tls", str(files.key), str(files.cert), "+cf", str(files.ca))
    with storescp(tmp_path / "got", *own, tls=files) as store:
        sender = await opened(
            store_at(store.port),
            dicom_tls_cert=files.cert,
            dicom_tls_key=files.key,
            dicom_tls_ca=files.ca,
        )
        await sender.keep(slices(2))
        told = await sender.until(await sender.send(STORE_TITLE), "done", "failed")
        assert told["state"] == "done", told
        assert len(store.received()) == 2


async def test_a_running_job_is_stopped_and_goes_on_with_what_is_left(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "got"
    with storescp(folder) as store:
        sender = await opened(store_at(store.port))
        await sender.keep(slices(80))
        job = await sender.send(STORE_TITLE)
        await sender.when(job, lambda told: told["done"] > 2)
        await sender.ask("POST", f"/api/study-jobs/{job}/stop")
        stopped = await sender.when(job, lambda told: told["state"] == "stopped" and told["total"])
        assert stopped["done"] < 80
        deadline_s = time.monotonic() + WAIT_S
        token = sender.house.staff_token()
        while (await sender.house.ask("POST", f"/api/study-jobs/{job}/retry", token))[0] == 409:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        told = await sender.until(job, "done", "failed")
        assert (told["state"], told["done"]) == ("done", 80), told
        assert len(store.received()) == 80


async def test_a_study_that_is_shredded_is_not_sent_any_more(opened: Opened, tmp_path: Path) -> None:
    with storescp(tmp_path / "got") as store:
        sender = await opened(store_at(store.port))
        study = await sender.keep(slices(80))
        job = await sender.send(STORE_TITLE)
        await sender.when(job, lambda told: told["done"] > 2)
        assert (await sender.house.ask("DELETE", f"/api/studies/{study}", sender.house.staff_token()))[
            0
        ] == 204
        told = await sender.until(job, "done", "failed")
        assert (told["state"], told["error"]["text"]) == ("failed", "The study was shredded meanwhile.")
        sent = len(store.received())
        assert sent < 80


async def test_studies_are_held_and_shredded_by_staff_only(opened: Opened) -> None:
    sender = await opened()
    house = sender.house
    made = await house.make("Echo")
    study = await sender.keep(slices(2), made.session.id)
    hub, staff = house.token(made, Role.HUB), house.staff_token()
    path = f"/api/studies/{study}"
    for method, where, body in (
        ("DELETE", path, None),
        ("POST", f"{path}/hold", {"hold": True}),
        ("GET", "/api/studies", None),
    ):
        assert await house.code(method, where, hub, json=body) == (403, "notAllowed")
        assert await house.code(method, where, None, json=body) == (401, "notAuthorised")
    assert (await house.ask("POST", f"{path}/hold", staff, json={"hold": True}))[0] == 204
    (row,) = (await sender.ask("GET", "/api/studies"))["studies"]
    assert (row["id"], row["studyInstanceUID"], row["hold"]) == (study, STUDY, True)
    assert (row["session"], row["retainUntil"], row["instances"]) == (made.session.id, None, 2)
    assert await house.code("DELETE", path, staff) == (409, "conflict")
    assert (await house.ask("POST", f"{path}/hold", staff, json={"hold": False}))[0] == 204
    assert (await house.ask("DELETE", f"/api/studies/{STUDY}", staff))[0] == 204
    assert await house.code("DELETE", path, staff) == (404, "notFound")
    assert (await sender.ask("GET", "/api/studies"))["studies"] == []
