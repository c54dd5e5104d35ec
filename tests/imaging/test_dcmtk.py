"""Every valid object goes in and out by each tool of Debian's dcmtk, in the clear and by TLS, with the same pixels; and
what we write anew is no worse an object than what came."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bridge.config import DicomPeer
from bridge.imaging.archive import Archive
from bridge.imaging.errors import DicomError
from bridge.imaging.parsing import parse
from bridge.imaging.part10 import file_meta
from bridge.imaging.workers import Workers
from tests.imaging.certificates import Certificates, make_certificates
from tests.imaging.corpus import ct_slice, running_loop, valid
from tests.imaging.dimse import CALLING, DCMTK, TITLE, dataset_of, port_in
from tests.imaging.peers import STORE_TITLE, storescp
from tests.imaging.webclients import Web, staff_token
from tests.serving import running_server

pytestmark = pytest.mark.timeout(240)

TOOL_TIMEOUT_S = 120.0
UNSPEAKABLE = {
    "explicit_VR-UN.dcm": "its UIDs are of an unknown sort, and dcmsend announces none",
    "SC_rgb_jpeg.dcm": "dcmtk does not read it: its first sequence is written in another syntax than the rest",
    "rtdose_rle.dcm": "dcmsend announces the class of its beginning, its dataset has another: refused, rightly",
    "rtdose_rle_1frame.dcm": "as before",
    "rtdose_expb.dcm": "big endian of 32 bits, of which dcmtk turns each half by itself when it writes it anew",
    "rtdose_expb_1frame.dcm": "as before",
}
PREFERRED = {
    "1.2.840.10008.1.2.1": "+xe",
    "1.2.840.10008.1.2.1.99": "+xd",
    "1.2.840.10008.1.2.4.50": "+xy",
    "1.2.840.10008.1.2.4.51": "+xx",
    "1.2.840.10008.1.2.4.70": "+xs",
    "1.2.840.10008.1.2.4.80": "+xt",
    "1.2.840.10008.1.2.4.90": "+xv",
    "1.2.840.10008.1.2.4.91": "+xw",
    "1.2.840.10008.1.2.5": "+xr",
}
"""How getscu is told that it is to take a transfer syntax as it is."""
DEFLATED = "1.2.840.10008.1.2.1.99"
UNPACKED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED}
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
NEW_SYNTAXES = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202")
"""Of HTJ2K, which Debian's dciodvfy does not know yet: it is shown such an object as one of JPEG 2000."""
ULTRASOUND_YBR = {
    "Error - Unrecognized enumerated value <YBR_FULL> for value of attribute <Photometric Interpretation>",
    "Error - Unrecognized enumerated value <> for value of attribute <Planar Configuration>",
}
"""Ultrasound that was JPEG in YBR: unpacked without loss it stays in YBR, which the class has for RLE only."""


