"""Copies for teaching: nothing that names the patient is left, what was valid stays valid, pixels stay as they are."""

from __future__ import annotations

import asyncio
import re
import struct
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, generate_uid

from bridge.app import running
from bridge.ids import Role
from bridge.imaging.catalogue import Belonging
from bridge.imaging.errors import DicomError
from bridge.imaging.teaching.blanking import may_be_written_into
from bridge.imaging.teaching.comments import without_comments
from bridge.imaging.teaching.copying import copied
from bridge.imaging.teaching.profile import Action, action_of
from bridge.imaging.teaching.scrubbing import Wish
from tests.house import House, settings_for
from tests.imaging.corpus import ct_slice, file_of, valid

KEY = bytes(range(32))
STUDY, SERIES = "1.2.826.0.1.3680043.8.498.71", "1.2.826.0.1.3680043.8.498.72"
WAIT_S = 40.0
WORDS_LEAST = 4
"""Shorter values, as a sex or a number, are found in any file."""
NAMELESS = frozenset(("CT", "MR", "US"))
SECRETS: dict[str, str] = {
    "PatientName": "Nguyễn^Thị Hồng",
    "PatientID": "HN-0042-9917",
    "PatientBirthDate": "19610217",
    "PatientAddress": "12 phố Huế",
    "PatientTelephoneNumbers": "+84 24 3826 0042",
    "OtherPatientNames": "Trần^Bảo",
    "EthnicGroup": "Kinh Bac",
    "InstitutionName": "Bệnh viện Bạch Mai",
    "InstitutionalDepartmentName": "Khoa Tim Mach",
    "ReferringPhysicianName": "Lê^Văn Sáu",
    "PerformingPhysicianName": "Phạm^Quang",
    "OperatorsName": "Kỹ^thuật viên",
    "AccessionNumber": "ACC-778812",
    "StudyID": "SID-5521",
    "StudyDescription": "CT cua chi Hong",
    "SeriesDescription": "theo yeu cau BS Sau",
    "ProtocolName": "Hong protocol",
    "ImageComments": "chi Hong than",
    "DeviceSerialNumber": "SN-99120-X",
    "StationName": "CT-PHONG-5",
    "StudyDate": "20240319",
    "SeriesDate": "20240319",
    "AcquisitionDateTime": "20240319101530.5",
    "ContentDate": "20240319",
    "AdmittingDiagnosesDescription": "Suy tim do ba",
    "RequestAttributesID": "",
}


def secret_slice(number: int = 1, **changes: object) -> FileDataset:
    """A slice of a CT that names a patient wherever it can."""
    dataset = pydicom.dcmread(BytesIO(ct_slice(number, STUDY, SERIES, side=64)))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name, value in SECRETS.items():
        if value:
            setattr(dataset, name, value)
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepDescription = "RP-31337", "Hong lan 2"
    dataset.RequestAttributesSequence = [request]
    source = Dataset()
    source.ReferencedSOPClassUID = dataset.SOPClassUID
    source.ReferencedSOPInstanceUID = "1.2.3.4.5.66.777.8888"
    dataset.SourceImageSequence = [source]
    dataset.add_new(0x00091001, "LO", "private Hong")
    dataset.add_new(0x00090010, "LO", "HONG CREATOR")
    dataset.preamble = b"Hong was here".ljust(128, b"\0")
    for name, value in changes.items():
        setattr(dataset, name, value)
    return dataset


def copy_of(content: bytes, **wish: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return copied(memoryview(content), msgspec.msgpack.encode(Wish(KEY, 7, **wish)))


def read(content: bytes) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(BytesIO(content))


def test_no_byte_of_a_copy_tells_who_it_was() -> None:
    content = file_of(secret_slice())
    made = copy_of(content)
    values = [*SECRETS.values(), "RP-31337", "Hong", "1.2.3.4.5.66.777.8888", "HONG CREATOR", STUDY, SERIES]
    values.append(str(secret_slice().SOPInstanceUID))
    for value in values:
        for part in re.split(r"[\^=]", value):
            for encoded in {part.encode("utf-8"), part.encode("utf-16-le")}:
                assert len(part) < WORDS_LEAST or encoded not in made, part
    dataset = read(made)
    assert (str(dataset.PatientName), dataset.PatientID) == ("Teaching^7", "TEACHING-7")
    assert dataset.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence] == ["113100"]
    assert not any(element.tag.is_private for element in dataset.iterall())
    assert (dataset.pixel_array == read(content).pixel_array).all()


