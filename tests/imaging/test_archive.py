"""What goes in comes back as it was, by many ways at once; and nothing of it can be read from the disk."""

from __future__ import annotations

import struct
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import MPEG4HP41, JPEG2000Lossless, RLELossless, generate_uid

from bridge.audit import Audit
from bridge.errors import Conflict, LimitExceeded, NotFound
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Catalogue
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import CHUNK_BYTES, FrameTable, json_of
from bridge.imaging.parsing import inflated, parse
from bridge.imaging.study import Instance, StudyReader
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in, ct_slice, file_of, valid

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"


@dataclass
class Shelved:
    path: Path
    reader: StudyReader
    instance: Instance


@pytest.fixture
def archive(tmp_path: Path, workers: Workers) -> Iterator[Archive]:
    with archive_in(tmp_path / "data", workers) as made:
        yield made


def keep(archive: Archive, *contents: bytes) -> str:
    """Keeps them all; the study of the last."""
    with archive.arrivals() as arrivals:
        return [arrivals.keep(content) for content in contents][-1].study


def kept(archive: Archive, content: bytes) -> bytes:
    """What comes back of it."""
    study = keep(archive, content)
    with archive.open(study) as reader:
        (instance,) = reader.instances()
        return b"".join(reader.iterate(instance))


# --- all files of the packages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Iterator[list[Shelved]]:
    """Every valid file, kept. Many have the same UIDs, so they are spread over several archives."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("shelf")
        archives: list[Archive] = []
        shelved: list[Shelved] = []
        met: Counter[str] = Counter()
        for path in valid():
            content = path.read_bytes()
            uid = parse(content).note.sop_instance
            number = met[uid]
            met[uid] += 1
            if number == len(archives):
                archives.append(stack.enter_context(archive_in(folder / str(number), workers)))
            with archives[number].arrivals() as arrivals:
                done = arrivals.keep(content)
            assert done.is_new, path.name
            reader = archives[number].reader(done.study)
            stack.callback(reader.close)
            shelved.append(Shelved(path, reader, reader.instance(uid)))
        yield shelved


def test_every_valid_file_comes_back_byte_for_byte(shelf: list[Shelved]) -> None:
    assert len(shelf) == len(valid()) > 200
    for each in shelf:
        content = each.path.read_bytes()
        assert b"".join(each.reader.iterate(each.instance)) == content, each.path.name
        for offset, length in ((0, 1), (131, 7), (CHUNK_BYTES - 3, 9), (len(content) - 5, 100)):
            assert each.reader.read(each.instance, offset, length) == content[offset : offset + length]


def test_every_frame_as_stored_is_what_pydicom_finds(shelf: list[Shelved]) -> None:
    compared = 0
    for each in shelf:
        table = each.reader.metadata(each.instance).frames
        if each.path.name == "badVR.dcm":
            continue  # pydicom refuses to count its frames.
        expected = frames_by_pydicom(each.path)
        if table.kind == "deflated":
            data = inflated(each.path.read_bytes())
            size = table.frame_bits // 8
            found = [
                data[table.offset + n * size : table.offset + (n + 1) * size] for n in range(table.count)
            ]
        else:
            rows = table.count if table.kind != "none" else 0
            found = [each.reader.frame(each.instance, number, table) for number in range(rows)]
        assert found == expected, each.path.name
        compared += len(found)
    assert compared > 400


def frames_by_pydicom(path: Path) -> list[bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        name = next(
            (n for n in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if n in dataset), None
        )
        if name is None or not dataset[name].value:
            return []
        pixels, count = dataset[name].value, int(dataset.get("NumberOfFrames") or 1)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            extended = None
            if "ExtendedOffsetTable" in dataset:
                extended = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
            return list(generate_frames(pixels, number_of_frames=count, extended_offsets=extended))
        if dataset.BitsAllocated == 1:
            bits = np.unpackbits(np.frombuffer(pixels, np.uint8), bitorder="little")
            size = dataset.Rows * dataset.Columns
            cut = [bits[n * size : (n + 1) * size] for n in range(count)]
            return [np.packbits(frame, bitorder="little").tobytes() for frame in cut]
        size = get_expected_length(dataset) // count
        return [pixels[n * size : (n + 1) * size] for n in range(count)]


def test_bulk_data_come_back_as_they_are(shelf: list[Shelved]) -> None:
    by_name = {each.path.name: each for each in shelf}
    ecg = by_name["waveform_ecg.dcm"]
    dataset = pydicom.dcmread(ecg.path)
    metadata = ecg.reader.metadata(ecg.instance)
    (path,) = [name for name in metadata.bulk if name.startswith("54000100/0/")]
    assert ecg.reader.bulk(ecg.instance, path, metadata) == dataset.WaveformSequence[0].WaveformData
    told = json_of(metadata)["54000100"]["Value"][0]["54001010"]
    assert told == {"vr": "OW", "BulkDataURI": path}
    with pytest.raises(NotFound):
        ecg.reader.bulk(ecg.instance, "7FE00010")
    big, small = by_name["MR_small_bigendian.dcm"], by_name["MR_small.dcm"]
    assert big.reader.bulk(big.instance, "7FE00010") == small.reader.bulk(small.instance, "7FE00010")


# --- sorts of objects that the packages lack -------------------------------------------------------------------------


def compressed(syntax: str, pixels: bytes, frames: int) -> FileDataset:
    dataset = pydicom.dcmread(BytesIO(ct_slice(1, generate_uid(), generate_uid(), side=16)))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.NumberOfFrames = frames
    dataset.PixelData = pixels
    dataset["PixelData"].is_undefined_length = True
    return dataset


FRAMES = [bytes([number]) * (700 + 2 * number) + b"\xff\xd9" for number in range(9)]


@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_of_several_fragments_are_found(archive: Archive, has_table: bool, fragments: int) -> None:
    pixels = encapsulate(FRAMES, fragments_per_frame=fragments, has_bot=has_table)
    study = keep(archive, file_of(compressed(JPEG2000Lossless, pixels, len(FRAMES))))
    with archive.open(study) as reader:
        (instance,) = reader.instances()
        assert [reader.frame(instance, number) for number in range(instance.note.frames)] == FRAMES


def test_frames_are_found_by_the_extended_table(archive: Archive) -> None:
    frames = [*FRAMES, b"odd"]
    pixels, offsets, _ = encapsulate_extended(frames)
    dataset = compressed(JPEG2000Lossless, pixels, len(frames))
    dataset.ExtendedOffsetTable = offsets
    dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(frames)}Q", *map(len, frames))
    study = keep(archive, file_of(dataset))
    with archive.open(study) as reader:
        (instance,) = reader.instances()
        assert [reader.frame(instance, number) for number in range(len(frames))] == frames


def test_a_table_that_points_nowhere_is_refused(archive: Archive) -> None:
    pixels, offsets, lengths = encapsulate_extended(FRAMES)
    dataset = compressed(JPEG2000Lossless, pixels, len(FRAMES))
    dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets[:-1] + b"\x7f", lengths
    with pytest.raises(DicomError, match="points to where no frame is"):
        keep(archive, file_of(dataset))


@pytest.mark.parametrize("said", [8, 10, 1_000_000])
def test_a_wrong_number_of_frames_is_refused(archive: Archive, said: int) -> None:
    pixels = encapsulate(FRAMES, has_bot=False)
    with pytest.raises(DicomError, match="another number of frames"):
        keep(archive, file_of(compressed(RLELossless, pixels, said)))
    assert archive.catalogue.all() == []


def h264() -> bytes:
    """Twenty pictures as a raw stream."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            picture = np.full((48, 64, 3), number * 10, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("fragments", [1, 4])
