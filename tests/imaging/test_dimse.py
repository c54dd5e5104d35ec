"""DICOM over the network, by Debian's dcmtk and a sender that changes nothing: in, found, and out again as it was."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid
from pynetdicom import AE

from bridge.audit import Outcome
from bridge.config import DicomPeer
from bridge.errors import Conflict, LimitExceeded
from bridge.ids import SessionId
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Belonging
from bridge.imaging.errors import DicomError
from bridge.imaging.parsing import parse
from bridge.imaging.part10 import file_meta
from bridge.imaging.statuses import status_of
from bridge.imaging.workers import Workers
from bridge.vault import Trouble, VaultError
from tests.imaging.certificates import make_certificates
from tests.imaging.corpus import archive_in, ct_slice, file_of, valid
from tests.imaging.dimse import (
    CALLING,
    DCMTK,
    Port,
    context,
    dataset_of,
    fetched,
    find_status,
    port_in,
    port_on,
    sender,
    until,
)
from tests.serving import free_port

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
NAMES = {"vi": "Nguyễn^Thị Hồng", "ru": "Иванова^Мария", "la": "Smith^John"}


def slices(count: int, *, study: str = STUDY, side: int = 64, **changes: object) -> list[bytes]:
    return [ct_slice(number, study, study + ".9", side=side, **changes) for number in range(1, count + 1)]


def kept(archive: Archive, study: str = STUDY) -> dict[str, bytes]:
    """The files of a study by SOPInstanceUID."""
    entry = archive.catalogue.known(study)
    if entry is None:
        return {}
    with archive.open(entry.id) as reader:
        return {one.note.sop_instance: b"".join(reader.iterate(one)) for one in reader.instances()}


@pytest.fixture
def port(tmp_path: Path, workers: Workers) -> Iterator[Port]:
    with port_in(tmp_path, workers) as opened:
        yield opened


# --- in and out ------------------------------------------------------------------------------------------------------


def test_every_valid_file_goes_in_and_comes_out_byte_for_byte(port: Port) -> None:
    contents: dict[str, bytes] = {}
    others: list[bytes] = []
    for path in valid():
        content = path.read_bytes()
        uid = parse(content).note.sop_instance
        (others.append(content) if uid in contents else contents.__setitem__(uid, content))
    all_pairs = [
        (note.sop_class, note.transfer_syntax) for note in (parse(each).note for each in contents.values())
    ]
    assert len(set(all_pairs)) <= 120, "one association has room for them"
    with sender(port, [*contents.values()]) as open_sender:
        for content in contents.values():
            assert open_sender.send(content) == 0
    by_study: dict[str, list[bytes]] = {}
    for content in contents.values():
        by_study.setdefault(parse(content).note.study, []).append(content)
    for study, expected in by_study.items():
        stored = kept(port.archive, study)
        assert {uid: dataset_of(file) for uid, file in stored.items()} == {
            parse(each).note.sop_instance: dataset_of(each) for each in expected
        }
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", list(by_study)
    got = fetched(port, keys, list(dict.fromkeys(all_pairs)))
    # What goes over the network is of even length, which a deflated file need not be.
    whole = {uid: dataset_of(content) for uid, content in contents.items()}
    assert got == {uid: dataset + b"\0" * (len(dataset) % 2) for uid, dataset in whole.items()}
    assert len(got) > 100


def test_dcmtk_sends_finds_and_gets(port: Port, tmp_path: Path) -> None:
    names = ["CT_small.dcm", "US1_J2KR.dcm", "JPEG-LL.dcm", "MR_small_RLE.dcm", "color3d_jpeg_baseline.dcm"]
    paths = [Path(get_testdata_file(name)) for name in names]
    port.dcmtk("echoscu")
    port.dcmtk("dcmsend", "--no-uid-checks", *paths)
    port.dcmtk("storescu", "-xe", paths[0])
    for path in paths:
        note = parse(path.read_bytes()).note
        found = port.dcmtk(
            "findscu", "-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={note.study}",
            "-k", f"SeriesInstanceUID={note.series}", "-k", f"SOPInstanceUID={note.sop_instance}", "-k", "Rows",
        )  # fmt: skip
        assert note.sop_instance in found
        assert f"US {note.rows} " in found
    folder = tmp_path / "got"
    folder.mkdir()
    note = parse(paths[0].read_bytes()).note
    port.dcmtk(
        "getscu", "-S", "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={note.study}",
        "-k", f"SeriesInstanceUID={note.series}", "-od", str(folder),
    )  # fmt: skip
    (got,) = folder.iterdir()
    assert pydicom.dcmread(got).PixelData == pydicom.dcmread(paths[0]).PixelData


def test_moves_to_a_known_device_only(tmp_path: Path, workers: Workers) -> None:
    number, folder = free_port(), tmp_path / "there"
    folder.mkdir()
    peers = (
        DicomPeer(CALLING, "127.0.0.1", None, ""),
        DicomPeer("PACS", "127.0.0.1", number, ""),
        DicomPeer("DEAF", "127.0.0.1", 9, ""),
    )
    contents = slices(3)
    lossless = Path(get_testdata_file("US1_J2KR.dcm")).read_bytes()
    other = parse(lossless).note
    receiver = subprocess.Popen([DCMTK + "storescp", "+xa", "-aet", "PACS", "-od", str(folder), str(number)])
    try:
        with port_in(tmp_path, workers, *peers) as port:
            with sender(port, [*contents, lossless]) as opened:
                assert [opened.send(each) for each in (*contents, lossless)] == [0] * 4
            base = (
                "-v",
                "-S",
                "-k",
                "QueryRetrieveLevel=STUDY",
                "-k",
                f"StudyInstanceUID={STUDY}\\{other.study}",
            )
            until(lambda: _listens(number), "storescp listens")
            said = port.dcmtk("movescu", *base, "-aem", "PACS")
            assert "Final Move Response (Success)" in said
            got = {parse(path.read_bytes()).note.sop_instance: path.read_bytes() for path in folder.iterdir()}
            wanted = {parse(each).note.sop_instance: each for each in (*contents, lossless)}
            assert {uid: parse(file).note.pixel_sha256 for uid, file in got.items()} == {
                uid: parse(file).note.pixel_sha256 for uid, file in wanted.items()
            }
            assert parse(got[other.sop_instance]).note.transfer_syntax == JPEG2000Lossless
            for unknown in ("NOBODY", CALLING, "DEAF"):
                assert "MoveDestinationUnknown" in port.dcmtk("movescu", *base, "-aem", unknown, ok=False)
    finally:
        receiver.terminate()
        receiver.wait()


def _listens(number: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


# --- finding ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(port: Port) -> Port:
    files = []
    for number, (language, name) in enumerate(NAMES.items(), 1):
        study = f"{STUDY}.{number}"
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName, dataset.PatientID, dataset.StudyDate = name, language, f"2026010{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, study + ".1"
        dataset.Modality = "CT" if number < 3 else "OT"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        files.append(file_of(dataset))
    with sender(port, files) as opened:
        assert [opened.send(file) for file in files] == [0] * len(files)
    return port


def found(port: Port, root: str = "-S", level: str = "STUDY", **keys: str) -> list[Dataset]:
    """Patient IDs of what matches, by dcmtk and as it writes it down."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word for name, value in keys.items() for word in ("-k", f"{name}={value}")]
        port.dcmtk("findscu", root, "-X", "-od", folder, "-k", f"QueryRetrieveLevel={level}", *words)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [pydicom.dcmread(path, force=True) for path in sorted(Path(folder).iterdir())]