def run(tool: str, port: int, options: Sequence[str], files: Sequence[Path] = (), *, ok: bool = True) -> str:
    command = [
        DCMTK + tool,
        "-aet",
        CALLING,
        "-aec",
        TITLE,
        *options,
        "127.0.0.1",
        str(port),
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert not ok or done.returncode == 0, said
    return said


def query(level: str, *studies: str, **keys: str) -> list[str]:
    wanted = {"QueryRetrieveLevel": level, "StudyInstanceUID": "\\".join(studies), **keys}
    return ["-S", *(word for name, value in wanted.items() for word in ("-k", f"{name}={value}"))]


@cache
def objects() -> dict[str, bytes]:
    """By SOPInstanceUID. Many are one object in several forms: each gets a UID of its own, of the same length."""
    found: dict[str, bytes] = {}
    for number, path in enumerate(valid()):
        content = path.read_bytes()
        uid = parse(content).note.sop_instance
        if path.name in UNSPEAKABLE:
            continue
        if uid in found:
            content = content.replace(uid.encode(), f"{uid[:-3]}{number:03}".encode())
            try:
                uid = parse(content).note.sop_instance
            except DicomError:
                continue
        found.setdefault(uid, content)
    return found


def in_files(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    folder.mkdir()
    paths = [folder / uid for uid in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def kept(archive: Archive) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in archive.catalogue.all():
        with archive.open(entry.id) as reader:
            found |= {one.note.sop_instance: b"".join(reader.iterate(one)) for one in reader.instances()}
    return found


def received(folder: Path) -> dict[str, bytes]:
    contents = [path.read_bytes() for path in folder.iterdir()]
    return {parse(content).note.sop_instance: content for content in contents}


def as_sent(got: bytes, sent: bytes) -> bool:
    """The same transfer syntax and each byte of the pixels; or, as dcmtk itself writes anew what is not compressed,
    each pixel in another byte order."""
    one, other = parse(got).note, parse(sent).note
    if one.transfer_syntax == other.transfer_syntax or one.pixel_sha256 == other.pixel_sha256:
        return one.pixel_sha256 == other.pixel_sha256
    return {one.transfer_syntax, other.transfer_syntax} <= UNPACKED and same_pixels(got, sent)


def same_pixels(one: bytes, other: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = (pydicom.dcmread(BytesIO(content)).pixel_array for content in (one, other))
    return np.array_equal(first, second)


# --- every object ----------------------------------------------------------------------------------------------------


def test_every_object_goes_in_by_dcmsend_and_out_by_movescu_and_getscu(
    tmp_path: Path, workers: Workers
) -> None:
    sent = objects()
    assert len(sent) > 150
    studies = sorted({parse(content).note.study for content in sent.values()})
    with storescp(tmp_path / "moved", "+xa", "+B") as store:
        peers = (
            DicomPeer(CALLING, "127.0.0.1", None, ""),
            DicomPeer(STORE_TITLE, "127.0.0.1", store.port, ""),
        )
        with port_in(tmp_path, workers, *peers) as port:
            run("dcmsend", port.port, ["-dn", "-nuc", "+ma"], in_files(tmp_path / "sent", sent))
            stored = kept(port.archive)
            assert stored.keys() == sent.keys()
            assert [uid for uid in sent if not as_sent(stored[uid], sent[uid])] == []

            for study in studies:
                run("movescu", port.port, [*query("STUDY", study), "-aem", STORE_TITLE])
            moved = received(store.folder)
            assert moved.keys() == sent.keys()
            assert [uid for uid in sent if not as_sent(moved[uid], sent[uid])] == []

            for syntax, option in PREFERRED.items():
                theirs = {
                    uid: each for uid, each in sent.items() if parse(each).note.transfer_syntax == syntax
                }
                assert theirs, syntax
                got = _got(tmp_path / option[1:], port.port, theirs, option)
                assert got.keys() >= theirs.keys(), syntax
                assert [uid for uid in theirs if not as_sent(got[uid], theirs[uid])] == [], syntax


def _got(folder: Path, port: int, wanted: dict[str, bytes], option: str) -> dict[str, bytes]:
    folder.mkdir()
    studies = sorted({parse(content).note.study for content in wanted.values()})
    # Others of these studies may have no context; that is said by its exit.
    run("getscu", port, [*query("STUDY", *studies), option, "+B", "-od", str(folder)], ok=False)
    return received(folder)


# --- by TLS ----------------------------------------------------------------------------------------------------------


@contextmanager
def tls_line(port: int, files: Certificates) -> Iterator[int]:
    """A port in the clear that goes on by TLS with the device's certificate: not all of dcmtk's tools speak it."""
    context = ssl.create_default_context(cafile=str(files.ca))
    context.check_hostname = False
    context.load_cert_chain(files.cert, files.key)

    serving: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def serve(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await asyncio.gather(copy(source, back), copy(there, sink))
        for writer in (sink, back):
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def end(server: asyncio.Server) -> None:
        server.close()
        await asyncio.wait_for(asyncio.gather(*serving, return_exceptions=True), 10)

    with running_loop() as loop:
        opening = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop)
        server = opening.result(10)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            asyncio.run_coroutine_threadsafe(end(server), loop).result(20)


def test_each_tool_of_dcmtk_works_by_tls(tmp_path: Path, workers: Workers) -> None:
    files = make_certificates(tmp_path)
    own = ("+tls", str(files.key), str(files.cert), "+cf", str(files.ca))
    study = "1.2.826.0.1.3680043.8.498.61"
    paths = [tmp_path / f"{number}.dcm" for number in (1, 2)]
    sent = {}
    for number, path in enumerate(paths, 1):
        content = ct_slice(number, study, study + ".1", side=64)
        path.write_bytes(content)
        sent[parse(content).note.sop_instance] = content
    with storescp(tmp_path / "moved", *own, "+B", tls=files) as store:
        peers = (
            DicomPeer(CALLING, "127.0.0.1", None, ""),
            DicomPeer(STORE_TITLE, "127.0.0.1", store.port, ""),
        )
        settings = {"tls_cert": files.cert, "tls_key": files.key, "tls_ca": files.ca}
        with port_in(tmp_path, workers, *peers, **settings) as port:
            run("echoscu", port.port, own)
            run("storescu", port.port, own, paths[:1])
            with tls_line(port.port, files) as line:
                run("dcmsend", line, [], paths[1:])
                assert {uid: parse(each).note.pixel_sha256 for uid, each in kept(port.archive).items()} == {
                    uid: parse(each).note.pixel_sha256 for uid, each in sent.items()
                }
                said = run(
                    "findscu", port.port, [*own, *query("IMAGE", study, SeriesInstanceUID=study + ".1")]
                )
                assert said.count("Find Response:") == 2 or said.count("IMAGE") == 2
                run("movescu", line, [*query("STUDY", study), "-aem", STORE_TITLE])
                moved = received(store.folder)
                got = _got(tmp_path / "got", line, sent, "+xe")
            for found in (moved, got):
                assert found.keys() == sent.keys()
                assert all(as_sent(found[uid], sent[uid]) for uid in sent)


# --- what we write anew ----------------------------------------------------------------------------------------------


def problems(folder: Path, content: bytes) -> set[str]:
    """What dciodvfy finds wrong, without numbers."""
    note = parse(content).note
    if note.transfer_syntax in NEW_SYNTAXES:
        content = file_meta(note.sop_class, note.sop_instance, J2K_LOSSLESS) + dataset_of(content)
    path = folder / "object.dcm"
    path.write_bytes(content)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, timeout=60, check=False)
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    told = {line for line in lines if line.startswith(("Error", "Abort"))}
    return {re.sub(" +", " ", re.sub("[0-9]+", "", line)) for line in told}


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.4.80",
        *NEW_SYNTAXES,
    ],
)
def test_an_object_given_in_another_transfer_syntax_has_no_error_that_it_had_not(
    web: Web, tmp_path: Path, syntax: str
) -> None:
    made = 0
    worse: dict[str, set[str]] = {}
    for uid, content in objects().items():
        note = parse(content).note
        if not note.frames or note.transfer_syntax in (syntax, DEFLATED):
            continue  # dciodvfy does not read what is deflated, so there is nothing to compare with.
        where = f"/studies/{note.study}/series/{note.series}/instances/{note.sop_instance}"
        answer = web.get(where, f"application/dicom; transfer-syntax={syntax}")
        if answer.status_code != 200:
            assert answer.status_code in (406, 413, 422), (uid, answer.text)
            continue
        made += 1
        if new := problems(tmp_path, answer.content) - problems(tmp_path, content) - ULTRASOUND_YBR:
            worse[uid] = new
    assert worse == {}
    assert made >= 10


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with every object."""
    with running_server(tmp_path_factory.mktemp("written") / "data") as server:
        web = Web(server, staff_token(server))
        contents = list(objects().values())
        for start in range(0, len(contents), 40):
            answer = web.send(*contents[start : start + 40])
            assert answer.status_code == 200, answer.text
        yield web