def test_a_video_is_one_stream_however_it_is_cut(archive: Archive, fragments: int) -> None:
    video = h264()
    video += b"\0" * (len(video) % 2)
    dataset = compressed(MPEG4HP41, encapsulate([video], fragments_per_frame=fragments, has_bot=False), 20)
    study = keep(archive, file_of(dataset))
    with archive.open(study) as reader:
        (instance,) = reader.instances()
        table = reader.metadata(instance).frames
        assert (table.kind, table.count, instance.note.frames) == ("video", 20, 20)
        assert reader.frame(instance, 0) == video
        with pytest.raises(NotFound):
            reader.frame(instance, 1)


def test_a_document_is_kept(archive: Archive) -> None:
    document = b"%PDF-1.4\n" + bytes(range(256)) * 20 + b"\n%%EOF "
    dataset = pydicom.dcmread(BytesIO(ct_slice(1, STUDY, SERIES, side=16)))
    del dataset.PixelData, dataset.Rows, dataset.Columns
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    dataset.EncapsulatedDocument, dataset.MIMETypeOfEncapsulatedDocument = document, "application/pdf"
    study = keep(archive, file_of(dataset))
    with archive.open(study) as reader:
        (instance,) = reader.instances()
        assert reader.bulk(instance, "00420011") == document
        assert reader.metadata(instance).frames == FrameTable()
        with pytest.raises(NotFound):
            reader.frame(instance, 0)