def ids(answers: list[Dataset]) -> set[str]:
    return {str(answer.PatientID) for answer in answers}


def test_finds_by_the_rules(library: Port) -> None:
    assert ids(found(library, PatientID="")) == {"vi", "ru", "la"}
    assert ids(found(library, PatientID="", PatientName="smith*")) == {"la"}
    assert ids(found(library, PatientID="", StudyDate="20260102-")) == {"ru", "la"}
    assert ids(found(library, PatientID="", ModalitiesInStudy="CT")) == {"vi", "ru"}
    assert ids(found(library, PatientID="", StudyInstanceUID=f"{STUDY}.1\\{STUDY}.3")) == {"vi", "la"}
    assert found(library, PatientID="nobody") == []
    (series,) = found(
        library, level="SERIES", StudyInstanceUID=f"{STUDY}.2", NumberOfSeriesRelatedInstances=""
    )
    assert series.NumberOfSeriesRelatedInstances == 1
    (patient,) = found(library, "-P", "PATIENT", PatientID="ru", NumberOfPatientRelatedStudies="")
    assert patient.NumberOfPatientRelatedStudies == 1
    keys = Dataset()
    for level in ("SERIES", "CUPBOARD", "PATIENT"):
        keys.QueryRetrieveLevel = level
        assert find_status(library, keys) == 0xA900


