"""DICOM video, held against pydicom, dcmtk and dicom3tools, with the video inside decoded by FFmpeg."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import av
import pydicom
import pytest
from pydicom.encaps import generate_fragments
from pydicom.uid import UID

from bridge.errors import LimitExceeded, NotFound
from bridge.recordings import layout
from bridge.recordings.export import Format, Patient, Report, dicom, export
from bridge.recordings.index import RecordingReader
from bridge.vault import Vault
from tests.media.recording.sending import START_US, sound, video
from tests.recordings.making import CLINIC, CLINIC_NAME, HUB, HUB_NAME, STARTED_AT_MS, Track, make_recording

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"
PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4.1"
MICROSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.2.1"
HIGH_41, HIGH_42 = "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.104"
TOLERATED = {
    # The validator is older than this term (PS3.3 C.7.6.3.1.2 and PS3.5 8.2.7 want it).
    "Warning - Unrecognized defined term <YBR_PARTIAL_420> for value 1 of attribute <Photometric Interpretation>",
    # Whose picture it is, and which side, a recording does not know; PS3.3 C.7.3.1 lets it be empty then.
    "Warning - Missing attribute or value that would be needed to build DICOMDIR - Patient ID",
    "Warning - is only permitted to be empty when actually unknown; should be absent (not empty) if an unpaired "
    "body part, and have a value if a paired body part - attribute <Laterality>",
}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def reading(vault: Vault, *tracks: Track) -> RecordingReader:
    made = make_recording(vault, tracks=tracks or None)
    return RecordingReader(vault.open(layout.ref_of(made.recording)))


def instance(reader: RecordingReader, **wish: Any) -> tuple[bytes, Any, Report]:
    sink = io.BytesIO()
    report = export(reader, Format.DICOM, sink, **wish)
    return sink.getvalue(), pydicom.dcmread(io.BytesIO(sink.getvalue())), report


def stream_of(dataset: Any) -> bytes:
    offsets, fragment = generate_fragments(dataset.PixelData)
    assert offsets == b""
    return bytes(fragment)


def decoded(dataset: Any) -> list[Any]:
    with av.open(io.BytesIO(stream_of(dataset))) as film:
        assert not film.streams.audio
        return list(film.decode(video=0))


def assert_valid(content: bytes, folder: Path) -> None:
    """No error of dciodvfy, no warning that is not known, and dcmdump reads it whole."""
    path = folder / "video.dcm"
    path.write_bytes(content)
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = [line for line in told.stderr.splitlines() if line.startswith(("Error", "Warning", "Abort"))]
    assert set(lines) <= TOLERATED
    assert told.returncode == 0
    dumped = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, text=True, check=True)
    assert dumped.stderr == ""


def test_the_ultrasound_is_wrapped_as_it_was_sent(vault: Vault, tmp_path: Path) -> None:
    reader = reading(vault)
    content, dataset, report = instance(reader)
    assert_valid(content, tmp_path)
    assert dataset.file_meta.TransferSyntaxUID == HIGH_41
    assert (dataset.SOPClassUID, dataset.Modality) == (ULTRASOUND, "US")
    assert (dataset.Rows, dataset.Columns, dataset.NumberOfFrames) == (240, 320, 210)
    assert dataset.PhotometricInterpretation == "YBR_PARTIAL_420"
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY"]
    assert dataset.FrameIncrementPointer == 0x00181063
    assert float(dataset.FrameTime) * 210 == pytest.approx(8_000, abs=10)
    assert (report.frames, report.remarks) == (210, [])
    assert len(decoded(dataset)) == 210
    # Nothing was encoded anew: the same packets as in Matroska.
    film = io.BytesIO()
    export(reader, Format.MKV, film)
    film.seek(0)
    with av.open(film) as recorded, av.open(io.BytesIO(stream_of(dataset))) as wrapped:
        sent = [bytes(packet) for packet in recorded.demux(video=0) if packet.size]
        kept = [bytes(packet) for packet in wrapped.demux(video=0) if packet.size]
    assert kept == sent


def test_a_sink_that_cannot_go_back_gets_the_same_instance(vault: Vault) -> None:
    class Onwards:
        content = b""

        def write(self, content: bytes) -> None:
            self.content += content

    reader = reading(vault)
    whole, _, _ = instance(reader)
    sink = Onwards()
    export(reader, Format.DICOM, sink)
    one, other = pydicom.dcmread(io.BytesIO(whole)), pydicom.dcmread(io.BytesIO(sink.content))
    assert one.SOPInstanceUID != other.SOPInstanceUID
    for dataset in (one, other):
        del dataset.SOPInstanceUID
    assert one == other


def test_vp8_is_encoded_anew_with_a_picture_for_each(vault: Vault, tmp_path: Path) -> None:
    reader = reading(vault, Track(HUB, "camera", "video", video("vp8", 90)))
    content, dataset, report = instance(reader)
    assert_valid(content, tmp_path)
    assert (dataset.SOPClassUID, dataset.Modality) == (PHOTOGRAPHIC, "XC")
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY"]
    assert dataset.NumberOfFrames == len(decoded(dataset)) == 90
    assert report.remarks == [
        f"{HUB_NAME}: camera was not sent as DICOM can hold it; it is encoded anew as H.264 of 320x240."
    ]
    with av.open(io.BytesIO(stream_of(dataset))) as film:
        record = film.streams.video[0].codec_context.extradata
    # High profile, level 4.1.
    assert (record[1], record[3]) == (100, 41)


def test_a_track_that_changes_its_size_or_codec_gets_one_size(vault: Vault, tmp_path: Path) -> None:
    tracks = [
        Track(CLINIC, "ultrasound", "video", video("h264", 60)),
        Track(CLINIC, "ultrasound", "video", video("vp8", 60, width=640, from_us=START_US + 3_000_000)),
    ]
    content, dataset, report = instance(reading(vault, *tracks))
    assert_valid(content, tmp_path)
    assert {(frame.width, frame.height) for frame in decoded(dataset)} == {(640, 240)}
    assert dataset.NumberOfFrames == len(decoded(dataset)) == 120
    assert "640x240" in report.remarks[0]


def test_a_microscope_is_microscopy_and_sound_is_left_out(vault: Vault, tmp_path: Path) -> None:
    tracks = [
        Track(HUB, "microphone", "audio", sound(100)),
        Track(HUB, "microscope", "video", video("h264", 60)),
    ]
    content, dataset, _ = instance(reading(vault, *tracks))
    assert_valid(content, tmp_path)
    assert (dataset.SOPClassUID, dataset.Modality) == (MICROSCOPIC, "GM")
    assert dataset.NumberOfFrames == 60


def test_another_track_can_be_chosen_but_not_sound(vault: Vault) -> None:
    made = make_recording(vault)
    reader = RecordingReader(vault.open(layout.ref_of(made.recording)))
    _, dataset, _ = instance(reader, track=made.streams[1])
    assert dataset.SeriesDescription == f"{HUB_NAME}: camera"
    with pytest.raises(NotFound):
        instance(reader, track=made.streams[0])


def test_the_patient_is_who_was_named_and_a_name_may_be_in_any_script(vault: Vault, tmp_path: Path) -> None:
    patient = Patient("Nguyễn^Văn A", "BN 0042", "19841231", "F", "ACC1", "1.2.3.4")
    content, dataset, _ = instance(reading(vault), patient=patient)
    assert_valid(content, tmp_path)
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert str(dataset.PatientName) == "Nguyễn^Văn A"
    assert (dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex) == ("BN 0042", "19841231", "F")
    assert (dataset.AccessionNumber, dataset.StudyInstanceUID) == ("ACC1", "1.2.3.4")


def test_a_backslash_in_a_name_does_not_part_a_value(vault: Vault, tmp_path: Path) -> None:
    renamed = layout.ParticipantRenamed(at_ms=100, participant=CLINIC, name="Lan \\ Mai")
    made = make_recording(vault, more=[renamed])
    content, dataset, _ = instance(RecordingReader(vault.open(layout.ref_of(made.recording))))
    assert_valid(content, tmp_path)
    assert dataset.SeriesDescription == "Lan / Mai: ultrasound"


def test_instances_of_one_session_are_one_study_with_valid_uids_and_the_right_time(vault: Vault) -> None:
    reader = reading(vault)
    _, first, _ = instance(reader)
    _, second, _ = instance(reader, begin_ms=5_500)
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    for each in (first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID):
        assert UID(each).is_valid
        assert each.startswith("2.25.")
    assert STARTED_AT_MS == 1_760_000_000_000
    assert first.AcquisitionDateTime == "20251009085320.000000+0000"
    assert second.AcquisitionDateTime.startswith("20251009085324.9999")
    assert first.SeriesDescription == f"{CLINIC_NAME}: ultrasound"


def test_full_hd_at_sixty_frames_takes_the_higher_level() -> None:
    assert dicom._fitting(1920, 1080, 30)[0].transfer_syntax == HIGH_41
    assert dicom._fitting(1920, 1080, 60)[0].transfer_syntax == HIGH_42
    level, width, height = dicom._fitting(3840, 2160, 30)
    assert width % 2 == height % 2 == 0
    assert -(-width // 16) * -(-height // 16) <= level.picture


def test_what_is_too_large_for_memory_is_refused_with_a_way_out(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nowhere:
        def write(self, content: bytes) -> None:
            return

    monkeypatch.setattr(dicom, "MEMORY_LIMIT_BYTES", 100_000)
    with pytest.raises(LimitExceeded, match="bridge recording export"):
        export(reading(vault), Format.DICOM, Nowhere())
