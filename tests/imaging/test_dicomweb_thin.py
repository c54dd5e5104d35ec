"""Frames in pieces that sharpen, as a client on a thin line asks a real server for them, and over such a line."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import requests
from pydicom.uid import generate_uid

from bridge.imaging import parsing
from bridge.imaging.pixels.progressive import decode_preview
from tests.imaging.corpus import ct_slice
from tests.imaging.pictures import files_with_pixels, named
from tests.imaging.webclients import Web, parts_of, staff_token
from tests.netns.hosts import NEAR_ADDRESS, ROOT, two_hosts
from tests.serving import Server, running_server

ACCEPT = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"
AS_STORED = "application/octet-stream; transfer-syntax=*"
CT, LOOP, PALETTE, VIDEO_LIKE = "693_UNCR.dcm", "emri_small.dcm", "OBXXXX1A.dcm", "color3d_jpeg_baseline.dcm"


@dataclass
class Shop:
    web: Web
    server: Server
    where: dict[str, str]

    def get(
        self, name: str, frame: int = 1, query: str = "", accept: str = ACCEPT, **headers: str
    ) -> requests.Response:
        return self.web.get(f"{self.where[name]}/frames/{frame}{query}", accept, headers=headers)


def where_of(content: bytes) -> str:
    note = parsing.parse(content).note
    return f"/studies/{note.study}/series/{note.series}/instances/{note.sop_instance}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with running_server(tmp_path_factory.mktemp("thin") / "data") as server:
        web = Web(server, staff_token(server))
        contents = {name: files_with_pixels()[name].read_bytes() for name in (CT, LOOP, PALETTE, VIDEO_LIKE)}
        assert web.send(*contents.values()).status_code == 200
        yield Shop(web, server, {name: where_of(content) for name, content in contents.items()})


def sizes(answer: requests.Response) -> tuple[int, int, int]:
    """First and last byte and the whole length of an answer's Content-Range."""
    unit, _, said = answer.headers["Content-Range"].partition(" ")
    assert unit == "bytes"
    span, _, total = said.partition("/")
    first, _, last = span.partition("-")
    assert int(last) - int(first) + 1 == len(answer.content) == int(answer.headers["Content-Length"])
    return int(first), int(last), int(total)


def test_a_preview_is_the_beginning_of_the_whole_and_no_byte_goes_twice(shop: Shop) -> None:
    small = shop.get(CT, query="?level=2")
    assert small.status_code == 206
    assert small.headers["Content-Type"] == ACCEPT
    first, last, total = sizes(small)
    assert first == 0
    rest = shop.get(CT, Range=f"bytes={last + 1}-", **{"If-Range": small.headers["ETag"]})
    assert rest.status_code == 206
    assert sizes(rest) == (last + 1, total - 1, total)
    whole = shop.get(CT)
    assert whole.status_code == 200
    assert small.content + rest.content == whole.content
    assert whole.headers["ETag"] == small.headers["ETag"]
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in small.headers
    values = named(CT).pixel_array
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(whole.content, planar=False), values)
    assert decode_preview(small.content, 2).shape == (128, 128)
    assert len(small.content) < values.nbytes // 30


@pytest.mark.parametrize("level", range(6))
def test_each_level_is_a_smaller_picture(shop: Shop, level: int) -> None:
    answer = shop.get(CT, query=f"?level={level}")
    assert answer.status_code == 206
    assert decode_preview(answer.content, level).shape == (512 >> level, 512 >> level)


def test_every_frame_of_a_loop_comes_by_its_number(shop: Shop) -> None:
    pixels = named(LOOP).pixel_array
    for frame in (1, 5, len(pixels)):
        answer = shop.get(LOOP, frame)
        np.testing.assert_array_equal(
            imagecodecs.jpeg2k_decode(answer.content, planar=False), pixels[frame - 1]
        )
    assert shop.get(LOOP, len(pixels) + 1).status_code == 404