def test_names_are_asked_and_answered_in_any_alphabet(library: Port) -> None:
    (vi,) = found(library, SpecificCharacterSet="ISO_IR 192", PatientID="", PatientName="NGUYỄN*")
    assert (vi.SpecificCharacterSet, vi.PatientName) == ("ISO_IR 192", NAMES["vi"])
    (ru,) = found(library, SpecificCharacterSet="ISO_IR 144", PatientID="ru", PatientName="")
    assert (ru.SpecificCharacterSet, ru.PatientName) == ("ISO_IR 144", NAMES["ru"])
    (other,) = found(library, SpecificCharacterSet="ISO_IR 144", PatientID="vi", PatientName="")
    assert (other.SpecificCharacterSet, other.PatientName) == ("ISO_IR 192", NAMES["vi"])
    (plain,) = found(library, PatientID="la", PatientName="")
    assert "SpecificCharacterSet" not in plain


# --- who may come ----------------------------------------------------------------------------------------------------


def test_strangers_are_refused_and_audited(tmp_path: Path, workers: Workers) -> None:
    peers = (DicomPeer(CALLING, "127.0.0.1", None, ""), DicomPeer("FAR", "127.9.9.9", None, ""))
    with port_in(tmp_path, workers, *peers) as port:
        port.dcmtk("echoscu")
        assert "Calling AE Title" in port.dcmtk("echoscu", "-v", calling="NOBODY", ok=False)
        assert "Calling AE Title" in port.dcmtk("echoscu", "-v", calling="FAR", ok=False)
        assert "Called AE Title" in port.dcmtk("echoscu", "-v", called="OTHER", ok=False)
        refused = [line for line in port.audited() if line["outcome"] == Outcome.REFUSED]
        assert [line["detail"]["title"] for line in refused] == ["calling", "calling", "called"]


def test_one_association_too_many_is_told_to_come_again(tmp_path: Path, workers: Workers) -> None:
    contents = slices(1)
    with port_in(tmp_path, workers, associations=2) as port:
        with sender(port, contents), sender(port, contents):
            assert "Local Limit Exceeded" in port.dcmtk("echoscu", "-v", ok=False)
        until(lambda: not port.gate._admitted, "associations end")
        port.dcmtk("echoscu")


def test_a_device_of_a_point_sends_to_its_session_and_finds_only_its_own(
    tmp_path: Path, workers: Workers
) -> None:
    peers = (
        DicomPeer("USA", "127.0.0.1", None, "Cần Thơ"),
        DicomPeer("USB", "127.0.0.1", None, "Huế"),
        DicomPeer(CALLING, "127.0.0.1", None, ""),
    )
    with port_in(tmp_path, workers, *peers) as port:
        port.sessions.update({"Cần Thơ": [SessionId("s1")], "Huế": [SessionId("s2"), SessionId("s3")]})
        first, second = slices(1, PatientID="A"), slices(1, study=STUDY + ".7", PatientID="B")
        with sender(port, first, "USA") as opened:
            assert opened.send(first[0]) == 0
        with sender(port, second, "USB") as opened:
            assert opened.send(second[0]) == 0
        catalogue = port.archive.catalogue
        entries = {entry.facts.patient_id: entry.id for entry in catalogue.all()}
        assert catalogue.belonging(entries["A"]) == Belonging(SessionId("s1"), "Cần Thơ")
        assert catalogue.belonging(entries["B"]) == Belonging(None, "Huế")
        asked = ("-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID")
        for calling, seen in (("USA", {"A"}), ("USB", {"B"}), (CALLING, {"A", "B"})):
            said = port.dcmtk("findscu", *asked, calling=calling)
            assert {id for id in "AB" if f"LO [{id}" in said} == seen
        until(lambda: sum(line["event"] == "objectImported" for line in port.audited()) == 4, "audit")


