"""Objects made to do harm: refused with a plain reason, within bounds of time and memory, and nothing stays of them."""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from bridge.imaging.errors import DicomError
from bridge.imaging.layout import decode_metadata, json_of
from bridge.imaging.parsing import Parsed, parse, parsed_of
from bridge.imaging.part10 import file_meta
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in, ct_slice

SEEDS = [
    Path(get_testdata_file(name)).read_bytes()
    for name in (
        "CT_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "image_dfl.dcm",
        "rtplan.dcm",
        "reportsi.dcm",
        "SC_rgb_rle_2frame.dcm",
        "UN_sequence.dcm",
        "examples_overlay.dcm",
        "liver_1frame.dcm",
    )
]
TIME_LIMIT_S = 20.0
"""For one object, on a machine that does much else. None may take longer than reading a real large one does."""


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real object with bytes changed, taken out, put in or cut off, most of them where the header is."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(len(content) - 1, draw(st.sampled_from([400, 4_000, len(content)])))))
        match draw(st.sampled_from(["flip", "length", "insert", "remove", "cut", "repeat"])):
            case "flip":
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "length":
                content[at : at + 4] = struct.pack(
                    "<L", draw(st.sampled_from([0, 1, 7, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]))
                )
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=20))
            case "remove":
                del content[at : at + draw(st.integers(1, 40))]
            case "cut":
                del content[max(at, 140) :]
            case "repeat":
                content[at:at] = content[at : at + draw(st.integers(1, 200))]
    return bytes(content)


def check(parsed: Parsed, content: bytes) -> None:
    """What is believed of an object lies within it."""
    metadata = decode_metadata(parsed.metadata)
    json_of(metadata)
    table = metadata.frames
    if table.kind in ("encapsulated", "video"):
        for row in table.segments:
            for offset, length in zip(row[::2], row[1::2], strict=True):
                assert 0 < offset <= offset + length <= len(content)
    if table.kind == "native":
        assert table.offset * 8 + table.frame_bits * table.count <= len(content) * 8
    if table.kind != "deflated":
        assert all(offset + length <= len(content) for offset, length, _ in metadata.bulk.values())
    assert parsed.note.size_bytes == len(content)


@settings(max_examples=600, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_damaged_object_is_refused_or_understood(content: bytes) -> None:
    with contextlib.suppress(DicomError):
        check(parse(content), content)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_no_damaged_object_kills_a_worker(workers: Workers, content: bytes) -> None:
    lost = workers.lost
    with contextlib.suppress(DicomError):
        check(parsed_of(workers.call("bridge.imaging.parsing:parse_object", content)), content)
    assert workers.lost == lost


def deflated(content: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    packed = deflater.compress(content) + deflater.flush()
    return file_meta("1.2", "1.2.3", DeflatedExplicitVRLittleEndian) + packed


def zeros_that_pack_well() -> bytes:
    return deflated(b"\x09\x00\x01\x10OB\0\0" + (600 << 20).to_bytes(4, "little") + bytes(600 << 20))


def bombs() -> dict[str, tuple[str, bytes]]:
    """Each with the code of its refusal. What is `damaged` is no object anyway: it is about the time it takes."""
    explicit = file_meta("1.2", "1.2.3", ExplicitVRLittleEndian)
    implicit = file_meta("1.2", "1.2.3", ImplicitVRLittleEndian)
    jpeg = file_meta("1.2", "1.2.3", JPEGBaseline8Bit)
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    sequence = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff"
    backwards = b"".join(
        struct.pack("<HHL", 0x0100 - number // 0x8000 * 2, 0xFFF0 - number % 0x8000, 0)
        for number in range(900_000)
    )
    return {
        "zeros that pack well": ("tooLarge", zeros_that_pack_well()),
        "elements without number": (
            "tooLarge",
            implicit + struct.pack("<HHL", 8, 0x1115, 0xFFFFFFFF) + item * 4_000_000,
        ),
        "elements backwards": ("damaged", implicit + backwards),
        "fragments without number": ("tooLarge", jpeg + pixels + item * 4_000_000),
        "fragments without end": ("damaged", jpeg + pixels + item * 10),
        "items without end": ("damaged", explicit + sequence + item * 10),
        "sequences without end": (
            "tooLarge",
            explicit + (sequence + item[:4] + b"\xff\xff\xff\xff") * 200_000,
        ),
        "a length beyond the file": (
            "damaged",
            explicit + b"\x09\x00\x01\x10OB\0\0\xf0\xff\xff\xff" + bytes(50),
        ),
        "a number that is a puzzle": ("damaged", implicit + long_value(0x18, 0x50, b"1" * 1_999_999 + b"x")),
        "a character set that is a trap": (
            "damaged",
            implicit + long_value(8, 5, b"idna") + long_value(0x10, 0x10, b"\xe9" * 1_000_000),
        ),
        "names without number": ("damaged", implicit + long_value(0x10, 0x10, b"a^b=c\\d=" * 1_000_000)),
    }


def long_value(group: int, number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", group, number, len(value)) + value


@pytest.mark.timeout(300)
def test_bombs_are_refused_within_limits(tmp_path: Path, workers: Workers) -> None:
    with archive_in(tmp_path / "data", workers) as archive, archive.arrivals() as arrivals:
        lost = workers.lost
        for name, (code, content) in bombs().items():
            begun_s = time.monotonic()
            with pytest.raises(DicomError) as caught:
                arrivals.keep(content)
            assert time.monotonic() - begun_s < TIME_LIMIT_S, name
            assert caught.value.code == code, name
        assert archive.catalogue.all() == []
        assert not list((tmp_path / "data").glob("imaging/*"))
        assert arrivals.keep(ct_slice(1, "1.2", "1.2.3", side=32)).is_new
        assert workers.lost == lost


def test_an_object_of_more_than_the_limit_is_refused_while_it_arrives(
    tmp_path: Path, workers: Workers
) -> None:
    with archive_in(tmp_path / "data", workers) as archive, archive.arrivals() as arrivals:
        piece = bytes(64 << 20)
        with arrivals.begin() as arriving:
            for _ in range(16):
                arriving.write(piece)
            with pytest.raises(DicomError) as caught:
                arriving.write(b"x")
        assert caught.value.code == "tooLarge"
        assert arrivals.keep(ct_slice(1, "1.2", "1.2.3", side=32)).is_new


def test_a_refused_object_leaves_nothing_in_a_study_that_is_there(tmp_path: Path, workers: Workers) -> None:
    whole = ct_slice(1, "1.2", "1.2.3")
    with archive_in(tmp_path / "data", workers) as archive, archive.arrivals() as arrivals:
        study = arrivals.keep(whole).study
        before = sum(path.stat().st_size for path in (tmp_path / "data" / "imaging").rglob("*"))
        for cut in (1, 300, 3_000, 300_000):
            with pytest.raises(DicomError):
                arrivals.keep(ct_slice(2, "1.2", "1.2.3")[:-cut])
        assert sum(path.stat().st_size for path in (tmp_path / "data" / "imaging").rglob("*")) == before
        assert archive.catalogue.get(study).instances == 1
