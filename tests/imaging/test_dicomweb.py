"""DICOMweb of a real server with every object of pydicom, as `dicomweb-client` and plain requests see it."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import imagecodecs
import msgspec
import numpy as np
import pydicom
import pytest
import requests
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from bridge.imaging import parsing
from bridge.imaging.layout import InstanceNote, decode_metadata
from bridge.imaging.pixels.format import VIDEO, PixelFormat
from bridge.imaging.syntaxes import EXPLICIT_LITTLE
from tests.imaging.corpus import file_of, valid
from tests.imaging.pictures import BROKEN
from tests.imaging.test_pixels_video import FRAMES as FRAME_COUNT
from tests.imaging.test_pixels_video import H264_UID, HEVC_UID, stream
from tests.imaging.webclients import Web, parts_of, staff_token
from tests.serving import running_server

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass
class Sent:
    """One file that was sent and kept."""

    path: Path
    content: bytes
    note: InstanceNote

    @property
    def where(self) -> str:
        note = self.note
        return f"/studies/{note.study}/series/{note.series}/instances/{note.sop_instance}"


@dataclass
class Library:
    web: Web
    sent: list[Sent]

    def named(self, name: str) -> Sent:
        return next(each for each in self.sent if each.path.name == name)


def _sent(path: Path, content: bytes) -> Sent:
    return Sent(path, content, parsing.parse(content).note)


def _renamed(sent: Sent, number: int) -> bytes:
    """Many of the packages' files have the SOPInstanceUID of another one: this one gets its own, of the same length."""
    uid = sent.note.sop_instance.encode()
    return sent.content.replace(uid, uid[:-3] + f"{number:03d}".encode())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("dicomweb")
    with running_server(folder / "data") as server:
        web = Web(server, staff_token(server))
        sent: dict[str, Sent] = {}
        for number, path in enumerate(valid()):
            each = _sent(path, path.read_bytes())
            if each.note.sop_instance in sent:
                each = _sent(path, _renamed(each, number))
            sent.setdefault(each.note.sop_instance, each)
        first = list(sent.values())
        for start in range(0, len(first), 40):
            answer = web.send(*(each.content for each in first[start : start + 40]))
            assert answer.status_code == 200, answer.text
            kept = [each["00081155"]["Value"][0] for each in answer.json()["00081199"]["Value"]]
            assert kept == [each.note.sop_instance for each in first[start : start + 40]]
        assert len(first) > 200
        yield Library(web, first)


def test_every_object_comes_back_byte_by_byte(library: Library) -> None:
    by_study: dict[str, list[Sent]] = {}
    for each in library.sent:
        by_study.setdefault(each.note.study, []).append(each)
    for study, sent in by_study.items():
        answer = library.web.get(f"/studies/{study}", AS_STORED)
        assert answer.status_code == 200
        parts = parts_of(answer)
        assert {type for type, _ in parts} == {
            f"application/dicom; transfer-syntax={each.note.transfer_syntax}" for each in sent
        }
        got = sorted(hashlib.sha256(content).hexdigest() for _, content in parts)
        assert got == sorted(hashlib.sha256(each.content).hexdigest() for each in sent)


def test_the_usual_client_finds_and_reads_every_object(library: Library) -> None:
    client = library.web.client()
    studies = {row["0020000D"]["Value"][0]: row for row in client.search_for_studies()}
    assert set(studies) == {each.note.study for each in library.sent}
    for study, row in studies.items():
        sent = {each.note.sop_instance: each for each in library.sent if each.note.study == study}
        assert row["00201208"]["Value"] == [len(sent)]
        found = client.search_for_instances(study)
        assert {each["00080018"]["Value"][0] for each in found} == set(sent)
        series = client.search_for_series(study)
        assert {each["0020000E"]["Value"][0] for each in series} == {
            each.note.series for each in sent.values()
        }


def test_metadata_tell_what_the_dataset_says(library: Library) -> None:
    for study in {each.note.study for each in library.sent}:
        told = {
            row["00080018"]["Value"][0]: row for row in library.web.get(f"/studies/{study}/metadata").json()
        }
        for each in library.sent:
            if each.note.study != study:
                continue
            expected = decode_metadata(parsing.parse(each.content).metadata).dataset
            base = f"{library.web.url}{each.where}/bulkdata/"
            got = msgspec.json.encode(told[each.note.sop_instance])
            assert got == msgspec.json.encode(
                msgspec.json.decode(expected.replace(b'"BulkDataURI":"', b'"BulkDataURI":"' + base.encode()))
            ), each.path


