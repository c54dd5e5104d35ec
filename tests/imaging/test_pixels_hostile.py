"""What strangers send: every fault of it is a `PixelError`, and none of it takes memory beyond a bound.

Mutated frames are decoded in a process of their own with limited memory, as the server does it: a codec that
crashes or allocates too much shows there.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import struct
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydicom.dataset import Dataset

from bridge.errors import CODES
from bridge.imaging.pixels.codestreams import read_jpeg, read_jpeg2000
from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.display import Display
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import (
    EXPLICIT_LITTLE,
    HTJ2K_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
    PixelFormat,
)
from bridge.imaging.pixels.progressive import encode_progressive
from bridge.imaging.pixels.rendering import Rendering, render_frame
from tests.imaging.pictures import frame_bytes, named

JPEG_2000 = "1.2.840.10008.1.2.4.90"
JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
GREY = PixelFormat(EXPLICIT_LITTLE, 64, 64, 1, "MONOCHROME2", 16, 16, 15, False, False, 1)
# Room for the interpreter with its libraries, and for one small picture many times over.
MEMORY_BYTES = 3 << 30
ROUNDS = 250
# Of processor time. A damaged JPEG-LS frame can keep CharLS counting up to 2 to the 31st before it gives up.
LONGEST_S = 15.0
SEEDS = (
    "MR_small_RLE.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-lossy.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "HTJ2K",
)


def seed_of(name: str) -> tuple[PixelFormat, bytes]:
    if name == "HTJ2K":
        values = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
        form = replace(GREY, transfer_syntax=HTJ2K_LOSSLESS, bits_stored=12, high_bit=11)
        return form, encode_progressive(values, 12).data
    dataset = named(name)
    form = PixelFormat.of(dataset)
    return form, frame_bytes(dataset, form, 0)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut out, doubled; headers more often than the rest."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        reach = len(changed) if chance.random() < 0.4 else min(len(changed), 160)
        if not reach:
            break
        at = chance.randrange(reach)
        match chance.randrange(5):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] = chance.choice((0, 0xFF, 0x7F, 0x80, 1))
            case 2:
                del changed[at : at + chance.choice((1, 2, 50, 10_000))]
            case 3:
                changed[at:at] = changed[at : at + chance.choice((1, 4, 300))]
            case _:
                changed[at : at + 4] = struct.pack(
                    ">I", chance.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
                )
    return bytes(changed)


def decode_mutations(name: str, report: Connection) -> None:
    """Runs in the limited process. Says what it is about to do, so that a crash can be told from an end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    form, data = seed_of(name)
    refused = 0
    for seed in range(ROUNDS):
        hostile = mutated(data, random.Random(seed))
        began = time.process_time()
        try:
            frame = decode_frame(form, hostile)
            assert frame.values.nbytes <= 4 * form.pixels * form.samples
            render_frame(frame, Display(), Rendering())
        except PixelError:
            refused += 1
        took_s = time.process_time() - began
        if took_s > LONGEST_S:
            report.send(f"seed {seed} took {took_s:.0f} s")
            return
    report.send(refused)


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_frames_are_refused_or_decoded_within_bounds(name: str) -> None:
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=decode_mutations, args=(name, there))
    process.start()
    there.close()
    try:
        outcome = here.recv() if here.poll(55) else "it hangs"
    except EOFError:
        process.join(5)
        outcome = f"it ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    assert isinstance(outcome, int), outcome
    assert 0 < outcome <= ROUNDS


def jpeg_with(rows: int, columns: int) -> bytes:
    """A JPEG picture of 16 by 16 that says to be another size."""
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8)))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, rows, columns)
    return bytes(data)


def jpeg2000_with(
    *, size: int = 64, tile: int = 64, precinct: int | None = None, block: int | None = None
) -> bytes:
    """A JPEG 2000 picture of 64 by 64 whose header lies."""
    values = np.zeros((64, 64), np.uint16)
    data = bytearray(imagecodecs.jpeg2k_encode(values, reversible=True, codecformat="j2k"))
    struct.pack_into(">II", data, 8, size, size)
    struct.pack_into(">II", data, 24, tile, tile)
    at = data.index(b"\xff\x52")
    if block is not None:
        data[at + 10 : at + 12] = bytes((block, block))
    if precinct is not None:
        (length,) = struct.unpack_from(">H", data, at + 2)
        data[at + 4] |= 1
        levels = data[at + 9]
        data[at + 2 + length : at + 2 + length] = bytes([precinct]) * (levels + 1)
        struct.pack_into(">H", data, at + 2, length + levels + 1)
    return bytes(data)


