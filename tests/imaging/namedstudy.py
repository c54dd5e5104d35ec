"""A study that names its patient wherever it can, and its copy for teaching."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

import msgspec
import pydicom
from pydicom.dataset import Dataset, FileDataset

from bridge.imaging.teaching.copying import copied
from bridge.imaging.teaching.scrubbing import Wish
from tests.imaging.corpus import ct_slice

KEY = bytes(range(32))
STUDY, SERIES = "1.2.826.0.1.3680043.8.498.71", "1.2.826.0.1.3680043.8.498.72"
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
