"""Rendered pictures, held against the standard's formulas written anew, against pydicom's tables, and against dcmtk."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

from bridge.imaging.pixels.colours import Lut, expand_segments, to_rgb
from bridge.imaging.pixels.decoding import Frame, decode_frame
from bridge.imaging.pixels.display import Display, Window, middle_frame
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import PixelFormat
from bridge.imaging.pixels.greys import to_grey
from bridge.imaging.pixels.native import Values
from bridge.imaging.pixels.rendering import (
    Rendering,
    Viewport,
    parse_viewport,
    parse_window,
    picture_of,
    render,
    render_frame,
    thumbnail,
)
from bridge.imaging.pixels.scaling import scale
from tests.imaging.pictures import files_with_pixels, frame_bytes, named

CT = "693_UNCR.dcm"


def decoded(name: str, index: int = 0) -> tuple[Dataset, Frame, Display]:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    return dataset, decode_frame(form, frame_bytes(dataset, form, index), index), Display.of(dataset, index)


def grey_of(x: float, centre: float, width: float) -> int:
    """PS3.3 C.11.2.1.2.1 as it is printed there, for 256 greys."""
    if x <= centre - 0.5 - (width - 1) / 2:
        return 0
    if x > centre - 0.5 + (width - 1) / 2:
        return 255
    return round(((x - (centre - 0.5)) / (width - 1) + 0.5) * 255)


@pytest.mark.parametrize(
    ("centre", "width"), [(40, 400), (40, 80), (-600, 1500), (480, 2500), (0, 2), (100.5, 1)]
)
def test_a_ct_is_windowed_as_the_standard_prints_it(centre: float, width: float) -> None:
    _, frame, display = decoded(CT)
    picture = to_grey(frame, display, Window(centre, width))
    hounsfield = frame.values.astype(int) - 1024
    for value in np.unique(hounsfield):
        if value == -2000 - 1024:
            continue
        seen = picture[hounsfield == value]
        assert seen.min() == seen.max()
        assert abs(int(seen[0]) - grey_of(float(value), centre, width)) <= 1


def test_a_window_of_the_object_is_used_where_none_is_asked_for() -> None:
    _, frame, display = decoded(CT)
    assert display.windows == (Window(40, 100),)
    np.testing.assert_array_equal(to_grey(frame, display), to_grey(frame, display, Window(40, 100)))


def test_padding_around_a_picture_is_black_even_when_inverted() -> None:
    _, frame, display = decoded(CT)
    assert display.padding == (-2000, -2000)
    for inverted in (False, True):
        picture = to_grey(frame, replace(display, inverted=inverted), Window(-1000, 5000))
        assert not picture[frame.values == -2000].any()
        assert picture[frame.values != -2000].any()


@pytest.mark.parametrize("name", ["vlut_04.dcm", "mlut_18.dcm"])
def test_tables_of_an_object_are_applied_as_pydicom_does(name: str) -> None:
    dataset, frame, display = decoded(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after = apply_voi_lut(apply_modality_lut(pixel_array(dataset), dataset), dataset).astype(float)
    lut = display.voi_lut or display.modality_lut
    assert lut is not None
    if display.voi_lut is not None:
        expected = np.rint(after / ((1 << lut.bits) - 1) * 255)
    else:
        low, high = np.quantile(after, (0.001, 0.999), method="nearest")
        expected = np.rint(np.clip((after - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(to_grey(frame, display), expected)


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm", "6154"])
def test_monochrome1_shows_small_values_white(name: str) -> None:
    _, frame, display = decoded(name)
    picture = picture_of(frame, display).astype(int)
    opposite = picture_of(frame, replace(display, inverted=False)).astype(int)
    assert display.inverted
    assert np.abs(picture + opposite - 255).max() <= 1
    assert (
        picture[frame.values == frame.values.min()].min() > picture[frame.values == frame.values.max()].max()
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (CT, ["+Ww", "40", "400"]),
        (CT, ["+Ww", "40", "80"]),
        ("RG1_UNCR.dcm", ["+Wi", "1"]),
        ("RG3_UNCR.dcm", ["+Wi", "1"]),
        ("MR2_UNCR.dcm", ["+Wi", "1"]),
        ("OBXXXX1A.dcm", []),
        ("US1_UNCR.dcm", []),
        ("SC_ybr_full_uncompressed.dcm", []),
    ],
)
def test_pictures_are_as_dcmtk_renders_them(name: str, options: list[str], tmp_path: Path) -> None:
    target = tmp_path / "picture.ppm"
    command = ["dcmj2pnm", "+op", *options, files_with_pixels()[name], target]
    subprocess.run(command, check=True, capture_output=True)
    _, frame, display = decoded(name)
    window = Window(float(options[1]), float(options[2])) if "+Ww" in options else None
    picture = picture_of(frame, replace(display, padding=None), window)
    expected = read_pnm(target.read_bytes()).reshape(picture.shape)
    difference = np.abs(picture.astype(int) - expected.astype(int))
    # dcmtk cuts fractions where the standard does not say, and keeps palettes of 16 bits a little longer.
    assert difference.max() <= 2
    assert picture.std() > 5


def read_pnm(data: bytes) -> Values:
    """A PGM or PPM picture of 8 bits, written plainly or not."""
    kind, fields = data.split(maxsplit=1)
    numbers: list[int] = []
    while len(numbers) < 3:
        line, fields = fields.split(b"\n", 1)
        if not line.startswith(b"#"):
            numbers += [int(number) for number in line.split()]
    if kind in (b"P2", b"P3"):
        return np.array(fields.split(), np.uint8)
    return np.frombuffer(fields, np.uint8)


@pytest.mark.parametrize(
    "name", ["OBXXXX1A.dcm", "gdcm-US-ALOKA-16.dcm", "examples_palette.dcm", "OBXXXX1A_rle.dcm"]
)
def test_palettes_give_the_colours_that_pydicom_gives(name: str) -> None:
    dataset, frame, display = decoded(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = apply_color_lut(pixel_array(dataset, raw=True), dataset)
    if expected.dtype == np.uint16:
        expected = expected >> 8
    np.testing.assert_array_equal(to_rgb(frame, display.palette), expected)


@pytest.mark.parametrize(
    "name", ["examples_ybr_color.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm"]
)
def test_ybr_becomes_the_rgb_that_pydicom_gives(name: str) -> None:
    dataset, frame, _ = decoded(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pixel_array(dataset, index=0)
    assert frame.photometric == "YBR_FULL"
    assert np.abs(to_rgb(frame, None).astype(int) - expected.astype(int)).max() <= 1


def test_a_frame_of_an_enhanced_object_has_its_own_rescale_and_window() -> None:
    _, _, display = decoded("eCT_Supplemental.dcm", 1)
    assert (display.slope, display.intercept) == (1.0, -1024.0)
    assert display.windows == (Window(49, 102),)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB"])
def test_png_is_exact_and_jpeg_close(photometric: str) -> None:
    name = CT if photometric == "MONOCHROME2" else "US1_UNCR.dcm"
    _, frame, display = decoded(name)
    picture = picture_of(frame, display)
    png = imagecodecs.png_decode(render_frame(frame, display, Rendering("image/png")))
    np.testing.assert_array_equal(png, picture)
    jpeg = imagecodecs.jpeg8_decode(render_frame(frame, display, Rendering("image/jpeg")))
    assert jpeg.shape == picture.shape
    assert np.abs(jpeg.astype(int) - picture.astype(int)).mean() < 3


def test_a_higher_quality_is_closer_and_larger() -> None:
    _, frame, display = decoded(CT)
    low, high = (render_frame(frame, display, Rendering(quality=quality)) for quality in (30, 95))
    assert len(low) < len(high)


@pytest.mark.parametrize(
    ("viewport", "size"),
    [((100, 100), (100, 80)), ((1000, 400), (400, 320)), ((50, 900), (62, 50)), ((1, 1), (1, 1))],
)
def test_a_picture_fits_into_its_viewport_and_keeps_its_shape(
    viewport: tuple[int, int], size: tuple[int, int]
) -> None:
    frame = Frame(np.zeros((500, 400), np.uint8), "MONOCHROME2", 8)
    rendered = render_frame(frame, Display(), Rendering("image/png", viewport=Viewport(*viewport)))
    assert imagecodecs.png_decode(rendered).shape == size


def test_pixels_that_are_not_square_are_shown_square() -> None:
    dataset = named(CT)
    dataset.PixelSpacing = [1.0, 0.5]
    _, frame, _ = decoded(CT)
    display = Display.of(dataset)
    assert display.aspect == 2.0
    assert imagecodecs.png_decode(render_frame(frame, display, Rendering("image/png"))).shape == (1024, 512)
    del dataset.PixelSpacing
    dataset.PixelAspectRatio = [1, 2]
    wide = Display.of(dataset)
    assert imagecodecs.png_decode(render_frame(frame, wide, Rendering("image/png"))).shape == (512, 1024)


def test_a_part_is_cut_out_and_flipped_as_asked() -> None:
    values = np.arange(100, dtype=np.uint8).reshape(10, 10)
    frame = Frame(values, "MONOCHROME2", 8)

    def shown(part: tuple[float, float, float, float], columns: int, rows: int) -> Values:
        wanted = Rendering("image/png", viewport=Viewport(columns, rows, part))
        return imagecodecs.png_decode(render_frame(frame, Display(), wanted))

    np.testing.assert_array_equal(shown((2, 3, 4, 5), 4, 5), values[3:8, 2:6])
    np.testing.assert_array_equal(shown((2, 3, -4, 5), 4, 5), values[3:8, 2:6][:, ::-1])
    np.testing.assert_array_equal(shown((2, 3, 4, -5), 4, 5), values[3:8, 2:6][::-1])
    np.testing.assert_array_equal(shown((0, 0, 0, 0), 10, 10), values)
    with pytest.raises(PixelError) as caught:
        shown((20, 0, 5, 5), 5, 5)
    assert caught.value.code == "malformed"


def test_shrinking_averages_areas_and_keeps_even_surfaces_even() -> None:
    ramp = (np.add.outer(np.arange(512), np.arange(512)) // 4).astype(np.uint8)
    means = ramp.reshape(128, 4, 128, 4).mean((1, 3))
    assert np.abs(scale(ramp, 128, 128) - means).max() <= 1
    for level in (0, 1, 128, 254, 255):
        for rows, columns in ((64, 64), (7, 333), (700, 900), (1, 1)):
            colour = np.full((512, 512, 3), level, np.uint8)
            shown = scale(colour, rows, columns)
            assert shown.shape == (rows, columns, 3)
            assert abs(int(shown.min()) - level) <= 1
            assert abs(int(shown.max()) - level) <= 1


def test_very_long_pictures_shrink_too() -> None:
    picture = np.zeros((65_000, 40), np.uint8)
    picture[:32_500] = 200
    shown = scale(picture, 100, 4)
    assert shown.shape == (100, 4)
    assert shown[10, 0] == 200
    assert shown[90, 0] <= 1


def test_a_thumbnail_shows_the_middle_of_a_loop() -> None:
    assert [middle_frame(frames) for frames in (1, 2, 3, 120)] == [0, 1, 1, 60]
    dataset = named("color3d_jpeg_baseline.dcm")
    form = PixelFormat.of(dataset)
    index = middle_frame(form.frames)
    small = render(form, Display.of(dataset, index), frame_bytes(dataset, form, index), index, thumbnail())
    assert imagecodecs.jpeg8_decode(small).shape == (150, 200, 3)
    assert len(small) < 10_000


def test_without_a_window_eight_bits_are_shown_as_they_are_and_more_are_spread() -> None:
    eight = np.random.default_rng(1).integers(0, 200, (300, 300)).astype(np.uint8)
    np.testing.assert_array_equal(to_grey(Frame(eight, "MONOCHROME2", 8), Display()), eight)
    deep = np.linspace(5000, 6000, 90_000).reshape(300, 300).astype(np.uint16)
    shown = to_grey(Frame(deep, "MONOCHROME2", 16), Display())
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_the_table_and_the_plain_way_agree(kind: str) -> None:
    bounds = (-100, 100) if kind[0] != "u" else (0, 200)
    values = np.random.default_rng(2).integers(*bounds, (300, 300)).astype(kind)
    display = Display(slope=2.0, intercept=-7.0, padding=(5, 6))
    window = Window(30, 120)
    large = to_grey(Frame(values, "MONOCHROME2", 8), display, window)
    small = to_grey(Frame(values[:3, :3], "MONOCHROME2", 8), display, window)
    np.testing.assert_array_equal(large[:3, :3], small)
    for stored, grey in zip(values.ravel()[:500].tolist(), large.ravel()[:500].tolist(), strict=True):
        expected = 0 if stored in (5, 6) else grey_of(stored * 2 - 7, 30, 120)
        assert abs(grey - expected) <= 1


def test_numbers_that_are_none_do_not_stop_a_picture() -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 1.0]], np.float32)
    picture = to_grey(Frame(values, "MONOCHROME2", 32), Display(), Window(1, 4))
    assert picture.tolist() == [[grey_of(0, 1, 4), 255], [0, grey_of(1, 1, 4)]]


def test_sigmoid_and_exact_curves_follow_their_formulas() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frame = Frame(values, "MONOCHROME2", 8)
    numbers = values.astype(float)
    sigmoid = to_grey(frame, Display(), Window(100, 50, "SIGMOID"))
    np.testing.assert_array_equal(sigmoid, np.rint(255 / (1 + np.exp(-4 * (numbers - 100) / 50))))
    exact = to_grey(frame, Display(), Window(100, 50, "LINEAR_EXACT"))
    np.testing.assert_array_equal(exact, np.rint(np.clip((numbers - 100) / 50 + 0.5, 0, 1) * 255))


def test_segmented_palettes_unfold() -> None:
    # A run of two, a line of four up to 60, and both once more.
    words = np.array([0, 2, 10, 20, 1, 4, 60, 2, 2, 0, 0], np.uint16)
    table = expand_segments(words, 12)
    assert table.tolist() == [10, 20, 30, 40, 50, 60, 10, 20, 30, 40, 50, 60]
    for hostile in ([1, 5, 9], [0, 0], [2, 1, 7, 0], [2, 9, 0, 0], [3, 1, 1], [0, 3, 1]):
        with pytest.raises(PixelError):
            expand_segments(np.array(hostile, np.uint16), 12)


def test_look_up_tables_reach_beyond_their_ends() -> None:
    lut = Lut(10, 8, np.array([1, 2, 3], "<u2").tobytes())
    assert lut.of(np.array([-5.0, 10, 11, 12, 900])).tolist() == [1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400", Window(40, 400)),
        ("-600, 1500 ,linear", Window(-600, 1500)),
        ("1.5,0.5,linear-exact", Window(1.5, 0.5, "LINEAR_EXACT")),
        ("40,400,SIGMOID", Window(40, 400, "SIGMOID")),
    ],
)
def test_windows_are_read_from_a_request(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "40",
        "40,",
        "a,b",
        "40,400,cubic",
        "40,0",
        "40,-3",
        "nan,1",
        "1,inf",
        "1,1e99",
        "1,2,3,4",
        "40,0.5",
    ],
)
def test_windows_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PixelError) as caught:
        parse_window(text)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "0,5",
        "5,0",
        "-1,5",
        "99999,5",
        "1,2,3",
        "a,b",
        "1,2,3,4,5,x",
        "5,5,nan,0,0,0",
        "5,5,1e9,0,0,0",
    ],
)
def test_viewports_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PixelError) as caught:
        parse_viewport(text)
    assert caught.value.code == "malformed"


def test_viewports_are_read_from_a_request() -> None:
    assert parse_viewport("512,256") == Viewport(512, 256)
    assert parse_viewport("512,256,10,,-20,") == Viewport(512, 256, (10, 0, -20, 0))


@given(st.text(max_size=60))
def test_whatever_a_request_says_it_is_read_or_refused(text: str) -> None:
    for parse in (parse_window, parse_viewport):
        try:
            read: object = parse(text)
        except PixelError as error:
            read = error.code
        assert isinstance(read, Window | Viewport) or read == "malformed"


def test_a_quality_out_of_range_is_refused() -> None:
    for quality in (0, 101):
        with pytest.raises(PixelError):
            Rendering(quality=quality)