def large(syntax: str, side: int, bits: int = 16) -> PixelFormat:
    return replace(
        GREY,
        transfer_syntax=syntax,
        rows=side,
        columns=side,
        bits_allocated=bits,
        bits_stored=bits,
        high_bit=bits - 1,
    )


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (large(JPEG_BASELINE, 16, 8), jpeg_with(65_535, 65_535)),
        (large(JPEG_BASELINE, 16, 8), jpeg_with(0, 16)),
        (large(JPEG_2000, 64), jpeg2000_with(size=0xFFFFFFFF)),
        (large(JPEG_2000, 64), jpeg2000_with(tile=0)),
        (large(JPEG_2000, 8000), jpeg2000_with(size=8000, tile=1)),
        (large(JPEG_2000, 8000), jpeg2000_with(size=8000, tile=8000, precinct=0x00)),
        (large(JPEG_2000, 8000), jpeg2000_with(size=8000, tile=8000, block=0)),
        (large(JPEG_2000, 64), jpeg2000_with(block=9)),
        (large(RLE_LOSSLESS, 64), struct.pack("<16I", 15, *range(64, 79)) + bytes(100)),
        (large(RLE_LOSSLESS, 64), struct.pack("<16I", 2, 64, 0xFFFFFFFF, *[0] * 13) + bytes(100)),
        (large(RLE_LOSSLESS, 64), struct.pack("<16I", 2, 64, 64, *[0] * 13) + b"\x81\x00" * 100_000),
        (large(JPEG_LS_LOSSLESS, 64), jpeg_with(64, 64)),
        (large(JPEG_LOSSLESS, 64), b"\xff\xd8" + b"\xff" * 100),
        (GREY, bytes(8191)),
        (large(JPEG_BASELINE, 16, 8), b"\xff\xd8\xff\xc9\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"),
    ],
)
def test_lying_headers_are_refused_before_anything_is_decoded(form: PixelFormat, data: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(PixelError) as caught:
        decode_frame(form, data)
    assert time.monotonic() - began < 1
    assert caught.value.code in CODES
    assert caught.value.text.endswith(".")


@settings(max_examples=300)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  \r\n\x87\n"]),
)
def test_headers_of_any_bytes_are_read_or_refused(tail: bytes, head: bytes) -> None:
    for reader in (read_jpeg, read_jpeg2000):
        try:
            reader(head + tail)
        except PixelError:
            continue


NUMBERS = st.one_of(st.integers(-5, 70_000), st.sampled_from([1, 8, 16, 512]))


@settings(max_examples=200)
@given(
    rows=NUMBERS,
    columns=NUMBERS,
    samples=st.integers(-1, 300),
    allocated=st.one_of(st.sampled_from([1, 8, 12, 16, 32, 64]), NUMBERS),
    stored=NUMBERS,
    high=NUMBERS,
    frames=st.integers(-5, 1 << 33),
    photometric=st.sampled_from(
        ["MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL_422", "ARGB", "", "X" * 99]
    ),
)
def test_descriptions_that_cannot_be_are_refused_and_others_bounded(**said: Any) -> None:
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, name in (
            ("Rows", "rows"),
            ("Columns", "columns"),
            ("SamplesPerPixel", "samples"),
            ("BitsAllocated", "allocated"),
            ("BitsStored", "stored"),
            ("HighBit", "high"),
            ("NumberOfFrames", "frames"),
            ("PhotometricInterpretation", "photometric"),
        ):
            setattr(dataset, keyword, said[name])
        try:
            form = PixelFormat.of(dataset, EXPLICIT_LITTLE)
        except PixelError:
            return
    assert form.native_bits <= 8 * 256 * 1024 * 1024
    assert form.pixels <= 64 * 1024 * 1024


def test_a_frame_that_is_too_large_is_told_so() -> None:
    with pytest.raises(PixelError) as caught:
        replace(GREY, rows=65_535, columns=65_535)
    assert caught.value.code == "tooLarge"


def hostile_display(change: Callable[[Dataset], None]) -> Dataset:
    dataset = named("693_UNCR.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(dataset)
    return dataset


def _set(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


@pytest.mark.parametrize(
    "change",
    [
        _set("RescaleSlope", "1e300"),
        _set("RescaleIntercept", "-1e99"),
        _set("VOILUTSequence", [Dataset()]),
        _set("WindowWidth", ["-5", "0"]),
        _set("WindowCenter", "1e300"),
        _set("PixelSpacing", ["0", "0"]),
        _set("PixelSpacing", ["1e-300", "1e300"]),
        _set("PixelPaddingValue", 70),
        _set("WindowWidth", None),
    ],
)
def test_displays_that_make_no_sense_are_refused_or_shown_without_it(
    change: Callable[[Dataset], None],
) -> None:
    dataset = hostile_display(change)
    form = PixelFormat.of(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            display = Display.of(dataset)
        except PixelError:
            return
    frame = decode_frame(form, frame_bytes(dataset, form, 0))
    picture = imagecodecs.png_decode(render_frame(frame, display, Rendering("image/png")))
    assert picture.size <= 8192 * 8192


@pytest.mark.parametrize("descriptor", [[0, 0, 16], [3, 0, 99], [3, 0], [7, -5, 8]])
def test_look_up_tables_that_do_not_fit_are_refused(descriptor: list[int]) -> None:
    item = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        item.LUTDescriptor = descriptor
        item.LUTData = [1, 2, 3]
        dataset = hostile_display(_set("VOILUTSequence", [item]))
        with pytest.raises(PixelError):
            Display.of(dataset)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_palettes_of_any_bytes_are_read_or_refused(data: bytes) -> None:
    dataset = named("OBXXXX1A.dcm")
    for colour in ("Red", "Green", "Blue"):
        del dataset[f"{colour}PaletteColorLookupTableData"]
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", data[: len(data) // 2 * 2])
    try:
        palette = Display.of(dataset).palette
    except PixelError:
        return
    assert palette is not None
    assert len(palette.red.values) <= 1 << 16
