"""What clients ask for, without a server: bodies in parts, Accept headers, queries, and who gets which form."""

from __future__ import annotations

import time

import pytest

from bridge.errors import BridgeError, ProtocolError
from bridge.imaging.dicomweb.accepting import frame_choice, object_choice, ranges_of, rendered_choice
from bridge.imaging.dicomweb.matching import matches, query_of
from bridge.imaging.dicomweb.multipart import MultipartForm, MultipartParser, PartBegins, PartEnds
from bridge.imaging.dicomweb.shelf import Remembered

EXPLICIT, BIG, RLE, JLS, J2K, HTJ2K, JPEG, H264 = (
    f"1.2.840.10008.1.2.{end}" for end in ("1", "2", "5", "4.80", "4.90", "4.201", "4.50", "4.102")
)


def parsed(type: str, pieces: list[bytes]) -> list[tuple[dict[str, str], bytes]]:
    """Headers and content of each whole part."""
    parser = MultipartParser(type)
    parts: list[tuple[dict[str, str], bytes]] = []
    headers: dict[str, str] = {}
    content = b""
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, PartBegins):
                headers, content = event.headers, b""
            elif isinstance(event, PartEnds):
                parts.append((headers, content))
            else:
                content += bytes(event)
    parser.finish()
    return parts


BODY = b"hello\r\n--b\r\nContent-Type: application/dicom\r\n\r\n\r\n--x\r\n-\r\n--b \r\nA: 1\r\nB:2\r\n\r\n\r\n--b--bye"
TYPE = 'multipart/related; type="application/dicom"; boundary=b'
PARTS = [({"content-type": "application/dicom"}, b"\r\n--x\r\n-"), ({"a": "1", "b": "2"}, b"")]


def test_a_body_reads_the_same_wherever_it_is_cut_into_pieces() -> None:
    assert parsed(TYPE, [BODY]) == PARTS
    assert parsed(TYPE, [BODY[at : at + 1] for at in range(len(BODY))]) == PARTS
    for at in range(len(BODY)):
        assert parsed(TYPE, [BODY[:at], BODY[at:]]) == PARTS


def test_a_body_may_begin_with_its_boundary() -> None:
    assert parsed(TYPE, [b"--b\r\n\r\ncontent\r\n--b--"]) == [({}, b"content")]


def test_what_is_written_can_be_read() -> None:
    form = MultipartForm("image/jpeg")
    contents = [b"one", b"", b"\r\n--" * 3]
    body = b"".join(form.opening("image/jpeg", len(each)) + each for each in contents) + form.closing
    assert [content for _, content in parsed(form.content_type, [body])] == contents


@pytest.mark.parametrize("end", range(10, len(BODY) - 5))
def test_a_body_that_is_cut_is_not_whole(end: int) -> None:
    with pytest.raises(ProtocolError):
        parsed(TYPE, [BODY[:end]])


@pytest.mark.parametrize(
    "type",
    [
        "",
        "multipart/form-data; boundary=b",
        "multipart/related",
        'multipart/related; boundary=""',
        f"multipart/related; boundary={'b' * 201}",
        'multipart/related; boundary="ü"',
    ],
)
def test_a_type_that_is_no_multipart_is_refused(type: str) -> None:
    with pytest.raises(ProtocolError):
        MultipartParser(type)


def test_the_best_of_an_accept_header_comes_first() -> None:
    ranges = ranges_of(
        [
            'image/png;q=0.5, multipart/related; type="image/jls"; transfer-syntax=1.2, */*;q=0.1',
            "text/html;q=0",
        ]
    )
    assert [(each.type, each.multipart, each.transfer_syntax, each.q) for each in ranges] == [
        ("image/jls", True, "1.2", 1.0),
        ("image/png", False, None, 0.5),
        ("*/*", False, None, 0.1),
    ]
    assert [each.type for each in ranges_of([])] == ["*/*"]
    assert ranges_of(["nonsense;q=x", ";;,,"]) == []


@pytest.mark.parametrize(
    ("accept", "stored", "type", "syntax", "target"),
    [
        ("*/*", EXPLICIT, "application/octet-stream", EXPLICIT, ""),
        ("*/*", JLS, "image/jls", JLS, ""),
        ("application/octet-stream", EXPLICIT, "application/octet-stream", EXPLICIT, ""),
        ("application/octet-stream", BIG, "application/octet-stream", EXPLICIT, EXPLICIT),
        ("application/octet-stream; transfer-syntax=*", BIG, "application/octet-stream", BIG, ""),
        ("application/octet-stream", RLE, "application/octet-stream", EXPLICIT, EXPLICIT),
        ("application/octet-stream; transfer-syntax=*", J2K, "application/octet-stream", J2K, ""),
        ("image/*", J2K, "image/jp2", J2K, ""),
        ("image/jphc", EXPLICIT, "image/jphc", HTJ2K, HTJ2K),
        ("image/jls", J2K, "image/jls", JLS, JLS),
        (f"image/jpeg; transfer-syntax={JPEG}", EXPLICIT, "image/jpeg", JPEG, JPEG),
        ("image/jpeg, application/octet-stream;q=0.1", EXPLICIT, "application/octet-stream", EXPLICIT, ""),
        ("application/octet-stream", H264, "application/octet-stream", EXPLICIT, EXPLICIT),
    ],
)
def test_frames_come_in_the_form_that_is_asked_for(
    accept: str, stored: str, type: str, syntax: str, target: str
) -> None:
    chosen = frame_choice(ranges_of([accept]), stored, 1)
    assert (chosen.type, chosen.transfer_syntax, chosen.target) == (type, syntax, target)


