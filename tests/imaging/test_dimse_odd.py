"""What devices write and what machines do against the rules: nothing of it ends a query or closes the port."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom.config
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode

from bridge.imaging.dimse.answers import store_answer
from bridge.imaging.dimse.identifiers import Question, answer, written
from bridge.imaging.gate import Gate
from bridge.imaging.workers import Workers
from tests.imaging.corpus import ct_slice
from tests.imaging.dimse import TITLE, Port, port_in, sender

STUDY = "1.2.826.0.1.3680043.8.498.31"


@pytest.fixture
def port(tmp_path: Path, workers: Workers) -> Iterator[Port]:
    with port_in(tmp_path, workers) as opened:
        yield opened


def test_values_that_are_not_of_their_sort_do_not_end_a_query(port: Port) -> None:
    content = ct_slice(1, STUDY, STUDY + ".1", side=64)
    place = content.index(b"\x20\x00\x11\x00IS")
    length = content[place + 6]
    odd = content[: place + 8] + b"x." + content[place + 8 + length :]
    odd = odd[: place + 6] + b"\x02\x00" + odd[place + 8 :]
    with sender(port, [odd]) as opened:
        assert opened.send(odd) == 0
    keys = ["SeriesNumber", "Modality", "SeriesInstanceUID", "KVP", "SmallestImagePixelValue", "BitsStored"]
    words = [word for key in keys for word in ("-k", key)]
    said = port.dcmtk(
        "findscu", "-S", "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDY}", *words
    )
    assert "[CT]" in said
    assert "(0020,0011) IS (no value available)" in said
    assert "DimseStatus" not in said


@pytest.mark.parametrize("text", ["1.5", "9" * 20, "x", "-1", "70000", "1\\x", "é"])
def test_any_text_can_be_answered(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in ("reading_validation_mode", "writing_validation_mode"):  # As the process has it.
        monkeypatch.setattr(pydicom.config.settings, mode, pydicom.config.IGNORE)
    keys = Dataset()
    keys.QueryRetrieveLevel = "IMAGE"
    for keyword in ("InstanceNumber", "Rows", "KVP", "PatientName", "StudyDate", "SmallestImagePixelValue"):
        setattr(keys, keyword, None)
    syntax = UID("1.2.840.10008.1.2")
    question = Question(written(keys, syntax), syntax)
    made = decode(BytesIO(answer(dict.fromkeys(question.keys, text), question, TITLE, syntax)), True, True)
    assert made.QueryRetrieveLevel == "IMAGE"
    assert set(question.keys) <= {f"{int(tag):08X}" for tag in made.keys()}  # noqa: SIM118


def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn, tries = Gate._spawn, iter([True, False])

    def failing(gate: Gate, line: socket.socket) -> subprocess.Popen[bytes]:
        if next(tries, False):
            raise RuntimeError("can't start new thread")
        return spawn(gate, line)

    monkeypatch.setattr(Gate, "_spawn", failing)
    with port_in(tmp_path, workers) as port:
        port.dcmtk("echoscu")
        assert port.gate.starts == 1


@pytest.mark.parametrize(
    ("uids", "status", "comment"),
    [
        (("1.2.840.10008.5.1.4.1.1.2", "1.2.3"), 0x0000, ""),
        (("1.2", "1.22"), 0xA700, "Too many objects are in hand just now; try again."),
        (("1.2", "1.22"), 0xC000, "Odd"),
    ],
)
def test_our_own_answer_to_a_store_is_that_of_pynetdicom(
    uids: tuple[str, str], status: int, comment: str
) -> None:
    response = C_STORE()
    response.MessageIDBeingRespondedTo = 7
    response.AffectedSOPClassUID, response.AffectedSOPInstanceUID = uids
    response.Status = status
    if comment:
        response.ErrorComment = comment
    message = C_STORE_RSP()
    message.primitive_to_message(response)
    ((_, theirs),) = next(message.encode_msg(1, 16_384)).presentation_data_value_list
    assert b"\x03" + store_answer(7, *uids, status, comment) == theirs


def test_an_answer_is_cut_for_who_takes_only_little_at_once(port: Port) -> None:
    content = ct_slice(1, STUDY, STUDY + ".1", side=64)
    with sender(port, [content], maximum_pdu_bytes=64) as opened:
        assert opened.send(content) == 0
