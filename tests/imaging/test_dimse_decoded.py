"""C-GET and C-MOVE to who takes no compressed objects: they come decoded, with the same pixels."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bridge.config import DicomPeer
from bridge.imaging.dimse.contexts import turnable
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in, file_of
from tests.imaging.dimse import CALLING, fetched, port_on
from tests.imaging.peers import STORE_TITLE, storescp

STUDY = "1.2.826.0.1.3680043.8.498.41"
NAMES = (
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
)


def objects() -> list[bytes]:
    made = []
    for number, name in enumerate(NAMES):
        path = get_testdata_file(name)
        assert path is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{STUDY}.{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{number}.1"
        made.append(file_of(dataset))
    return made


def read(content: bytes) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(BytesIO(content))


def same(one: FileDataset, other: FileDataset) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array_equal(one.pixel_array, other.pixel_array)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_c_get_brings_decoded_objects(tmp_path: Path, workers: Workers, syntax: str) -> None:
    contents = objects()
    with archive_in(tmp_path / "data", workers) as archive, port_on(archive, tmp_path / "audit") as port:
        with archive.arrivals() as arrivals:
            for content in contents:
                arrivals.keep(content)
        keys = Dataset()
        keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", STUDY
        pairs = [(str(read(content).SOPClassUID), str(syntax)) for content in contents]
        got = fetched(port, keys, list(dict.fromkeys(pairs)))
    assert len(got) == len(contents)
    for content in contents:
        before = read(content)
        after = part10(got[str(before.SOPInstanceUID)], str(before.SOPClassUID), syntax)
        assert same(before, after), before.SOPInstanceUID


def part10(dataset: bytes, sop_class: str, syntax: str) -> FileDataset:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    meta.MediaStorageSOPClassUID = pydicom.uid.UID(sop_class)
    head = pydicom.filebase.DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    write_dataset(head, meta)
    group = pydicom.filebase.DicomBytesIO()
    group.is_little_endian, group.is_implicit_VR = True, False
    length = Dataset()
    length.add_new(0x00020000, "UL", len(head.getvalue()))
    write_dataset(group, length)
    return read(bytes(128) + b"DICM" + group.getvalue() + head.getvalue() + dataset)


def test_c_move_sends_decoded_objects(tmp_path: Path, workers: Workers) -> None:
    contents = objects()
    with storescp(tmp_path / "got", "+xi") as store, archive_in(tmp_path / "data", workers) as archive:
        peers = (DicomPeer(CALLING, "*", None, ""), DicomPeer(STORE_TITLE, "127.0.0.1", store.port, ""))
        with port_on(archive, tmp_path / "audit", *peers) as port:
            with archive.arrivals() as arrivals:
                for content in contents:
                    arrivals.keep(content)
            said = (
                "-S",
                "-aem",
                STORE_TITLE,
                "-k",
                "QueryRetrieveLevel=STUDY",
                "-k",
                f"StudyInstanceUID={STUDY}",
            )
            port.dcmtk("movescu", *said)
        received = store.received()
    for content in contents:
        before = read(content)
        assert same(before, received[str(before.SOPInstanceUID)])


def test_what_cannot_be_decoded_is_offered_as_it_is_only() -> None:
    assert turnable("1.2.840.10008.1.2.4.102") == ()
    assert turnable("1.2.3") == ()
    assert turnable("1.2.840.10008.1.2.4.90") == (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    assert turnable(ImplicitVRLittleEndian) == (ExplicitVRLittleEndian,)