def test_tls_with_certificates_on_both_sides(tmp_path: Path, workers: Workers) -> None:
    files = make_certificates(tmp_path)
    with port_in(tmp_path, workers, tls_cert=files.cert, tls_key=files.key, tls_ca=files.ca) as port:
        own = ("+tls", str(files.key), str(files.cert), "+cf", str(files.ca))
        port.dcmtk("echoscu", *own)
        path = tmp_path / "slice.dcm"
        path.write_bytes(slices(1)[0])
        port.dcmtk("storescu", *own, path)
        assert len(kept(port.archive)) == 1
        port.dcmtk("echoscu", ok=False)
        port.dcmtk("echoscu", "+tla", "+cf", str(files.ca), ok=False)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_refusals_have_the_right_status_and_leave_nothing(port: Port) -> None:
    content, other = slices(2)
    note = parse(content).note
    whole = dataset_of(content)
    with sender(port, [content]) as opened:
        assert opened.send(content, sop_instance="1.2.3") == 0xA900
        assert (
            opened.send(content, sop_class=note.sop_class, sop_instance=parse(other).note.sop_instance)
            == 0xA900
        )
        for damaged in (whole[:-1000], b"\0", b"no dataset at all" * 9, os.urandom(5000)):
            status = opened.send_bytes(damaged, note.sop_class, note.sop_instance, note.transfer_syntax)
            assert status == 0xC000
        assert port.archive.catalogue.all() == []
        assert opened.send(content) == 0
        assert opened.send(content) == 0, "the same again is no harm"
        changed = ct_slice(1, STUDY, STUDY + ".9", side=64, PatientComments="another one")
        assert opened.send(changed) == 0x0111
    assert [line["detail"]["trouble"] for line in port.audited() if line["outcome"] == Outcome.REFUSED] == [
        "sameUidOtherObject"
    ]
    assert list(kept(port.archive)) == [note.sop_instance]


def test_out_of_room_is_told_so_that_the_sender_tries_again(tmp_path: Path, workers: Workers) -> None:
    content = slices(1, side=256)[0]
    with archive_in(tmp_path / "data", workers) as archive:
        archive._budget.take(archive._budget._left_bytes - 1000)
        with port_on(archive, tmp_path / "audit") as port, sender(port, [content]) as opened:
            assert opened.send(content) == 0xA700
            archive._budget.give_back(1 << 20)
            assert opened.send(content) == 0
            assert kept(archive)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (VaultError(Trouble.DISK_FULL, "The disk is full."), 0xA700),
        (LimitExceeded("Too many."), 0xA700),
        (Conflict("Another one."), 0x0111),
        (DicomError("Damaged."), 0xC000),
        (DicomError("Too large.", "tooLarge"), 0xC000),
    ],
)
def test_errors_are_told_as_the_standard_has_them(error: VaultError, status: int) -> None:
    assert status_of(error) == status


def test_a_class_or_syntax_that_is_not_kept_is_no_context(port: Port) -> None:
    proposed = [
        context(CT, "1.2.3.4.5"),
        context("1.2.840.10008.1.3.10", str(ExplicitVRLittleEndian)),
        context("1.2.840.10008.1.20.2", str(ExplicitVRLittleEndian)),
        context("1.3.12.2.1107.5.9.1", str(ExplicitVRLittleEndian)),
        context(CT, str(JPEG2000Lossless)),
        context("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.2.1.99"),
    ]
    association = AE(ae_title=CALLING).associate("127.0.0.1", port.port, contexts=proposed, ae_title="BRIDGE")
    assert [str(each.abstract_syntax) for each in association.accepted_contexts] == [
        "1.3.12.2.1107.5.9.1",
        CT,
    ]
    association.release()


