"""Copies for teaching: nothing that names the patient is left, what was valid stays valid, pixels stay as they are."""

from __future__ import annotations

import re
import struct
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from bridge.imaging.errors import DicomError
from bridge.imaging.teaching.copying import copied
from bridge.imaging.teaching.profile import Action, action_of
from bridge.imaging.teaching.scrubbing import Wish
from tests.imaging.corpus import file_of, valid
from tests.imaging.namedstudy import KEY, SECRETS, SERIES, STUDY, copy_of, read, secret_slice

WORDS_LEAST = 4
"""Shorter values, as a sex or a number, are found in any file."""
NAMELESS = frozenset(("CT", "MR", "US"))


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


def test_a_uid_that_the_table_names_is_replaced_whatever_it_is_called() -> None:
    dataset = secret_slice()
    dataset.add_new(0x0018100B, "UI", "1.2.3.4.55")
    made = read(copy_of(file_of(dataset)))
    assert made[0x0018100B].value.startswith("2.25.")
    assert made.SOPClassUID == dataset.SOPClassUID


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