def test_an_enhanced_object_has_all_its_frames(archive: Archive) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(get_testdata_file("emri_small.dcm"))
    groups = [Dataset() for _ in range(10)]
    for number, group in enumerate(groups):
        content = Dataset()
        content.DimensionIndexValues = [1, number + 1]
        group.FrameContentSequence = [content]
    dataset.PerFrameFunctionalGroupsSequence = groups
    study = keep(archive, file_of(dataset))
    size = dataset.Rows * dataset.Columns * 2
    with archive.open(study) as reader:
        (instance,) = reader.instances()
        told = json_of(reader.metadata(instance))["52009230"]["Value"]
        assert [group["00209111"]["Value"][0]["00209157"]["Value"] for group in told] == [
            [1, number] for number in range(1, 11)
        ]
        assert reader.frame(instance, 9) == dataset.PixelData[9 * size :]
        assert instance.note.frames == 10


# --- again, and otherwise ------------------------------------------------------------------------------------------


def test_the_same_object_again_changes_nothing(archive: Archive) -> None:
    content = ct_slice(1, STUDY, SERIES)
    with archive.arrivals() as arrivals:
        first = arrivals.keep(content)
        again = arrivals.keep(content)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.note == first.note
    with archive.arrivals() as arrivals:
        assert not arrivals.keep(content).is_new
    (entry,) = archive.catalogue.all()
    assert (entry.instances, entry.series) == (1, 1)


def test_another_object_of_the_same_uid_is_refused(archive: Archive, workers: Workers) -> None:
    content = ct_slice(1, STUDY, SERIES)
    other = bytearray(content)
    other[-100_000] ^= 1
    study = keep(archive, content)
    with pytest.raises(Conflict):
        keep(archive, bytes(other))
    with archive.open(study) as reader:
        assert b"".join(reader.iterate(reader.instances()[0])) == content


def test_the_rules_hold_after_a_start(tmp_path: Path, workers: Workers) -> None:
    content = ct_slice(1, STUDY, SERIES)
    with archive_in(tmp_path / "data", workers) as archive:
        study = keep(archive, content, ct_slice(2, STUDY, SERIES))
        before = archive.catalogue.all()
    with archive_in(tmp_path / "data", workers) as archive:
        assert archive.catalogue.all() == before
        assert archive.catalogue.unsettled() == []
        with archive.arrivals() as arrivals:
            assert not arrivals.keep(content).is_new
            assert arrivals.keep(ct_slice(3, STUDY, SERIES)).study == study
        assert archive.catalogue.get(study).instances == 3


def test_a_study_of_two_patients_says_so(archive: Archive) -> None:
    study = keep(archive, ct_slice(1, STUDY, SERIES, PatientName="Le^Thi", PatientID="1"))
    keep(archive, ct_slice(2, STUDY, SERIES, PatientName="LE^THI^", PatientID="1"))
    assert not archive.catalogue.get(study).mixed
    keep(archive, ct_slice(3, STUDY, SERIES, PatientName="Tran^Van", PatientID="2"))
    entry = archive.catalogue.get(study)
    assert entry.mixed
    assert entry.facts.patient_name == "Le^Thi"


# --- at the same time ------------------------------------------------------------------------------------------------


def test_many_senders_write_to_one_study(archive: Archive) -> None:
    slices = [ct_slice(number, STUDY, f"{SERIES}.{number % 3}", side=128) for number in range(60)]
    start = threading.Barrier(6)

    def send(part: list[bytes]) -> int:
        start.wait(30)
        with archive.arrivals() as arrivals:
            return sum(arrivals.keep(content).is_new for content in part)

    with ThreadPoolExecutor(6) as pool:
        # Everybody sends a third of what somebody else sends, too.
        new = list(pool.map(send, [slices[n::6] + slices[(n + 1) % 6 :: 6][:5] for n in range(6)]))
    assert sum(new) == 60
    (entry,) = archive.catalogue.all()
    assert (entry.instances, entry.series) == (60, 3)
    with archive.open(entry.id) as reader:
        assert sorted(b"".join(reader.iterate(one)) for one in reader.instances()) == sorted(slices)
        assert [len(each) for each in reader.series().values()] == [20, 20, 20]
    assert list(archive._vault.verify(next(iter(archive._vault.objects())))) == []


def test_of_two_that_send_different_objects_of_one_uid_one_is_refused(archive: Archive) -> None:
    contents = [ct_slice(1, STUDY, SERIES, PatientComments=f"sender {n}") for n in range(4)]
    start = threading.Barrier(4)

    def send(content: bytes) -> bool:
        start.wait(30)
        try:
            with archive.arrivals() as arrivals:
                return arrivals.keep(content).is_new
        except Conflict:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, contents)) == [False, False, False, True]
    assert archive.catalogue.all()[0].instances == 1


def test_a_reader_sees_what_arrives(archive: Archive) -> None:
    with archive.arrivals() as arrivals:
        study = arrivals.keep(ct_slice(1, STUDY, SERIES, side=64)).study
        reader = archive.reader(study)
        version = archive.version(study)
        second = ct_slice(2, STUDY, SERIES, side=64)
        arrivals.keep(second)
        assert archive.version(study) > version
        reader.refresh()
        assert [one.note.number for one in reader.instances()] == [1, 2]
        assert b"".join(reader.iterate(reader.instances()[1])) == second
        reader.close()


