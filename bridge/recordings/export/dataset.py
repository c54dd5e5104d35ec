"""What a DICOM video instance says of itself: all attributes but the pixel data.

Ultrasound Multi-frame Image (PS3.3 A.7), Video Endoscopic, Microscopic and Photographic Image (PS3.3 A.32.5 to A.32.7),
with H.264 as in PS3.5 8.2.7 and 8.2.8. It knows no frames and does no I/O but to bytes.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import UID

HIGH_41 = UID("1.2.840.10008.1.2.4.102")
HIGH_42 = UID("1.2.840.10008.1.2.4.104")
_FRAME_TIME = Tag(0x0018, 0x1063)
# Of this software, under 2.25 (PS3.5 B.2), where no registration is needed.
_IMPLEMENTATION = UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, 'bridge.recordings.export').int}")
_UIDS = uuid.uuid5(uuid.NAMESPACE_URL, "bridge.recordings")
# Longest values (PS3.5 6.2): what is longer is cut.
_LONG_STRING, _SHORT_STRING, _NUMBER, _DECIMAL = 64, 16, 12, 16
# Where a camera looks, nobody says; photographs must name a region (PS3.3 C.8.12.1).
_ENTIRE_BODY = ("38266002", "SCT", "Entire body")
_MODULE_ULTRASOUND, _MODULE_VISIBLE_LIGHT = "US", "VL"


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose study it becomes part of, as far as it is known; values as in the attributes of these names (PS3.3 C.7.1,
    C.7.2). Recordings know nothing of a patient."""

    name: str = ""
    id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class Sort:
    """What a source becomes."""

    sop_class: UID
    modality: str
    module: str


_ULTRASOUND = Sort(UID("1.2.840.10008.5.1.4.1.1.3.1"), "US", _MODULE_ULTRASOUND)
_MICROSCOPIC = Sort(UID("1.2.840.10008.5.1.4.1.1.77.1.2.1"), "GM", _MODULE_VISIBLE_LIGHT)
_PHOTOGRAPHIC = Sort(UID("1.2.840.10008.5.1.4.1.1.77.1.4.1"), "XC", _MODULE_VISIBLE_LIGHT)
SORTS = {"ultrasound": _ULTRASOUND, "microscope": _MICROSCOPIC}


@dataclass(frozen=True, slots=True)
class Shot:
    """What is known before the first frame is written."""

    source: str
    width: int
    height: int
    transfer_syntax: UID
    began_at: datetime
    session: str
    series: str
    number: int
    title: str
    description: str
    derived: bool
    instance: UID


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known after the last one."""

    frames: int
    duration_us: int
    size_bytes: int


def uid_of(*names: str) -> UID:
    """Always the same one for the same names (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(_UIDS, '/'.join(names)).int}")


def new_uid() -> UID:
    return UID(f"2.25.{uuid.uuid4().int}")


def sort_of(source: str) -> Sort:
    """What pictures of this source become: what is no modality of its own is a photograph."""
    return SORTS.get(source, _PHOTOGRAPHIC)


def began(started_at_ms: int, begin_us: int) -> datetime:
    return datetime.fromtimestamp(started_at_ms / 1_000, UTC) + timedelta(microseconds=begin_us)


def head(shot: Shot, patient: Patient, counted: Counted) -> bytes:
    """The file up to its pixel data; of one length whatever was counted, so that it can be written over itself."""
    sort = sort_of(shot.source)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sort.sop_class, shot.instance
    _patient_and_study(dataset, shot, patient)
    _series_and_equipment(dataset, shot, sort)
    _image(dataset, shot)
    _frames(dataset, shot, counted)
    if sort.module == _MODULE_VISIBLE_LIGHT:
        dataset.AcquisitionContextSequence = DicomSequence()
        dataset.AnatomicRegionSequence = DicomSequence([_code(*_ENTIRE_BODY)])
    else:
        # Which side nobody says; PS3.3 C.7.3.1 lets it be empty then.
        dataset.Laterality = ""
        dataset.add_new(0x00280014, "US", 1)  # Ultrasound Color Data Present
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sort.sop_class, shot.instance
    meta.TransferSyntaxUID, meta.ImplementationClassUID = shot.transfer_syntax, _IMPLEMENTATION
    meta.ImplementationVersionName = f"BRIDGE_{_version()}"[:16]
    dataset.file_meta = meta
    # Nothing is coded anew then, and numbers stay as long as they were made.
    dataset.set_original_encoding(False, True, convert_encodings(dataset.SpecificCharacterSet))
    written = io.BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return written.getvalue()