@pytest.mark.parametrize(
    "accept", ["image/jpeg", "video/mp4", f"image/jls; transfer-syntax={J2K}", "text/html"]
)
def test_frames_never_lose_anything_unless_that_is_named(accept: str) -> None:
    with pytest.raises(BridgeError) as caught:
        frame_choice(ranges_of([accept]), EXPLICIT, 1)
    assert caught.value.code == "unsupported"


def test_several_frames_need_parts() -> None:
    assert frame_choice(ranges_of(["*/*"]), EXPLICIT, 2).multipart
    with pytest.raises(BridgeError):
        frame_choice(ranges_of(["application/octet-stream"]), EXPLICIT, 2)


def test_objects_come_as_stored_where_no_transfer_syntax_is_named() -> None:
    assert object_choice(ranges_of([])) == (["*"], True)
    assert object_choice(ranges_of(["application/dicom"])) == (["*"], False)
    assert object_choice(
        ranges_of([f'multipart/related; type="application/dicom"; transfer-syntax={JLS}'])
    ) == (
        [JLS],
        True,
    )
    with pytest.raises(BridgeError):
        object_choice(ranges_of(["application/dicom+json"]))
    assert rendered_choice(ranges_of(["image/*"]), ("image/jpeg", "image/png")) == "image/jpeg"


DATASET = {
    "00080020": {"vr": "DA", "Value": ["20240131"]},
    "00080030": {"vr": "TM", "Value": ["101530.5"]},
    "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Thị Lan", "Ideographic": "阮"}]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "00200010": {"vr": "SH"},
    "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["step1"]}}, {}]},
    "00180060": {"vr": "DS", "Value": [120]},
}


@pytest.mark.parametrize(
    ("name", "wanted", "fits"),
    [
        ("StudyDate", "20240131", True),
        ("StudyDate", "20240101-20240131", True),
        ("StudyDate", "20240201-", False),
        ("StudyDate", "-20240130", False),
        ("StudyTime", "1015", True),
        ("StudyTime", "1016-", False),
        ("StudyTime", "101530-101531", True),
        ("ModalitiesInStudy", "SR", True),
        ("ModalitiesInStudy", "MR\\CT", True),
        ("ModalitiesInStudy", "MR,CT", True),
        ("ModalitiesInStudy", "MR", False),
        ("PatientName", "nguyễn*", True),
        ("PatientName", "Nguyễn^Thị Lan", True),
        ("PatientName", "阮", True),
        ("PatientName", "Tr?n*", False),
        ("StudyInstanceUID", "9.9,1.2.3", True),
        ("StudyInstanceUID", "1.2.*", False),
        ("StudyID", "", True),
        ("StudyID", '""', True),
        ("StudyDate", '""', False),
        ("AccessionNumber", "A", False),
        ("RequestAttributesSequence.ScheduledProcedureStepID", "step?", True),
        ("00400275.00400009", "other", False),
        ("KVP", "120", True),
    ],
)
def test_a_dataset_matches_as_the_standard_has_it(name: str, wanted: str, fits: bool) -> None:
    assert matches(DATASET, query_of([(name, wanted)]).filters) is fits


@pytest.mark.parametrize(
    "pair",
    [
        ("Nothing", "1"),
        ("limit", "-1"),
        ("limit", "x"),
        ("offset", "9" * 20),
        ("a.b.c.d.e", "1"),
        ("PatientID", "x" * 5000),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ProtocolError):
        query_of([pair])


def test_no_pattern_takes_long() -> None:
    dataset = {"00081030": {"vr": "LO", "Value": ["a" * 400]}}
    begin_s = time.process_time()
    assert not matches(dataset, query_of([("StudyDescription", "*a" * 1500 + "b")]).filters)
    assert time.process_time() - begin_s < 5


def test_what_is_remembered_never_takes_more_than_it_may() -> None:
    kept: Remembered[int, str] = Remembered(100)
    for number in range(20):
        kept.put(number, str(number), 30)
    assert [number for number in range(20) if kept.get(number)] == [17, 18, 19]
    kept.put(1, "large", 101)
    assert kept.get(1) is None
    assert kept.get(19) == "19"
