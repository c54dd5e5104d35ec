"""Objects are read as pydicom reads them; and where pydicom and the standard differ, as the standard says."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from bridge.errors import BridgeError
from bridge.imaging import layout
from bridge.imaging.elements import DEPTH_LIMIT
from bridge.imaging.errors import DicomError
from bridge.imaging.parsing import Parsed, parse, parse_object, parsed_of
from bridge.imaging.part10 import file_meta
from tests.imaging.corpus import REFUSED, candidates, ct_slice, file_of, valid

CHARSETS = Path(pydicom.__file__).parent / "data" / "charset_files"


def told(parsed: Parsed) -> dict[str, Any]:
    return layout.json_of(layout.decode_metadata(parsed.metadata))


def secondary_capture(**values: object) -> FileDataset:
    """A small object with nothing but what every object needs."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


# --- against pydicom ---------------------------------------------------------------------------------------------


def differences(mine: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Between two datasets in JSON, without what the standard leaves open."""
    for tag in sorted(set(mine) | set(theirs)):
        if tag.endswith("0000"):
            continue  # Group lengths are left out on purpose.
        if tag not in mine or tag not in theirs:
            yield f"{path}{tag} is in one only"
        elif mine[tag]["vr"] != theirs[tag]["vr"]:
            yield f"{path}{tag} {mine[tag]['vr']} {theirs[tag]['vr']}"
        elif mine[tag]["vr"] == "SQ":
            yield from _between_items(mine[tag], theirs[tag], path + tag)
        elif not _is_equal(mine[tag], theirs[tag]):
            yield f"{path}{tag} {mine[tag]} {theirs[tag]}"


def _between_items(one: dict[str, Any], other: dict[str, Any], path: str) -> Iterator[str]:
    items, others = one.get("Value", []), other.get("Value", [])
    if len(items) != len(others):
        yield f"{path} has {len(items)} and {len(others)} items"
    for number, (item, another) in enumerate(zip(items, others, strict=False)):
        yield from differences(item, another, f"{path}/{number}/")


def _is_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if "BulkDataURI" in other:
        # pydicom counts the characters of base64 to decide, we the bytes.
        inline = one.get("InlineBinary", "")
        return "BulkDataURI" in one or 0 < len(inline) * 3 // 4 <= layout.BULK_BYTES + 2
    return bool(_plain(one) == _plain(other)) and "BulkDataURI" not in one


def _plain(value: dict[str, Any]) -> Any:
    """pydicom leaves empty values among others as empty text, and keeps padding inside a list."""
    if "Value" in value:
        return [
            (part.strip() or None) if isinstance(part, str) else (part or None) for part in value["Value"]
        ]
    return value.get("InlineBinary")


def _told_by_pydicom(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        if not dataset.original_encoding[1]:
            return None  # pydicom tells big-endian words as they lie in the file; the standard says little endian.
        try:
            return dataset.to_json_dict(
                bulk_data_threshold=layout.BULK_BYTES, bulk_data_element_handler=lambda _: "bulk"
            )
        except ValueError:
            return None


def test_every_valid_object_is_told_in_json_as_pydicom_tells_it() -> None:
    compared = 0
    for path in valid():
        mine = told(parse(path.read_bytes()))
        theirs = _told_by_pydicom(path)
        if theirs is None:
            continue
        for dataset in (mine, theirs):
            dataset.pop("7FE00010", None)
        theirs.pop("FFFCFFFC", None)
        assert list(differences(mine, theirs)) == [], path.name
        compared += 1
    assert compared > 180


def test_only_what_is_no_whole_object_is_refused() -> None:
    known = set(valid())
    refused = 0
    for path in candidates():
        if path in known:
            continue
        with pytest.raises(DicomError) as caught:
            parse(path.read_bytes())
        assert caught.value.text.endswith(".")
        refused += 1
    assert refused >= len(REFUSED)
    assert len(known) > 200


def test_the_note_tells_what_the_dataset_says() -> None:
    content = ct_slice(7, "1.2.3", "1.2.3.4", PatientName="Nguyễn^Văn", SpecificCharacterSet="ISO_IR 192")
    parsed = parsed_of(parse_object(memoryview(content), b""))
    note = parsed.note
    assert (note.study, note.series, note.number) == ("1.2.3", "1.2.3.4", 7)
    assert (note.rows, note.columns, note.frames, note.bits_allocated, note.bits_stored) == (
        512,
        512,
        1,
        16,
        16,
    )
    assert (note.modality, note.photometric, note.samples) == ("CT", "MONOCHROME2", 1)
    assert note.size_bytes == len(content)
    assert note.chunks == 3
    assert parsed.facts.patient_name == "Nguyễn^Văn"
    assert layout.decode_note(layout.encode_note(note)) == note


def test_the_longest_note_fits() -> None:
    uid = "1." + "9" * 62
    content = ct_slice(2**31 - 1, uid, uid, SOPInstanceUID=uid, Modality="ABCDEFGHIJKLMNOP")
    note = parse(content).note
    assert len(layout.encode_note(note)) + 60 < 1024


# --- the same object in other clothes ------------------------------------------------------------------------------


def test_the_same_content_in_another_encoding_has_the_same_digest() -> None:
    dataset = secondary_capture(PatientName="Hà^Thu", SpecificCharacterSet="ISO_IR 192")
    dataset.add_new(0x00081115, "SQ", [Dataset()])
    explicit = parse(file_of(dataset))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = BytesIO()
    dataset.save_as(buffer, implicit_vr=True, little_endian=True, enforce_file_format=True)
    implicit = parse(buffer.getvalue())
    assert implicit.note.transfer_syntax != explicit.note.transfer_syntax
    assert implicit.note.sha256 != explicit.note.sha256
    assert implicit.note.content_sha256 == explicit.note.content_sha256
    dataset.PatientName = "Hà^Thư"
    assert parse(file_of(dataset)).note.content_sha256 != explicit.note.content_sha256


def test_one_other_pixel_is_another_object() -> None:
    content = bytearray(ct_slice(1, "1.2", "1.2.3"))
    before = parse(bytes(content)).note
    content[-200_000] ^= 1
    after = parse(bytes(content)).note
    assert after.content_sha256 != before.content_sha256
    assert after.pixel_sha256 != before.pixel_sha256


def test_the_beginning_we_make_is_read_by_pydicom() -> None:
    content = ct_slice(1, "1.2", "1.2.3")
    dataset = pydicom.dcmread(BytesIO(content))
    start = 132 + 12 + int(dataset.file_meta.FileMetaInformationGroupLength)
    made = file_meta(dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID)
    again = pydicom.dcmread(BytesIO(made + content[start:]))
    assert again.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert again.file_meta.FileMetaInformationGroupLength == len(made) - 132 - 12
    assert again.PixelData == dataset.PixelData
    assert parse(made + content[start:]).note.content_sha256 == parse(content).note.content_sha256


# --- alphabets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chrArab", "قباني^لنزار"),
        ("chrFren", "Buc^Jérôme"),
        ("chrFrenMulti", "Buc^Jérôme"),
        ("chrGerm", "Äneas^Rüdiger"),
        ("chrGreek", "Διονυσιος"),
        ("chrH31", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrHbrw", "שרון^דבורה"),
        ("chrI2", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrJapMulti", "やまだ^たろう"),
        ("chrJapMultiExplicitIR6", "やまだ^たろう"),
        ("chrKoreanMulti", "김희중"),
        ("chrRuss", "Люкceмбypг"),
        ("chrX1", "Wang^XiaoDong=王^小東"),
        ("chrX2", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_of_the_reference_files_come_out_right(name: str, expected: str) -> None:
    assert parse((CHARSETS / f"{name}.dcm").read_bytes()).facts.patient_name == expected


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        # 秀 is 3D 28 in JIS: its first byte looks like the separator of name groups.
        (["", "ISO 2022 IR 87"], b"Hideki=\x1b$B=(<y\x1b(B", "Hideki=秀樹"),
        # 表 ends with 5C in Shift JIS, ISO IR 13's nearest relative in use.
        ("ISO_IR 13", "ﾀﾅｶ^ﾀﾛｳ".encode("shift_jis"), "ﾀﾅｶ^ﾀﾛｳ"),
        # 乗 is 81 5C in GBK: its second byte looks like the separator of values.
        ("GB18030", "俓^乗".encode("gb18030"), "俓^乗"),
        ("GBK", "王^小东".encode("gbk"), "王^小东"),
        ("ISO_IR 192", "Nguyễn^Thị Hoà".encode(), "Nguyễn^Thị Hoà"),
        ("ISO_IR 144", "Иванов^Пётр".encode("iso8859_5"), "Иванов^Пётр"),
        ("ISO_IR 166", "สมชาย".encode("tis-620"), "สมชาย"),
        ("ISO_IR 148", "Çağrı^Şule".encode("iso8859_9"), "Çağrı^Şule"),
        # Nothing is said, and it is UTF-8 all the same.
        ("", "Trần^Bình".encode(), "Trần^Bình"),
        ("", b"M\xfcller^J\xf6rg", "Müller^Jörg"),
        ("ISO_IR 999", b"Plain^Name", "Plain^Name"),
    ],
)
def test_names_come_out_right_in_every_form_of_the_character_set(
    charset: str | list[str], raw: bytes, expected: str
) -> None:
    dataset = secondary_capture()
    if charset:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.SpecificCharacterSet = charset
    dataset.add_new(0x00100020, "LO", "")
    content = bytearray(file_of(dataset))
    mark = b"\x10\x00\x20\x00LO\x00\x00"
    padded = raw + b" " * (len(raw) % 2)
    name = b"\x10\x00\x10\x00PN" + len(padded).to_bytes(2, "little") + padded
    at = content.index(mark)
    content[at:at] = name
    assert parse(bytes(content)).facts.patient_name == expected


def test_a_sequence_item_may_have_an_alphabet_of_its_own() -> None:
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 144"
    item.PatientName = "Иванов"
    inherits = Dataset()
    inherits.PatientName = "Hà"
    dataset = secondary_capture(SpecificCharacterSet="ISO_IR 192")
    dataset.add_new(0x00081115, "SQ", [item, inherits])
    values = told(parse(file_of(dataset)))["00081115"]["Value"]
    assert values[0]["00100010"]["Value"] == [{"Alphabetic": "Иванов"}]
    assert values[1]["00100010"]["Value"] == [{"Alphabetic": "Hà"}]


# --- values ------------------------------------------------------------------------------------------------------


def test_numbers_that_json_cannot_hold_are_told_as_text() -> None:
    dataset = secondary_capture()
    dataset.add_new(0x00189074, "FD", float("nan"))
    dataset.add_new(0x00189087, "FD", [float("inf"), 1.5])
    dataset.add_new(0x00720082, "SV", [2**60, -5])
    values = told(parse(file_of(dataset)))
    assert values["00189074"]["Value"] == ["NaN"]
    assert values["00189087"]["Value"] == ["Infinity", 1.5]
    assert values["00720082"]["Value"] == [str(2**60), -5]


def test_a_big_endian_object_is_told_in_little_endian() -> None:
    big = parse(Path(get_testdata_file("MR_small_bigendian.dcm")).read_bytes())
    small = parse(Path(get_testdata_file("MR_small.dcm")).read_bytes())
    assert told(big)["00280010"] == told(small)["00280010"]
    assert layout.decode_metadata(big.metadata).bulk["7FE00010"][2] == 2
    palette = told(parse(Path(get_testdata_file("OBXXXX1A_expb.dcm")).read_bytes()))
    same = told(parse(Path(get_testdata_file("OBXXXX1A.dcm")).read_bytes()))
    assert palette["00281201"] == same["00281201"]


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"Rows": 0}, "damaged", "rows and columns"),
        ({"Rows": 60_000, "Columns": 60_000}, "damaged", "fewer pixels"),
        ({"NumberOfFrames": 100_000}, "damaged", "fewer pixels"),
        ({"BitsAllocated": 7}, "damaged", "number of bits"),
        ({"SeriesInstanceUID": ""}, "damaged", "no SeriesInstanceUID"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], code: str, says: str) -> None:
    dataset = pydicom.dcmread(BytesIO(ct_slice(1, "1.2", "1.2.3", side=64)))
    for name, value in change.items():
        setattr(dataset, name, value)
    with pytest.raises(DicomError, match=says) as caught:
        parse(file_of(dataset))
    assert caught.value.code == code


def test_an_element_that_is_there_twice_is_refused() -> None:
    content = bytearray(file_of(secondary_capture(PatientID="one")))
    element = b"\x10\x00\x20\x00LO\x04\x00one "
    at = content.index(element)
    content[at:at] = element
    with pytest.raises(DicomError, match="twice"):
        parse(bytes(content))


@pytest.mark.parametrize("open_length", [True, False])
def test_sequences_that_are_nested_too_deeply_are_refused(open_length: bool) -> None:
    inner = b""
    for _ in range(DEPTH_LIMIT + 1 if not open_length else 100_000):
        if open_length:
            inner += b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        else:
            item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
            inner = b"\x08\x00\x15\x11SQ\0\0" + len(item).to_bytes(4, "little") + item
    with pytest.raises(DicomError, match="too deeply") as caught:
        parse(file_meta("1.2", "1.2.3", ExplicitVRLittleEndian) + inner)
    assert caught.value.code == "tooLarge"


def test_a_transfer_syntax_that_nobody_knows_is_refused() -> None:
    with pytest.raises(DicomError, match="transfer syntax") as caught:
        parse(file_meta("1.2", "1.2.3", "1.2.3.4.5") + b"")
    assert caught.value.code == "wrongType"


def test_every_refusal_has_a_code_of_the_protocol() -> None:
    for content in (b"", b"x" * 131, bytes(128) + b"DICM", bytes(10_000)):
        with pytest.raises(BridgeError):
            parse(content)


def test_padding_at_the_end_does_not_make_another_object() -> None:
    content = ct_slice(1, "1.2", "1.2.3", side=16)
    dataset = pydicom.dcmread(BytesIO(content))
    del dataset[0xFFFCFFFC]
    one, other = parse(content).note, parse(file_of(dataset)).note
    assert one.content_sha256 == other.content_sha256
    assert one.sha256 != other.sha256


def test_metadata_that_unpack_beyond_their_limit_are_not_unpacked() -> None:
    bomb = zlib.compress(bytes(layout.METADATA_LIMIT_BYTES + 1), 9)
    with pytest.raises(DicomError, match="cannot be read"):
        layout.decode_metadata(bomb)
    with pytest.raises(DicomError, match="cannot be read"):
        layout.decode_metadata(layout.encode_metadata(layout.Metadata(b"{}", layout.FrameTable(), {}))[:-3])
    with pytest.raises(DicomError) as caught:
        layout.encode_metadata(layout.Metadata(bytes(layout.METADATA_LIMIT_BYTES), layout.FrameTable(), {}))
    assert caught.value.code == "tooLarge"