def test_metadata_tell_only_what_is_asked_for(library: Library) -> None:
    named = {"00080016", "00080018", "0020000D", "0020000E"}
    wanted = {"00280010", "00280030", "52009230", "7FE00010", "00083002"}
    for sent in library.sent:
        whole = library.web.get(f"{sent.where}/metadata").json()[0]
        answer = library.web.get(
            f"{sent.where}/metadata?includefield=Rows,PixelSpacing&includefield=52009230,7fe00010,00083002"
        )
        (some,) = answer.json()
        syntax = {"vr": "UI", "Value": [sent.note.transfer_syntax]}
        expected = {tag: value for tag, value in whole.items() if tag in named | wanted}
        assert some == expected | {"00083002": syntax}, sent.path


@pytest.mark.parametrize(
    "query", ["includefield=all", "includefield=Rows,all", "includefield=", "other=Rows"]
)
def test_metadata_tell_all_where_no_less_is_asked_for(library: Library, query: str) -> None:
    where = library.named("CT_small.dcm").where
    assert library.web.get(f"{where}/metadata?{query}").json() == library.web.get(f"{where}/metadata").json()


@pytest.mark.parametrize("field", ["NoSuchThing", "123", "Rows.Rows.Rows.Rows.Rows", "%D9%A2"])
def test_metadata_of_attributes_that_do_not_exist_are_refused(library: Library, field: str) -> None:
    answer = library.web.get(f"{library.named('CT_small.dcm').where}/metadata?includefield={field}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")


def test_metadata_are_a_dataset_of_pydicom(library: Library) -> None:
    sent = library.named("CT_small.dcm")
    client = library.web.client()
    note = sent.note
    rows = client.retrieve_instance_metadata(note.study, note.series, note.sop_instance)
    told = pydicom.Dataset.from_json(rows, bulk_data_uri_handler=lambda _uri: b"")
    original = pydicom.dcmread(sent.path)
    assert told.PatientName == original.PatientName
    assert told.PixelSpacing == original.PixelSpacing
    assert told.RescaleIntercept == original.RescaleIntercept