def identifying(dataset: Dataset, parent: str = "") -> Iterator[str]:
    """Values of attributes that the profile does not keep, and all UIDs that are no one's but this object's."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from identifying(item)
            continue
        values = (
            element.value
            if isinstance(element.value, list | pydicom.multival.MultiValue)
            else [element.value]
        )
        is_uid = element.VR == "UI" and element.keyword not in ("SOPClassUID", "ReferencedSOPClassUID")
        is_told = is_uid or element.VR in ("PN", "LO", "SH", "LT", "ST", "UT", "DA", "DT", "UC", "AE")
        if is_told and action_of(element.tag, element.VR) is not Action.KEEP:
            yield from (str(value).strip() for value in values)


def test_every_file_s_copy_holds_nothing_of_what_identifies_and_decodes_alike() -> None:
    """All files of pydicom and pydicom-data that can be copied."""
    done = compared = 0
    for path in valid():
        content = path.read_bytes()
        try:
            made = copy_of(content)
        except DicomError:
            continue
        done += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset, copy = read(content), read(made)
            kept = {str(element.value) for element in copy.iterall() if element.VR != "SQ"}
            kept_words = " ".join(kept)
            public = {
                str(value).strip()
                for element in dataset.iterall()
                if element.VR != "SQ" and action_of(element.tag, element.VR) is Action.KEEP
                for value in (element.value if element.VM > 1 else [element.value])
            }
            for value in set(identifying(dataset)) - public:
                if len(value) < WORDS_LEAST or value in NAMELESS or UID(value).name != value:
                    continue
                is_found = value.encode("utf-8") in made and value not in kept_words
                assert not is_found, f"{path.name}: {value}"
                assert value not in kept or value == "Removed", f"{path.name}: {value}"
            if "PixelData" in dataset and dataset.file_meta.TransferSyntaxUID != "1.2.840.10008.1.2.2":
                try:
                    before = dataset.pixel_array
                except Exception:
                    continue
                assert np.array_equal(before, copy.pixel_array), path.name
                compared += 1
    assert done > 150
    assert compared > 80


def test_uids_are_replaced_alike_in_all_of_one_copy_and_otherwise_in_another() -> None:
    first, second = secret_slice(1), secret_slice(2)
    second.SourceImageSequence[0].ReferencedSOPInstanceUID = first.SOPInstanceUID
    one, two = (read(copy_of(file_of(each))) for each in (first, second))
    assert one.StudyInstanceUID == two.StudyInstanceUID != first.StudyInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPClassUID == first.SOPClassUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    wish = msgspec.msgpack.encode(Wish(bytes(32), 7))
    assert read(copied(memoryview(file_of(first)), wish)).StudyInstanceUID != one.StudyInstanceUID


def test_dates_are_emptied_or_all_shifted_by_the_same_days() -> None:
    content = file_of(secret_slice(StudyDate="20240319", SeriesDate="20240321"))
    plain = read(copy_of(content))
    assert (plain.get("StudyDate"), plain.LongitudinalTemporalInformationModified) == ("", "REMOVED")
    made = read(copy_of(content, shift=True))
    days = Wish(KEY, 7, shift=True).shift_days
    moved = np.datetime64("2024-03-19") - np.timedelta64(days, "D")
    assert made.StudyDate == str(moved).replace("-", "")
    assert np.datetime64(f"{made.SeriesDate[:4]}-{made.SeriesDate[4:6]}-{made.SeriesDate[6:]}") == moved + 2
    assert str(made.AcquisitionDateTime) == str(moved).replace("-", "") + "101530.5"
    assert not made.PatientBirthDate
    codes = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]
    assert made.LongitudinalTemporalInformationModified == "MODIFIED"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("examples_ybr_color.dcm", 30),
        ("JPEG2000.dcm", 20),
        ("MR_small_RLE.dcm", 10),
        ("SC_rgb_rle_2frame.dcm", 5),
    ],
)
def test_rows_at_the_top_are_black_and_the_others_as_they_were(name: str, rows: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = Path(get_testdata_file(name)).read_bytes()
        before = read(content)
        made = read(copy_of(content, blank_rows=rows))
        frames = int(before.get("NumberOfFrames") or 1)
        old, new = before.pixel_array, made.pixel_array
        if frames == 1:
            old, new = old[None], new[None]
        assert made.BurnedInAnnotation == "NO"
        assert np.array_equal(old[:, rows:], new[:, rows:])
        assert not new[:, :rows].any()


def long_sequence(word: str, *, implicit: bool) -> bytes:
    """A sequence longer than a VR with a short length can hold, that names somebody."""
    sequence = Dataset()
    for number in range(900):
        item = Dataset()
        item.FrameAcquisitionNumber, item.ImageComments, item.StudyInstanceUID = number, word * 4, STUDY
        item.AcquisitionDateTime = "20240319101530"
        sequence.setdefault("FrameContentSequence", []).value.append(item)
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = implicit, True
    write_dataset(file, sequence)
    return file.getvalue()[8 if implicit else 12 :]


# Bytes that are unknown are in implicit VR by rule; others would be misread, and go as a whole.
@pytest.mark.parametrize("implicit", [True, False])
def test_a_sequence_that_came_as_unknown_bytes_is_read_and_what_is_in_it_taken_out(implicit: bool) -> None:
    dataset, item = secret_slice(), Dataset()
    content = long_sequence("Tran Thi Lien ", implicit=implicit)
    assert len(content) > 0xFFFF
    item.add_new(0x00209111, "UN", content)
    dataset.PerFrameFunctionalGroupsSequence = [item]
    made = copy_of(file_of(dataset))
    for value in (b"Lien", STUDY.encode(), b"20240319"):
        assert value not in made
    (left,) = read(made).PerFrameFunctionalGroupsSequence
    assert ("FrameContentSequence" in left) is implicit


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00200062, "UN", b"Tran Thi Lien " * 6000),  # a code
        (0x00209111, "OB", b"Tran Thi Lien!"),  # a sequence
        (0x00209111, "LT", "Tran Thi Lien"),
        (0x00280010, "LT", "Tran Thi Lien"),  # a number
        (0x00200013, "IS", "Tran Thi Lien"),
        (0x00180050, "DS", "Tran Thi Lien"),
        (0x00200052, "LO", "Tran Thi Lien"),  # a UID
        (0x00081150, "UI", "Tran Thi Lien"),
        (0x00400275, "UN", b"Tran Thi Lien " * 6000),
    ],
)
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.filterwarnings("ignore:Invalid value")
def test_what_is_not_of_the_sort_that_the_standard_says_is_taken_out(
    tag: int, vr: str, value: Any, shift: bool
) -> None:
    dataset = secret_slice()
    dataset[tag] = pydicom.DataElement(tag, vr, "0" if vr in ("IS", "DS") else value)
    content = file_of(dataset)
    if vr in ("IS", "DS"):
        head = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), 2)
        content = content.replace(head + b"0 ", head[:-2] + struct.pack("<H", 14) + value.encode() + b" ")
    assert b"Tran Thi Lien" in content
    try:
        made = copy_of(content, shift=shift)
    except DicomError:
        return  # Left out: nothing of it is shown either.
    assert b"Lien" not in made
    assert tag not in read(made)


def test_pixels_that_came_as_unknown_bytes_are_kept() -> None:
    dataset = secret_slice(PixelData=bytes(range(256)) * 512, Rows=256, Columns=256)
    dataset["PixelData"].VR = "UN"
    made = read(copy_of(file_of(dataset)))
    assert (made["PixelData"].VR, made.PixelData) == ("OW", dataset.PixelData)


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("StudyDate", "20240319", True),
        ("StudyDate", "2024.03.19", True),
        ("StudyDate", "20240319LIEN", False),
        ("StudyDate", "20240319-20240322", False),
        ("AcquisitionDateTime", "20240319101530.25+0700", True),
        ("AcquisitionDateTime", "20240319101530 Lien", False),
        ("StudyTime", "101530.5", True),
        ("StudyTime", "101530 LIEN", False),
    ],
)
def test_a_date_that_is_shifted_keeps_nothing_but_a_time(name: str, value: str, left: bool) -> None:
    dataset = secret_slice()
    del dataset[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset[name] = pydicom.DataElement(name, pydicom.datadict.dictionary_VR(name), value)
        content = file_of(dataset)
    assert value.encode() in content
    made = copy_of(content, shift=True)
    assert b"lien" not in made.lower()
    assert b"20240322" not in made
    assert bool(str(read(made)[name].value or "")) is left


def test_comments_beside_the_pixels_are_taken_out() -> None:
    dataset = read(Path(get_testdata_file("SC_rgb_jpeg_gdcm.dcm")).read_bytes())
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    word = b"Nguyen Thi Hong"
    ends = [2, frame.rindex(b"\xff\xd9")]
    for marker, at in [(marker, at) for marker in (b"\xff\xfe", b"\xff\xe1") for at in ends]:
        spoken = frame[:at] + marker + (len(word) + 2).to_bytes(2, "big") + word + frame[at:]
        cleaned = without_comments(spoken, BASELINE)
        assert word not in cleaned
        assert cleaned == without_comments(frame, BASELINE)
        dataset.PixelData = pydicom.encaps.encapsulate([spoken])
        with_comment = file_of(dataset)
        assert word in with_comment
        assert word not in copy_of(with_comment)


def frame_of(name: str) -> tuple[FileDataset, bytes, str]:
    dataset = read(Path(get_testdata_file(name)).read_bytes())
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    return dataset, frame, str(dataset.file_meta.TransferSyntaxUID)


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def in_boxes(codestream: bytes) -> bytes:
    """A JP2 file with a header that means nothing, and what people put beside it."""
    head = box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", box(b"res ", b"\0" * 18))
    signature = b"\0\0\0\x0cjP  \r\n\x87\n"
    return signature + head + box(b"xml ", WORD) + box(b"jp2c", codestream) + box(b"uuid", WORD)


def with_tile_comment(codestream: bytes) -> bytes:
    """One in the header of the first tile-part, whose length is told in two places."""
    at = codestream.index(b"\xff\x90\0\x0a")
    comment = b"\xff\x64" + (len(WORD) + 4).to_bytes(2, "big") + b"\0\1" + WORD
    told = codestream[at + 6 : at + 10]
    length = (int.from_bytes(told, "big") + len(comment)).to_bytes(4, "big") if any(told) else told
    lengths = b"\xff\x55\0\x08\0\x40" + length
    part = codestream[at : at + 6] + length + codestream[at + 10 : at + 12] + comment + codestream[at + 12 :]
    return codestream[:at] + lengths + part


WORD = b"Nguyen Thi Hong"
BASELINE = "1.2.840.10008.1.2.4.50"


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame + WORD),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame + frame[:2] + b"\xff\xfe\0\x11" + WORD + frame[2:]),
        ("MR_small_jpeg_ls_lossless.dcm", lambda frame: frame + WORD),
        ("JPEG2000.dcm", lambda frame: frame[: frame.rindex(b"\xff\xd9") + 2] + WORD),
        ("JPEG2000.dcm", in_boxes),
        ("JPEG2000.dcm", with_tile_comment),
        ("693_J2KR.dcm", with_tile_comment),
    ],
)
def test_nothing_stays_beside_or_behind_the_pixels(name: str, spoil: Callable[[bytes], bytes]) -> None:
    dataset, frame, syntax = frame_of(name)
    spoken = spoil(frame)
    assert WORD in spoken
    assert without_comments(spoken, syntax) == without_comments(frame, syntax)
    before = dataset.pixel_array
    dataset.PixelData = pydicom.encaps.encapsulate([spoken])
    made = copy_of(file_of(dataset))
    assert WORD not in made
    assert np.array_equal(read(made).pixel_array, before)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: WORD + frame),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:2] + WORD + frame[2:]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:2] + b"\xff\xfe\0\x01" + WORD + frame[2:]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:2] + b"\xff\xf0\0\x11" + WORD + frame[2:]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[: frame.rindex(b"\xff\xd9")] + WORD),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:40]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: b""),
        ("JPEG2000.dcm", lambda frame: WORD + frame),
        ("JPEG2000.dcm", lambda frame: frame[:2] + WORD + frame[2:]),
        ("JPEG2000.dcm", lambda frame: frame[:2] + b"\xff\x65\0\x11" + WORD + frame[2:]),
        ("JPEG2000.dcm", lambda frame: frame[: frame.rindex(b"\xff\xd9")] + WORD + b"\xff\xd9"),
        ("JPEG2000.dcm", lambda frame: frame[:60]),
        ("JPEG2000.dcm", lambda frame: in_boxes(frame).replace(b"res ", b"pclr")),
        ("JPEG2000.dcm", lambda frame: in_boxes(frame).replace(b"jp2c", b"jp2x")),
        ("JPEG2000.dcm", lambda frame: in_boxes(frame)[:40]),
    ],
)
def test_a_picture_that_cannot_be_followed_to_its_end_is_not_copied(
    name: str, spoil: Callable[[bytes], bytes]
) -> None:
    dataset, frame, syntax = frame_of(name)
    with pytest.raises(DicomError):
        without_comments(spoil(frame), syntax)
    dataset.PixelData = pydicom.encaps.encapsulate([spoil(frame) or b"\0\0"])
    with pytest.raises(DicomError):
        copy_of(file_of(dataset))


def test_a_picture_in_a_syntax_that_cannot_be_searched_is_not_copied() -> None:
    with pytest.raises(DicomError, match="cannot be searched"):
        without_comments(b"\xff\x0a" + WORD, "1.2.840.10008.1.2.4.110")


def test_overlays_are_taken_out_also_from_between_the_bits_of_pixels() -> None:
    dataset = secret_slice()
    pixels = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.PixelData = (pixels | 0x8000).tobytes()
    dataset.add_new(0x60000010, "US", 64)
    dataset.add_new(0x60000011, "US", 64)
    dataset.add_new(0x60000102, "US", 15)
    dataset.add_new(0x60023000, "OW", b"Hong" * 4)
    made = read(copy_of(file_of(dataset)))
    assert made.PixelData == pixels.tobytes()
    assert not [element for element in made if element.tag.group & 0xFF00 == 0x6000]


def test_a_uid_that_the_table_names_is_replaced_whatever_it_is_called() -> None:
    dataset = secret_slice()
    dataset.add_new(0x0018100B, "UI", "1.2.3.4.55")
    made = read(copy_of(file_of(dataset)))
    assert made[0x0018100B].value.startswith("2.25.")
    assert made.SOPClassUID == dataset.SOPClassUID


@pytest.mark.parametrize(
    ("sop_class", "modality", "annotation", "refused"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "", False),
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "YES", True),
        ("1.2.840.10008.5.1.4.1.1.6.1", "US", "", True),
        ("1.2.840.10008.5.1.4.1.1.3.1", "US", "NO", False),
        ("1.2.840.10008.5.1.4.1.1.7", "OT", "", True),
        ("1.2.840.10008.5.1.4.1.1.7.4", "OT", "NO", False),
        ("1.2.840.10008.5.1.4.1.1.77.1.4", "XC", "", True),
    ],
)
def test_pictures_that_may_have_a_name_in_them_are_known(
    sop_class: str, modality: str, annotation: str, refused: bool
) -> None:
    assert may_be_written_into(sop_class, modality, annotation) is refused


def problems(folder: Path, name: str, content: bytes) -> set[str]:
    """What dciodvfy finds wrong, without values."""
    path = folder / name
    path.write_bytes(content)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, timeout=60, check=False)
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return {re.sub(r"<[^>]*>", "", line) for line in lines if line.startswith("Error")}


VERIFIED = (
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "US1_UNCR.dcm",
    "emri_small.dcm",
    "liver.dcm",
    "eCT_Supplemental.dcm",
    "waveform_ecg.dcm",
    "rtplan.dcm",
    "rtdose.dcm",
    "SC_rgb.dcm",
)


@pytest.mark.parametrize("name", VERIFIED)
@pytest.mark.parametrize("shift", [False, True])
def test_a_copy_has_no_fault_that_the_original_had_not(tmp_path: Path, name: str, shift: bool) -> None:
    path = get_testdata_file(name)
    assert path is not None
    content = Path(path).read_bytes()
    before = problems(tmp_path, "before", content)
    after = problems(tmp_path, "after", copy_of(content, shift=shift))
    assert after - before == set()


# --- in a server -----------------------------------------------------------------------------------------------------


@dataclass
class Teacher:
    house: House

    async def keep(self, *objects: bytes, session: str | None = None) -> str:
        archive = self.house.server.imaging.archive

        def keep() -> str:
            with archive.arrivals() as arrivals:
                kept = [arrivals.keep(each) for each in objects]
            archive.catalogue.assign(kept[0].study, Belonging(session))  # type: ignore[arg-type]
            return kept[0].study

        return await asyncio.to_thread(keep)

    async def copy(self, study: str, **wish: Any) -> dict[str, Any]:
        token = self.house.staff_token()
        status, answer = await self.house.ask("POST", f"/api/studies/{study}/deidentify", token, json=wish)
        assert status == 202, answer
        async with asyncio.timeout(WAIT_S):
            while True:
                _, told = await self.house.ask("GET", f"/api/study-jobs/{answer['job']['id']}", token)
                job: dict[str, Any] = told["job"]
                if job["state"] in ("done", "failed"):
                    return job
                await asyncio.sleep(0.05)

    async def files(self, study: str) -> list[bytes]:
        def read_all() -> list[bytes]:
            with self.house.server.imaging.archive.open(study) as reader:
                return [b"".join(reader.iterate(one)) for one in reader.instances()]

        return await asyncio.to_thread(read_all)


async def test_a_copy_is_a_new_study_of_its_own_patient(tmp_path: Path) -> None:
    report = secret_slice(9)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    async with running(settings_for(tmp_path)) as server, aiohttp.ClientSession() as client:
        house = House(server, client)
        teacher = Teacher(house)
        made = await house.make("Echo")
        objects = [file_of(secret_slice(number)) for number in (1, 2)]
        study = await teacher.keep(*objects, file_of(report), session=made.session.id)
        first = await teacher.copy(study)
        second = await teacher.copy(study, inSession=True, shiftDates=True)
        assert (first["state"], second["state"]) == ("done", "done"), (first, second)
        assert "Left out were 1 objects" in first["remark"]
        catalogue = server.imaging.archive.catalogue
        copies = [catalogue.get(job["copy"]) for job in (first, second)]
        assert [entry.facts.patient_id for entry in copies] == ["TEACHING-1", "TEACHING-2"]
        assert [entry.instances for entry in copies] == [2, 2]
        assert catalogue.belonging(copies[0].id).session is None
        assert catalogue.belonging(copies[1].id).session == made.session.id
        for entry in copies:
            for content in await teacher.files(entry.id):
                assert b"Hong" not in content
                assert STUDY.encode() not in content
        stored = await asyncio.to_thread(
            lambda: [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
        )
        assert len(stored) > 10
        for word in (b"Hong", b"HN-0042", STUDY.encode(), b"TEACHING"):
            assert not any(word in content for content in stored), word
        hub = house.token(made, Role.HUB)
        assert await house.code("POST", f"/api/studies/{STUDY}/deidentify", hub, json={}) == (
            403,
            "notAllowed",
        )


async def test_pictures_with_a_name_in_them_are_not_copied_unless_somebody_answers_for_it(
    tmp_path: Path,
) -> None:
    dataset = secret_slice(1)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.Modality = "OT"
    async with running(settings_for(tmp_path)) as server, aiohttp.ClientSession() as client:
        teacher = Teacher(House(server, client))
        study = await teacher.keep(file_of(dataset), ct_slice(2, STUDY, generate_uid(), side=32))
        refused = await teacher.copy(study)
        assert (refused["state"], refused["error"]["code"]) == ("failed", "conflict")
        assert "written into them" in refused["error"]["text"]
        assert len(server.imaging.archive.catalogue.all()) == 1, "nothing was begun"
        without = await teacher.copy(study, leaveOut=True)
        assert (without["state"], without["done"]) == ("done", 1)
        assert "may have a name in them" in without["remark"]
        assert (await teacher.copy(study, looked=True))["state"] == "done"
        blanked = await teacher.copy(study, blankRows=8)
        assert blanked["state"] == "done"
        for content in await teacher.files(blanked["copy"]):
            assert not read(content).pixel_array[:8].any()