def test_a_sender_of_many_studies_holds_few_open(archive: Archive) -> None:
    with archive.arrivals() as arrivals:
        for number in range(40):
            arrivals.keep(ct_slice(number, f"1.2.3.{number}", SERIES, side=16))
        for number in range(40):
            arrivals.keep(ct_slice(number + 100, f"1.2.3.{number}", SERIES, side=16))
    assert [entry.instances for entry in archive.catalogue.all()] == [2] * 40
    assert archive.catalogue.unsettled() == []


def test_an_object_may_come_in_pieces(archive: Archive) -> None:
    content = ct_slice(1, STUDY, SERIES)
    with archive.arrivals() as arrivals:
        arriving = arrivals.begin()
        for offset in range(0, len(content), 10_007):
            arriving.write(content[offset : offset + 10_007])
        study = arrivals.keep(arriving).study
    with archive.open(study) as reader:
        assert b"".join(reader.iterate(reader.instances()[0])) == content


def test_what_arrives_at_one_time_has_a_limit(tmp_path: Path, workers: Workers) -> None:
    with archive_in(tmp_path / "data", workers) as whole:
        archive = Archive(whole._vault, whole.catalogue, workers, held_limit_bytes=1_000_000)
        content = ct_slice(1, STUDY, SERIES)
        with archive.arrivals() as arrivals:
            with arrivals.begin() as arriving:
                arriving.write(content)
                with pytest.raises(LimitExceeded):
                    arrivals.keep(content)
            assert arrivals.keep(content).is_new


# --- the index -----------------------------------------------------------------------------------------------------


def test_the_index_is_made_anew_when_its_key_is_lost(tmp_path: Path, workers: Workers) -> None:
    with archive_in(tmp_path / "data", workers) as archive:
        study = keep(archive, ct_slice(1, STUDY, SERIES), ct_slice(2, STUDY, SERIES))
        before = archive.catalogue.all()
    for path in (tmp_path / "data" / "documents" / "studyindexsecret").glob("0*.parts"):
        path.unlink()
    with archive_in(tmp_path / "data", workers) as archive:
        assert archive.catalogue.all() == before
        assert archive.catalogue.find(STUDY) is not None
        assert keep(archive, ct_slice(3, STUDY, SERIES)) == study


def test_a_study_can_be_shredded_and_sent_again(archive: Archive, tmp_path: Path) -> None:
    content = ct_slice(1, STUDY, SERIES)
    audit = Audit(tmp_path / "audit")
    with archive.arrivals() as arrivals:
        study = arrivals.keep(content).study
        with pytest.raises(Conflict):
            archive.shred(study, audit, "tester")
    archive.shred(study, audit, "tester")
    assert archive.catalogue.all() == []
    with pytest.raises(NotFound):
        archive.catalogue.get(study)
    assert kept(archive, content) == content
    assert archive.catalogue.all()[0].id != study


def test_nothing_of_a_study_can_be_read_from_the_disk(tmp_path: Path, workers: Workers) -> None:
    content = ct_slice(
        1,
        STUDY,
        SERIES,
        PatientName="Nguyễn^Thị Hoà",
        SpecificCharacterSet="ISO_IR 192",
        AccessionNumber="ACC77123",
    )
    dataset = pydicom.dcmread(BytesIO(content))
    with archive_in(tmp_path / "data", workers) as archive:
        study = keep(archive, content)
        catalogue: Catalogue = archive.catalogue
        assert catalogue.get(study).facts.patient_name == "Nguyễn^Thị Hoà"
        written = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    written |= {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    secrets = [
        "Nguyễn".encode(),
        "Hoà".encode(),
        b"ACC77123",
        str(dataset.PatientID).encode(),
        STUDY.encode(),
        SERIES.encode(),
        str(dataset.SOPInstanceUID).encode(),
        dataset.PixelData[256 * 1024 : 256 * 1024 + 64],
        b"DICM",
    ]
    assert all(secret in content or secret == "Hoà".encode() for secret in secrets)
    assert sum(map(len, written.values())) > len(content)
    for path, stored in written.items():
        for secret in secrets:
            assert secret not in stored, path.name
            assert secret not in str(path).encode()


def test_an_item_without_any_value_is_kept(archive: Archive) -> None:
    dataset = pydicom.dcmread(BytesIO(ct_slice(1, STUDY, SERIES, side=16)))
    dataset.ReferencedImageSequence = [Dataset()]
    content = file_of(dataset)
    assert kept(archive, content) == content