def _stored_frames(sent: Sent) -> list[bytes]:
    """As pydicom cuts them out of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(sent.path)
        count = int(dataset.get("NumberOfFrames") or 1)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=count))
        form = PixelFormat.of(dataset)
        data = next(
            dataset[n].value for n in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if n in dataset
        )
        size = form.native_bits // 8
        return [data[index * size : (index + 1) * size] for index in range(count)]


def test_frames_are_as_they_are_stored(library: Library) -> None:
    compared = 0
    for sent in library.sent:
        note = sent.note
        if (
            not note.frames
            or note.transfer_syntax in VIDEO
            or note.bits_allocated == 1
            or sent.path.name in BROKEN
        ):
            continue
        if note.transfer_syntax.endswith((".1.99", ".4.95", ".4.205")):
            continue
        expected = _stored_frames(sent)
        numbers = sorted({1, note.frames, 1 + note.frames // 2})
        answer = library.web.get(f"{sent.where}/frames/{','.join(map(str, numbers))}", FRAMES)
        assert answer.status_code == 200, (sent.path, answer.text)
        assert "Content-Encoding" not in answer.headers
        got = parts_of(answer)
        syntax = got[0][0].rpartition("transfer-syntax=")[2]
        assert syntax in (note.transfer_syntax, EXPLICIT_LITTLE), sent.path
        assert [content for _, content in got] == [expected[number - 1] for number in numbers], sent.path
        compared += 1
    assert compared > 120


@pytest.mark.parametrize(
    "name",
    [
        "MR2_J2KI.dcm",
        "MR_small_RLE.dcm",
        "JPEG-LL.dcm",
        "MR_small_bigendian.dcm",
        "image_dfl.dcm",
        "emri_small_RLE.dcm",
    ],
)
def test_frames_are_decoded_where_that_is_asked_for(library: Library, name: str) -> None:
    sent = library.named(name)
    client = library.web.client()
    note = sent.note
    frames = client.retrieve_instance_frames(
        note.study,
        note.series,
        note.sop_instance,
        [1],
        media_types=(("application/octet-stream", EXPLICIT_LITTLE),),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.dcmread(sent.path).pixel_array
    first = expected[0] if note.frames > 1 else expected
    got = np.frombuffer(frames[0], first.dtype.newbyteorder("<")).reshape(first.shape)
    np.testing.assert_array_equal(got, first)


def test_a_whole_object_is_transcoded_where_that_is_asked_for(library: Library) -> None:
    for name in ("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "emri_small_RLE.dcm", "image_dfl.dcm"):
        sent = library.named(name)
        answer = library.web.get(sent.where, f"application/dicom; transfer-syntax={EXPLICIT_LITTLE}")
        assert answer.status_code == 200, answer.text
        made = pydicom.dcmread(io.BytesIO(answer.content))
        assert made.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            original = pydicom.dcmread(sent.path)
            np.testing.assert_array_equal(made.pixel_array, original.pixel_array)
        assert made.SOPInstanceUID == sent.note.sop_instance
        assert made.PatientName == original.PatientName
    htj2k = library.web.get(
        library.named("CT_small.dcm").where, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.201"
    )
    made = pydicom.dcmread(io.BytesIO(htj2k.content))
    frame = next(pydicom.encaps.generate_frames(made.PixelData, number_of_frames=1))
    np.testing.assert_array_equal(
        imagecodecs.jpeg2k_decode(frame), pydicom.dcmread(get_testdata_file("CT_small.dcm")).pixel_array
    )


def test_every_picture_is_rendered(library: Library) -> None:
    drawn = 0
    for sent in library.sent:
        if not sent.note.frames or sent.path.name in BROKEN:
            continue
        answer = library.web.get(f"{sent.where}/rendered", "image/jpeg")
        if answer.status_code == 200:
            assert imagecodecs.jpeg8_decode(answer.content).size > 1
            drawn += 1
        else:
            assert answer.status_code in (406, 413, 422), (sent.path, answer.text)
            assert set(answer.json()) == {"error"}
    assert drawn > 130


def test_pictures_are_as_asked_for(library: Library) -> None:
    where = library.named("CT_small.dcm").where
    web = library.web
    png = web.get(
        f"{where}/frames/1/rendered", "image/png", params={"window": "40,400,linear", "viewport": "64,32"}
    )
    assert png.headers["Content-Type"] == "image/png"
    assert imagecodecs.png_decode(png.content).shape == (32, 32)
    assert web.get(f"{where}/rendered", "image/gif").status_code == 406
    assert web.get(f"{where}/rendered", params={"window": "no"}).status_code == 400
    assert web.get(f"{where}/rendered", params={"quality": "0"}).status_code == 400
    assert web.get(f"{where}/rendered", params={"accept": "image/png"}).content[:4] == b"\x89PNG"
    note = library.named("CT_small.dcm").note
    for level in ("", f"/series/{note.series}", f"/series/{note.series}/instances/{note.sop_instance}"):
        small = web.get(f"/studies/{note.study}{level}/thumbnail", "image/jpeg")
        assert max(imagecodecs.jpeg8_decode(small.content).shape[:2]) == 200
    many = web.get(f"/studies/{note.study}/rendered", 'multipart/related; type="image/jpeg"')
    assert [type for type, _ in parts_of(many)] == ["image/jpeg"] * len(parts_of(many)) != []


def video_object(container: str, codec: str, syntax: str) -> bytes:
    """A video of twelve pictures as an object."""
    dataset = pydicom.dcmread(get_testdata_file("color3d_jpeg_baseline.dcm"))
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 96, 128, FRAME_COUNT
    dataset.PhotometricInterpretation = "YBR_PARTIAL_420"
    dataset.CineRate = 10
    dataset.PixelData = pydicom.encaps.encapsulate([stream(container, codec)], has_bot=False)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.StudyInstanceUID = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return file_of(dataset)


@pytest.mark.parametrize(
    ("container", "codec", "syntax"),
    [
        ("h264", "libx264", H264_UID),
        ("mp4", "libx264", H264_UID),
        ("mpegts", "libx264", H264_UID),
        ("hevc", "libx265", HEVC_UID),
    ],
)
def test_a_video_is_given_as_mp4(library: Library, container: str, codec: str, syntax: str) -> None:
    content = video_object(container, codec, syntax)
    assert library.web.send(content).status_code == 200
    sent = _sent(Path("video"), content)
    answer = library.web.get(f"{sent.where}/rendered", "video/mp4")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "video/mp4"
    with av.open(io.BytesIO(answer.content), format="mov") as opened:
        shown = [frame.to_ndarray(format="rgb24")[60, 60, 0] for frame in opened.decode(video=0)]
    # The red of each picture is twenty more than that of the one before it.
    assert len(shown) == FRAME_COUNT
    assert all(abs(int(red) - 20 * number) < 12 for number, red in enumerate(shown))
    picture = library.web.get(f"{sent.where}/frames/7/rendered", "image/png")
    assert abs(int(imagecodecs.png_decode(picture.content)[60, 60, 0]) - 120) < 12
    raw = library.web.get(f"{sent.where}/bulkdata/7FE00010", "video/mp4")
    assert raw.content.rstrip(b"\0") == stream_in(content)
    assert library.web.get(f"{sent.where}/frames/1", 'multipart/related; type="video/mp4"').status_code == 406


def stream_in(content: bytes) -> bytes:
    """The stream that an object holds."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    return next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)).rstrip(b"\0")