def _patient_and_study(dataset: Any, shot: Shot, patient: Patient) -> None:
    dataset.PatientName, dataset.PatientID = patient.name, patient.id
    dataset.PatientBirthDate, dataset.PatientSex = patient.birth_date, patient.sex
    dataset.StudyInstanceUID = UID(patient.study_uid) if patient.study_uid else uid_of("study", shot.session)
    dataset.StudyDate, dataset.StudyTime = _date(shot.began_at), _time(shot.began_at)
    dataset.ReferringPhysicianName, dataset.StudyID = "", shot.session[:_SHORT_STRING]
    dataset.AccessionNumber = patient.accession_number
    if shot.title:
        dataset.StudyDescription = _one_line(shot.title)


def _series_and_equipment(dataset: Any, shot: Shot, sort: Sort) -> None:
    dataset.Modality = sort.modality
    dataset.SeriesInstanceUID = uid_of("series", shot.series)
    dataset.SeriesNumber = 1
    dataset.SeriesDate, dataset.SeriesTime = _date(shot.began_at), _time(shot.began_at)
    dataset.SeriesDescription = _one_line(shot.description)
    dataset.Manufacturer, dataset.ManufacturerModelName = "Bridge", "Bridge"
    dataset.SoftwareVersions = _version()


def _image(dataset: Any, shot: Shot) -> None:
    dataset.InstanceNumber = shot.number
    dataset.PatientOrientation = ""
    dataset.ImageType = ["DERIVED" if shot.derived else "ORIGINAL", "PRIMARY"]
    if shot.derived:
        dataset.DerivationDescription = "Encoded anew as H.264 of one size"
    dataset.ContentDate, dataset.ContentTime = _date(shot.began_at), _time(shot.began_at)
    dataset.AcquisitionDateTime = shot.began_at.strftime("%Y%m%d%H%M%S.%f+0000")
    dataset.TimezoneOffsetFromUTC = "+0000"
    # Ultrasound machines write name and number of the patient into the picture; nobody has looked.
    dataset.BurnedInAnnotation = "YES"
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_14496_10"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_PARTIAL_420"
    dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
    dataset.Rows, dataset.Columns = shot.height, shot.width
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7


def _frames(dataset: Any, shot: Shot, counted: Counted) -> None:
    frames = max(1, counted.frames)
    frame_ms = max(counted.duration_us / 1_000 / frames, 0.001)
    raw_bytes = frames * shot.width * shot.height * 3
    _fixed(dataset, "NumberOfFrames", "IS", str(frames), _NUMBER)
    dataset.FrameIncrementPointer = _FRAME_TIME
    _fixed(dataset, "FrameTime", "DS", f"{frame_ms:.6f}", _DECIMAL)
    _fixed(dataset, "CineRate", "IS", str(max(1, round(1_000 / frame_ms))), _NUMBER)
    _fixed(dataset, "RecommendedDisplayFrameRate", "IS", str(max(1, round(1_000 / frame_ms))), _NUMBER)
    _fixed(dataset, "EffectiveDuration", "DS", f"{counted.duration_us / 1_000_000:.6f}", _DECIMAL)
    dataset.StartTrim = 1
    _fixed(dataset, "StopTrim", "IS", str(frames), _NUMBER)
    dataset.PreferredPlaybackSequencing = 0
    ratio = raw_bytes / max(1, counted.size_bytes)
    _fixed(dataset, "LossyImageCompressionRatio", "DS", f"{ratio:.3f}", _DECIMAL)


def _fixed(dataset: Any, keyword: str, vr: str, value: str, length: int) -> None:
    """Blanks around a number mean nothing (PS3.5 6.2); it is put in as bytes, since pydicom would take them off."""
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, length, value.ljust(length).encode("ascii"), 0, False, True)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _version() -> str:
    try:
        return version("bridge")
    except PackageNotFoundError:
        # Run from its source without being installed.
        return "0"


def _one_line(text: str) -> str:
    """As a value of LO (PS3.5 6.2), where a backslash would part it in two."""
    return text.replace("\\", "/")[:_LONG_STRING].strip()


def _date(at: datetime) -> str:
    return at.strftime("%Y%m%d")


def _time(at: datetime) -> str:
    return at.strftime("%H%M%S.%f")