@pytest.mark.parametrize(
    ("range", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=10-99", 10, 99), ("bytes=-7", -7, -1), ("bytes=100-9999999", 100, -1)],
)
def test_any_range_of_bytes_comes(shop: Shop, range: str, first: int, last: int) -> None:
    whole = shop.get(CT).content
    answer = shop.get(CT, Range=range)
    assert answer.status_code == 206
    begin, end = first % len(whole), last % len(whole)
    assert sizes(answer) == (begin, end, len(whole))
    assert answer.content == whole[begin : end + 1]


@pytest.mark.parametrize(
    "range", ["bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=1-1" + "0" * 40]
)
def test_a_range_that_makes_no_sense_counts_as_none(shop: Shop, range: str) -> None:
    answer = shop.get(CT, Range=range)
    assert answer.status_code == 200
    assert answer.content == shop.get(CT).content


@pytest.mark.parametrize("range", ["bytes=999999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_told_the_length(shop: Shop, range: str) -> None:
    answer = shop.get(CT, Range=range)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(shop.get(CT).content)}"
    assert answer.json()["error"]["code"] == "malformed"


def test_a_rest_of_another_codestream_is_never_given_for_the_rest_of_this_one(shop: Shop) -> None:
    answer = shop.get(CT, Range="bytes=100-", **{"If-Range": '"another"'})
    assert answer.status_code == 200
    assert answer.content == shop.get(CT).content


@pytest.mark.parametrize("level", ["6", "-1", "x", "", "9" * 20, "0" * 5000, "2.0", "٢"])
def test_a_level_that_is_none_is_refused(shop: Shop, level: str) -> None:
    answer = shop.get(CT, query=f"?level={level}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")


@pytest.mark.parametrize("name", [PALETTE, VIDEO_LIKE])
def test_what_does_not_come_so_is_unsupported_and_comes_as_stored(shop: Shop, name: str) -> None:
    answer = shop.get(name, query="?level=2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (406, "unsupported")
    either = shop.get(name, query="?level=2", accept=f"{ACCEPT}, {AS_STORED};q=0.5")
    assert either.status_code == 200
    assert either.content == shop.get(name, accept=AS_STORED).content


def test_frames_as_stored_come_in_pieces_too(shop: Shop) -> None:
    whole = shop.get(CT, accept=AS_STORED)
    assert (whole.status_code, whole.headers["Accept-Ranges"]) == (200, "bytes")
    piece = shop.get(CT, accept=AS_STORED, Range="bytes=1000-1999")
    assert piece.status_code == 206
    assert sizes(piece) == (1000, 1999, len(whole.content))
    assert piece.content == whole.content[1000:2000]


def test_in_parts_they_are_the_same_bytes(shop: Shop) -> None:
    accept = 'multipart/related; type="image/jphc"; transfer-syntax=1.2.840.10008.1.2.4.202'
    (part,) = parts_of(shop.get(CT, accept=accept))
    assert part == (ACCEPT, shop.get(CT).content)


PREVIEWS = 'multipart/related; type="image/jphc"; transfer-syntax=1.2.840.10008.1.2.4.202'


def series_of(where: str) -> tuple[str, str]:
    """The path of the series, and the instance's UID."""
    series, _, instance = where.partition("/instances/")
    return series, instance


def test_previews_of_many_slices_come_in_one_answer(tmp_path: Path) -> None:
    study, series = generate_uid(), generate_uid()
    contents = [ct_slice(number, study, series, side=128) for number in range(30)]
    with running_server(tmp_path / "data") as server:
        web = Web(server, staff_token(server))
        assert web.send(*contents).status_code == 200
        wheres = [where_of(content) for content in contents][::-1]
        path, _ = series_of(wheres[0])
        wanted = ",".join(series_of(where)[1] for where in wheres)
        for _ in range(2):  # Made at once, and then as they are kept.
            answer = web.get(f"{path}/previews?level=2&instances={wanted}", PREVIEWS)
            assert answer.status_code == 200
            parts = parts_of(answer)
            assert len(parts) == 30
            for where, (type, content) in zip(wheres, parts, strict=True):
                assert type == ACCEPT
                assert content == web.get(f"{where}/frames/1?level=2", ACCEPT).content
        locations = re.findall(r"Content-Location: (\S+)", answer.content.decode("latin-1"))
        assert [f"{path}/{each}" for each in locations] == [f"{where}/frames/1" for where in wheres]
        spans = re.findall(r"Content-Range: bytes 0-(\d+)/(\d+)", answer.content.decode("latin-1"))
        assert [int(last) + 1 for last, _ in spans] == [len(content) for _, content in parts]
        assert int(spans[0][1]) == len(web.get(f"{wheres[0]}/frames/1", ACCEPT).content)


def test_what_has_no_preview_is_left_out_of_many(shop: Shop) -> None:
    path, instance = series_of(shop.where[PALETTE])
    answer = shop.web.get(f"{path}/previews?instances={instance}", PREVIEWS)
    assert answer.status_code == 200
    assert parts_of(answer) == []


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("", PREVIEWS, 400),
        ("?instances=", PREVIEWS, 400),
        ("?instances=1.2,", PREVIEWS, 400),
        ("?instances=../secret", PREVIEWS, 400),
        ("?level=9&instances=1.2", PREVIEWS, 400),
        ("?instances=" + ",".join(["1.2"] * 101), PREVIEWS, 400),
        ("?instances=1.2", PREVIEWS, 404),
        ("?instances={}", "image/png", 406),
        ("?instances={}", "*/*", 200),
    ],
)
def test_many_previews_are_asked_for_rightly_or_refused_plainly(
    shop: Shop, query: str, accept: str, status: int
) -> None:
    path, instance = series_of(shop.where[CT])
    assert shop.web.get(f"{path}/previews{query.format(instance)}", accept).status_code == status


def test_who_may_not_see_a_study_gets_nothing_of_its_frames(shop: Shop) -> None:
    made = shop.server.create_session()
    for role, status in (("satellite", 404), ("hub", 404), ("viewer", 403)):
        stranger = Web(shop.server, made["links"][role].rpartition("#")[2])
        answer = stranger.get(f"{shop.where[CT]}/frames/1?level=2", ACCEPT)
        assert answer.status_code == status, role


def test_what_was_made_lies_sealed_beside_the_study(shop: Shop) -> None:
    whole = shop.get(CT).content
    files = [path for path in (shop.server.data_dir / "derived").rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert b"\xff\x4f\xff\x51" not in content
        assert whole[200:232] not in content


def test_a_server_that_may_keep_nothing_makes_each_when_it_is_asked_for(tmp_path: Path) -> None:
    content = files_with_pixels()["CT_small.dcm"].read_bytes()
    with running_server(tmp_path / "data", settings={"picture_cache_mb": "0"}) as server:
        web = Web(server, staff_token(server))
        assert web.send(content).status_code == 200
        small, whole = (web.get(f"{where_of(content)}/frames/1{level}", ACCEPT) for level in ("?level=2", ""))
        assert (small.status_code, whole.status_code) == (206, 200)
        assert whole.content.startswith(small.content)
        assert server.stop() == 0
    assert not list((tmp_path / "data").glob("derived/*"))


def test_shredding_a_study_leaves_none_of_its_pictures(tmp_path: Path) -> None:
    content = files_with_pixels()["CT_small.dcm"].read_bytes()
    with running_server(tmp_path / "data") as server:
        web = Web(server, staff_token(server))
        assert web.send(content).status_code == 200
        assert web.get(f"{where_of(content)}/frames/1", ACCEPT).status_code == 200
        ((folder),) = list((tmp_path / "data" / "derived").iterdir())
        headers = {"Authorization": f"Bearer {web.token}"}
        deadline_s, status = time.monotonic() + 40, 409
        while status == 409:  # Its sender's streams are open for a moment yet.
            assert time.monotonic() < deadline_s
            address = f"{server.address}/api/studies/{folder.name}"
            status = requests.delete(address, headers=headers, timeout=40).status_code
        assert status < 300
        assert not folder.exists()
        assert web.get(f"{where_of(content)}/frames/1", ACCEPT).status_code == 404


def test_a_server_that_dies_while_pictures_are_made_gives_the_same_ones_after_its_next_start(
    tmp_path: Path,
) -> None:
    study, series = generate_uid(), generate_uid()
    contents = [ct_slice(number, study, series) for number in range(30)]
    derived = tmp_path / "data" / "derived"

    def kept_bytes() -> int:
        return sum(path.stat().st_size for path in derived.rglob("*.parts"))

    with running_server(tmp_path / "data") as server:
        web = Web(server, staff_token(server))
        assert web.send(*contents).status_code == 200
        deadline_s = time.monotonic() + 40
        while kept_bytes() < 400_000:
            assert time.monotonic() < deadline_s
            web.get("/studies")
        server.stop(signal.SIGKILL)
        server.start()
        for content in contents:
            answer = web.get(f"{where_of(content)}/frames/1", ACCEPT)
            assert answer.status_code == 200
            values = pydicom.dcmread(io.BytesIO(content)).pixel_array
            np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(answer.content, planar=False), values)


_FAR = """
import hashlib, http.client, json, sys, time
host, port, token, paths = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
connection = http.client.HTTPConnection(host, port, timeout=40)
told = []
for path, headers in paths:
    began_s = time.perf_counter()
    connection.request("GET", "/dicom-web" + path, headers={"Authorization": "Bearer " + token, **headers})
    answer = connection.getresponse()
    body = answer.read()
    told.append([answer.status, time.perf_counter() - began_s, len(body), hashlib.sha256(body).hexdigest()])
print(json.dumps(told))
"""


@pytest.mark.alone
@pytest.mark.netns
@pytest.mark.timeout(120)
def test_the_first_picture_of_a_ct_is_there_within_a_second_at_512_kbit(tmp_path: Path) -> None:
    content = ct_slice(1, generate_uid(), generate_uid())
    picture = f"{where_of(content)}/frames/1"
    (tmp_path / "slice.dcm").write_bytes(content)
    with (
        two_hosts() as line,
        running_server(tmp_path / "data", host=NEAR_ADDRESS, prefix=line.near.command()) as server,
    ):
        token = staff_token(server)

        def ask(host: list[str], *paths: tuple[str, dict[str, str]]) -> list[tuple[int, float, int, str]]:
            words = [sys.executable, "-c", _FAR, NEAR_ADDRESS, str(server.port), token, json.dumps(paths)]
            done = subprocess.run([*host, *words], capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stderr
            return [tuple(each) for each in json.loads(done.stdout)]

        near, far = line.near.command(), line.far.command()
        send = [sys.executable, "-c", _SEND, server.address, token, str(tmp_path / "slice.dcm")]
        subprocess.run([*near, *send], check=True, cwd=ROOT, timeout=60)
        ((_, _, total, digest),) = ask(near, (picture, {"Accept": ACCEPT}))
        line.set(rate_bps=512_000, delay_ms=20, queue_ms=300)
        wake = (
            f"{where_of(content)}/metadata",
            {"Accept": "application/dicom+json", "Accept-Encoding": "gzip"},
        )
        _, preview, whole = ask(
            far, wake, (picture + "?level=2", {"Accept": ACCEPT}), (picture, {"Accept": ACCEPT})
        )
    print(f"first picture {preview[1]:.2f} s for {preview[2]} bytes, whole {whole[1]:.2f} s for {whole[2]}")
    assert preview[0] == 206
    assert preview[1] < 1.0
    assert (whole[2], whole[3]) == (total, digest)
    assert whole[1] > 3 * preview[1]


_SEND = """
import sys, requests
from pathlib import Path
from tests.imaging.webclients import body_of
body, type = body_of([Path(sys.argv[3]).read_bytes()])
headers = {"Authorization": "Bearer " + sys.argv[2], "Accept": "application/dicom+json", "Content-Type": type}
assert requests.post(sys.argv[1] + "/dicom-web/studies", data=body, headers=headers, timeout=40).status_code == 200
"""