def test_no_video_is_made_of_pictures(library: Library) -> None:
    assert library.web.get(f"{library.named('CT_small.dcm').where}/rendered", "video/mp4").status_code == 406


def test_values_outside_of_the_metadata_are_fetched(library: Library) -> None:
    fetched = 0
    for sent in library.sent:
        metadata = decode_metadata(parsing.parse(sent.content).metadata)
        if metadata.frames.kind == "deflated":
            continue
        for path, (offset, length, unit) in metadata.bulk.items():
            if unit or (path == "7FE00010" and metadata.frames.kind != "native"):
                continue
            answer = library.web.get(f"{sent.where}/bulkdata/{path}", "application/octet-stream")
            assert answer.status_code == 200, (sent.path, path)
            assert answer.content == sent.content[offset : offset + length], (sent.path, path)
            fetched += 1
    assert fetched > 60
    sent = library.named("CT_small.dcm")
    client = library.web.client()
    got = client.retrieve_bulkdata(f"{library.web.url}{sent.where}/bulkdata/7FE00010")
    assert got == [pydicom.dcmread(sent.path).PixelData]
    assert library.web.get(f"{sent.where}/bulkdata/00100010").status_code == 404


def test_what_is_not_there_or_not_to_be_had_is_said_plainly(library: Library) -> None:
    web, sent = library.web, library.named("CT_small.dcm")
    for path in (
        "/studies/1.2.3",
        f"/studies/{sent.note.study}/series/1.2.3",
        f"{sent.where}/frames/2",
        f"/studies/{sent.note.study}/series/1.2.3/instances/{sent.note.sop_instance}/metadata",
        "/nowhere",
    ):
        assert web.get(path).status_code == 404, path
    assert web.get(f"{sent.where}/frames/0").status_code == 400
    assert web.get(f"{sent.where}/frames/1", 'multipart/related; type="image/jpeg"').status_code == 406
    assert web.get(f"{sent.where}/frames/1,1", "application/octet-stream").status_code == 406
    assert web.get(f"{sent.where}/metadata", "application/dicom+xml").status_code == 406
    assert web.get("/studies", params={"NoSuchAttribute": "1"}).status_code == 400
    assert requests.get(f"{web.url}/studies", timeout=60).status_code == 401


def test_a_search_matches_as_the_standard_has_it(library: Library) -> None:
    web = library.web
    note = library.named("CT_small.dcm").note

    def count(path: str, **query: str) -> int:
        answer = web.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return len(answer.json())

    everything = count("/studies")
    assert count("/studies", PatientName="CompressedSamples^CT1") >= 1
    assert count("/studies", PatientName="compressedsamples*") >= count(
        "/studies", PatientName="CompressedSamples^CT1"
    )
    assert count("/studies", PatientName="Nobody*") == 0
    assert count("/studies", PatientName="*") == count("/studies", **{"00100010": ""}) == everything
    assert count("/studies", StudyInstanceUID=f"{note.study},1.2.3") == 1
    assert count("/studies", StudyDate="20040101-20041231") >= 1
    assert count("/studies", StudyDate="30000101-") == 0
    assert count("/studies", ModalitiesInStudy="CT") >= 1
    assert count("/studies", limit="2") == 2
    assert count("/studies", offset=str(everything - 1)) == 1
    assert count("/series", Modality="CT") >= 1
    assert count("/instances", SOPInstanceUID=note.sop_instance) >= 1
    assert count(f"/studies/{note.study}/instances", KVP="120", includefield="KVP") >= 1
    assert count(f"/studies/{note.study}/instances", KVP="121") == 0
    more = web.get("/studies", params={"limit": "1", "fuzzymatching": "true", "PatientAge": "1"})
    assert len(more.headers["Warning"].split("299")) == 4
    names = {
        row["00100010"]["Value"][0].get("Ideographic")
        for row in web.get("/studies").json()
        if "Value" in row["00100010"]
    }
    assert "山田^太郎" in names
    full = web.get(f"/studies/{note.study}/instances", params={"includefield": "all"}).json()[0]
    assert full["00180060"]["Value"] == [120]
    assert "7FE00010" not in full
