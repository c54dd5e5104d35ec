"""Which frames become codestreams that sharpen, that their values stay, and that other decoders take the beginning."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.imaging import parsing
from bridge.imaging.layout import InstanceNote
from bridge.imaging.pixels.codestreams import read_jpeg2000
from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import HTJ2K_LOSSLESS_RPCL, NATIVE, PixelFormat
from bridge.imaging.pixels.native import Values
from bridge.imaging.pixels.progressive import decode_preview, encode_progressive
from bridge.imaging.pixels.stepwise import GROWTH_LIMIT, Stepwise, may_pay, stepwise
from tests.imaging.pictures import BROKEN, files_with_pixels, frame_bytes, named

WEB = Path(__file__).resolve().parents[2] / "web"


def noted(name: str) -> InstanceNote | None:
    """None for what is not taken in at all."""
    try:
        return parsing.parse(files_with_pixels()[name].read_bytes()).note
    except BridgeError:
        return None


def tried() -> list[str]:
    """All objects of pydicom and pydicom-data whose frames are worth trying."""
    return [
        name
        for name in files_with_pixels()
        if name not in BROKEN and (note := noted(name)) is not None and may_pay(note)
    ]


@pytest.mark.parametrize("name", tried())
def test_stored_values_come_back_exactly(name: str) -> None:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    for index in sorted({0, form.frames - 1}):
        stored = frame_bytes(dataset, form, index)
        expected = decode_frame(form, stored, index)
        try:
            made = stepwise(form, stored, index)
        except PixelError as error:
            assert_refused_rightly(error, form, stored, index)
            continue
        data = made.data or stored
        assert made.ends[-1] == len(data)
        assert list(made.ends) == sorted(set(made.ends))
        # OpenJPEG shares no line with the encoder.
        np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(data, planar=False), expected.values)
        assert form.transfer_syntax in NATIVE or len(data) <= GROWTH_LIMIT * len(stored)
        head = read_jpeg2000(data)
        assert (head.bits, head.signed) == (expected.bits_stored, form.signed)
        preview = decode_preview(data[: made.ends[-3]], 2)
        assert preview.shape[:2] == (-(-form.rows // 4), -(-form.columns // 4))
        np.testing.assert_array_equal(preview, decode_preview(data, 2))


def assert_refused_rightly(error: PixelError, form: PixelFormat, stored: bytes, index: int) -> None:
    assert error.code == "unsupported"
    if form.transfer_syntax == HTJ2K_LOSSLESS_RPCL or (form.signed and form.bits_stored <= 8):
        return
    frame = decode_frame(form, stored, index)
    made = encode_progressive(frame.values, frame.bits_stored, decorrelate=frame.photometric == "RGB")
    assert len(made.data) > GROWTH_LIMIT * len(stored)


def test_most_objects_are_worth_it() -> None:
    names = tried()
    assert len(names) > 60
    for name in ("693_UNCR.dcm", "CT_small.dcm", "MR2_J2KI.dcm", "US1_UNCR.dcm", "emri_small_RLE.dcm"):
        assert name in names


@pytest.mark.parametrize(
    "name",
    [
        "color3d_jpeg_baseline.dcm",  # pictures that lost something already
        "OBXXXX1A.dcm",  # indices into a palette
        "liver_1frame.dcm",  # one bit a pixel
        "image_dfl.dcm",  # deflated as a whole
        "rtdose.dcm",  # 32 bits a pixel
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_what_cannot_or_does_not_pay_is_not_tried(name: str) -> None:
    note = noted(name)
    assert note is not None
    assert not may_pay(note)


def form_of(
    values: Values, bits: int, syntax: str = "1.2.840.10008.1.2.1", colours: str = "RGB"
) -> PixelFormat:
    rows, columns = values.shape[:2]
    samples = 3 if values.ndim == 3 else 1
    kind = colours if samples == 3 else "MONOCHROME2"
    signed = values.dtype.kind == "i"
    allocated = 8 * values.itemsize
    return PixelFormat(syntax, rows, columns, samples, kind, allocated, bits, bits - 1, signed, False, 1)


def pattern(rows: int, columns: int, bits: int, signed: bool, colours: bool, seed: int) -> Values:
    low = -(1 << bits - 1) if signed else 0
    shape = (rows, columns, 3) if colours else (rows, columns)
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    return np.random.default_rng(seed).integers(low, low + (1 << bits), shape).astype(kind)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 140),
    columns=st.integers(1, 140),
    bits=st.sampled_from([8, 10, 12, 16]),
    signed=st.booleans(),
    colours=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_size_and_depth_comes_back(
    rows: int, columns: int, bits: int, signed: bool, colours: bool, seed: int
) -> None:
    values = pattern(rows, columns, bits, signed, colours, seed)
    form = form_of(values, bits)
    if signed and (bits <= 8 or colours):
        with pytest.raises(PixelError):
            stepwise(form, values.tobytes(), 0)
        return
    made = stepwise(form, values.tobytes(), 0)
    assert len(made.ends) >= 6
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(made.data, planar=False), values)


def test_a_frame_that_is_stored_so_stays_as_it_is() -> None:
    values = pattern(100, 90, 12, False, False, 1)
    stored = encode_progressive(values, 12)
    made = stepwise(form_of(values, 12, HTJ2K_LOSSLESS_RPCL), stored.data, 0)
    assert made.data == b""
    assert made.ends == stored.ends


def test_a_frame_of_others_whose_resolutions_are_not_apart_is_refused() -> None:
    values = pattern(100, 90, 12, False, False, 1)
    form = form_of(values, 12, HTJ2K_LOSSLESS_RPCL)
    one_part = bytes(imagecodecs.htj2k_encode(values, reversible=True, resolutions=5))
    with pytest.raises(PixelError) as caught:
        stepwise(form, one_part, 0)
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize("cut", [60, 400, 900])
def test_a_frame_of_others_that_is_cut_off_or_damaged_is_refused(cut: int) -> None:
    values = pattern(100, 90, 12, False, False, 1)
    form = form_of(values, 12, HTJ2K_LOSSLESS_RPCL)
    stored = encode_progressive(values, 12).data
    with pytest.raises(PixelError):
        stepwise(form, stored[:cut], 0)
    with pytest.raises(PixelError):
        stepwise(form, stored[:cut] + bytes(200) + stored[cut + 100 :], 0)


def test_another_codestream_has_another_tag() -> None:
    one, other = (pattern(40, 40, 12, False, False, seed) for seed in (1, 2))
    tags = [stepwise(form_of(values, 12), values.tobytes(), 0).tag for values in (one, other, one)]
    assert tags[0] == tags[2] != tags[1]


_DECODE = """
const fs = require("fs");
const pictures = JSON.parse(fs.readFileSync(0));
require(process.argv[1])({ print() {}, printErr() {} }).then((codec) => {
  const told = pictures.map(({ file, bytes, skipped }) => {
    const decoder = new codec.HTJ2KDecoder();
    decoder.getEncodedBuffer(bytes).set(fs.readFileSync(file).subarray(0, bytes));
    decoder.readHeader();
    decoder.decodeSubResolution(skipped);
    const { bitsPerSample, isSigned, componentCount } = decoder.getFrameInfo();
    const { width, height } = decoder.calculateSizeAtDecompositionLevel(skipped);
    const pixels = Buffer.from(decoder.getDecodedBuffer()).toString("base64");
    decoder.delete();
    return { width, height, bitsPerSample, isSigned, componentCount, pixels };
  });
  console.log(JSON.stringify(told));
});
"""


def by_browsers_decoder(folder: Path, made: list[tuple[Stepwise, int]]) -> list[tuple[Values, bool]]:
    """What the decoder that browsers run makes of the first bytes, so many resolutions left out."""
    pictures = []
    for number, (each, skipped) in enumerate(made):
        path = folder / f"{number}.j2c"
        path.write_bytes(each.data)
        pictures.append({"file": str(path), "bytes": each.ends[-1 - skipped], "skipped": skipped})
    codec = WEB / "node_modules" / "@cornerstonejs" / "codec-openjph"
    done = subprocess.run(
        ["node", "-e", _DECODE, str(codec)],
        input=json.dumps(pictures),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = []
    for told in json.loads(done.stdout):
        kind = ("i" if told["isSigned"] else "u") + ("1" if told["bitsPerSample"] <= 8 else "2")
        shape = (told["height"], told["width"], told["componentCount"])
        pixels = np.frombuffer(base64.b64decode(told["pixels"]), f"<{kind}")
        found.append((pixels.reshape(shape if shape[2] > 1 else shape[:2]), told["isSigned"]))
    return found


@pytest.mark.parametrize("name", ["693_UNCR.dcm", "MR2_UNCR.dcm", "US1_UNCR.dcm", "CT_small.dcm"])
def test_the_decoder_of_browsers_takes_each_beginning_and_the_whole(name: str, tmp_path: Path) -> None:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    made = stepwise(form, frame_bytes(dataset, form, 0), 0)
    decoded = by_browsers_decoder(tmp_path, [(made, skipped) for skipped in range(len(made.ends))])
    for skipped, (values, signed) in enumerate(decoded):
        assert signed == form.signed
        expected = decode_preview(made.data[: made.ends[-1 - skipped]], skipped)
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (12, True), (16, False), (16, True)])
def test_the_decoder_of_browsers_lets_nothing_come_out_at_the_other_end(
    bits: int, signed: bool, tmp_path: Path
) -> None:
    low = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1
    values = np.full((97, 131), low, f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    values[30:60, 41:99] = high
    made = stepwise(form_of(values, bits), values.tobytes(), 0)
    (whole, _), (small, _) = by_browsers_decoder(tmp_path, [(made, 0), (made, 2)])
    np.testing.assert_array_equal(whole, values)
    clipped = np.clip(small.astype(int), low, high)
    np.testing.assert_array_equal(clipped, decode_preview(made.data, 2))