def test_noise_and_lies_on_the_line_harm_nobody_else(port: Port) -> None:
    content = slices(1)[0]
    with sender(port, [content]) as opened:
        for noise in (
            os.urandom(4096),
            b"GET / HTTP/1.1\r\n\r\n",
            struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(100),
            struct.pack(">BBL", 1, 0, 68) + bytes(68),
            struct.pack(">BBL", 4, 0, 20) + bytes(20),
        ):
            with socket.create_connection(("127.0.0.1", port.port), timeout=10) as line:
                line.sendall(noise)
                line.shutdown(socket.SHUT_WR)
                with_end = b""
                try:
                    while piece := line.recv(4096):
                        with_end += piece
                except ConnectionError:
                    pass
                assert len(with_end) < 100
        assert opened.send(content) == 0
    assert port.gate.starts == 1


# --- crashes ---------------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_outlives_the_process(port: Port) -> None:
    contents = slices(60, side=256)
    acknowledged: list[str] = []
    enough = threading.Event()

    def send() -> None:
        with sender(port, contents) as opened:
            for content in contents:
                if opened.send(content) != 0:
                    break
                acknowledged.append(parse(content).note.sop_instance)
                if len(acknowledged) == 15:
                    enough.set()

    thread = threading.Thread(target=send)
    thread.start()
    assert enough.wait(30)
    pid = port.gate.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    thread.join(40)
    assert len(acknowledged) < len(contents)
    until(lambda: port.gate.starts == 2 and port.gate.wait_ready(1), "it starts again")
    assert set(acknowledged) <= set(kept(port.archive))
    with sender(port, contents) as opened:
        assert [opened.send(content) for content in contents] == [0] * len(contents)
    assert {uid: dataset_of(file) for uid, file in kept(port.archive).items()} == {
        parse(content).note.sop_instance: dataset_of(content) for content in contents
    }


def test_many_associations_at_once_into_one_study(port: Port) -> None:
    contents = slices(48)
    statuses: list[int | None] = []

    def send(mine: list[bytes]) -> None:
        with sender(port, mine) as opened:
            statuses.extend(opened.send(content) for content in mine)

    threads = [threading.Thread(target=send, args=(contents[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert statuses == [0] * 48
    assert len(kept(port.archive)) == 48


def test_logs_and_audit_name_no_patient_and_no_object(port: Port, capfd: pytest.CaptureFixture[str]) -> None:
    content = slices(1, PatientName="Secret^Person", PatientID="SECRETID")[0]
    with sender(port, [content]) as opened:
        opened.send(content)
        opened.send(ct_slice(1, STUDY, STUDY + ".9", side=64, PatientComments="x"))
        opened.send(content, sop_instance="1.2.3")
    port.dcmtk("findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=SECRET*")
    port.dcmtk("echoscu", calling="NOBODY", ok=False)
    until(lambda: sum(line["event"] == "objectImported" for line in port.audited()) == 2, "audit")
    written = "".join(path.read_text() for path in port.audit.folder.glob("*.jsonl"))
    said = "".join(capfd.readouterr())
    for secret in ("Secret", "SECRETID", STUDY, parse(content).note.sop_instance, "127.0.0.1", "NOBODY"):
        assert secret not in written, secret
        assert secret not in said, secret


def test_what_is_not_compressed_is_written_anew_for_who_takes_only_another_syntax(port: Port) -> None:
    content = slices(1)[0]
    with sender(port, [content]) as opened:
        assert opened.send(content) == 0
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", STUDY
    (dataset,) = fetched(port, keys, [(CT, "1.2.840.10008.1.2")]).values()
    assert dataset != dataset_of(content)
    note = parse(content).note
    written = file_meta(note.sop_class, note.sop_instance, "1.2.840.10008.1.2") + dataset
    assert parse(written).note.pixel_sha256 == note.pixel_sha256
    with pytest.raises(AssertionError, match="0xa702"):
        fetched(port, keys, [(CT, str(JPEG2000Lossless))])
