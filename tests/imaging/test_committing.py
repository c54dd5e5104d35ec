"""Storage commitment with pynetdicom's own sides: on the same association, and asked of who is hostile or confused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from bridge.config import DicomPeer
from bridge.imaging.catalogue import Belonging
from bridge.imaging.dimse import commitment
from bridge.imaging.dimse.talk import Commit, Judgement
from bridge.imaging.errors import DicomError
from bridge.imaging.parsing import parse
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in, ct_slice
from tests.imaging.dimse import CALLING, TITLE, WAIT_S, Port, port_on

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.51", "1.2.826.0.1.3680043.8.498.52"
CT = "1.2.840.10008.5.1.4.1.1.2"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"


def objects(count: int) -> list[bytes]:
    return [ct_slice(number, STUDY, SERIES, side=32) for number in range(1, count + 1)]


@pytest.fixture
def port(tmp_path: Path, workers: Workers) -> Iterator[Port]:
    with (
        archive_in(tmp_path / "data", workers) as archive,
        port_on(
            archive,
            tmp_path / "audit",
            DicomPeer(CALLING, "*", None, ""),
            DicomPeer("CLINIC", "*", None, "Sơn La"),
        ) as opened,
    ):
        yield opened


def request(transaction: str, named: list[tuple[str, str]]) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = []
    for sop_class, sop_instance in named:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        dataset.ReferencedSOPSequence.append(item)
    return dataset


def asked(port: Port, dataset: Dataset, calling: str = CALLING) -> tuple[int, Dataset | None, int]:
    """The status of the request, and the report that came with its type."""
    heard = threading.Event()
    got: list[tuple[Dataset, int]] = []

    def report(event: Any) -> tuple[int, None]:
        got.append((event.event_information, event.event_type))
        heard.set()
        return 0x0000, None

    ae = AE(ae_title=calling)
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate(
        "127.0.0.1", port.port, ae_title=TITLE, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)]
    )
    assert association.is_established
    status, _ = association.send_n_action(dataset, 1, StorageCommitmentPushModel, WELL_KNOWN)
    if status.Status == 0:
        assert heard.wait(WAIT_S)
    association.release()
    return int(status.Status), got[0][0] if got else None, got[0][1] if got else 0


def test_who_cannot_be_called_is_told_on_its_own_association(port: Port) -> None:
    contents = objects(3)
    notes = [parse(content).note for content in contents]
    with port.archive.arrivals() as arrivals:
        for content in contents[:2]:
            arrivals.keep(content)
    kept = [(note.sop_class, note.sop_instance) for note in notes[:2]]
    status, told, type = asked(port, request("1.2.3.1", kept))
    assert (status, type) == (0, 1)
    assert told is not None
    assert told.TransactionUID == "1.2.3.1"
    assert {item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence} == {uid for _, uid in kept}
    assert "FailedSOPSequence" not in told
    lost = (notes[2].sop_class, notes[2].sop_instance)
    status, told, type = asked(port, request("1.2.3.2", [*kept, lost]))
    assert (status, type) == (0, 2)
    assert told is not None
    assert len(told.ReferencedSOPSequence) == 2
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in told.FailedSOPSequence] == [
        (lost[1], 0x0112)
    ]
    verified = [line for line in port.audited() if line["event"] == "objectVerified"]
    assert [line["outcome"] for line in verified] == [0, 8]


def test_a_device_of_a_point_hears_only_of_what_came_from_there(port: Port) -> None:
    content = objects(1)[0]
    note = parse(content).note
    with port.archive.arrivals() as arrivals:
        study = arrivals.keep(content).study
    wanted = request("1.2.3.4", [(note.sop_class, note.sop_instance)])
    assert asked(port, wanted, "CLINIC")[2] == 2
    port.archive.catalogue.assign(study, Belonging(None, "Sơn La"))
    assert asked(port, wanted, "CLINIC")[2] == 1


@pytest.mark.parametrize(
    "dataset",
    [request("1.2.3", []), request("", [(CT, "1.2.3")]), request("1.2.3", [(CT, "")])],
    ids=["no objects", "no transaction", "no object's UID"],
)
def test_what_asks_for_nothing_is_refused(port: Port, dataset: Dataset) -> None:
    assert asked(port, dataset)[0] == 0x0115


def test_a_report_that_nobody_asked_for_is_refused(port: Port) -> None:
    ae = AE(ae_title=CALLING)
    context = commitment.proposal()
    ae.requested_contexts = [context]
    association = ae.associate("127.0.0.1", port.port, ae_title=TITLE)
    assert association.is_established
    association._reactor_checkpoint.clear()
    number, accepted = next(iter(association._accepted_cx.items()))
    report = commitment.report(Judgement("1.2.3.99", [(CT, "1.2.3.4")]), 1, accepted.transfer_syntax[0])
    association.dimse.send_msg(report, number)
    _, answer = association.dimse.get_msg(block=True)
    assert answer is not None
    assert answer.Status not in (None, 0)  # type: ignore[union-attr]
    association._reactor_checkpoint.set()
    association.release()


def test_what_is_written_is_read_again_and_nonsense_is_an_error() -> None:
    syntax = pydicom.uid.ExplicitVRLittleEndian
    commit = Commit("1.2.3", [(CT, "1.2.3.4"), (CT, "1.2.3.5")])
    assert commitment.asked(commitment.request(commit, 1, syntax), syntax) == commit
    judgement = Judgement("1.2.3", [(CT, "1.2.3.4")], [(CT, "1.2.3.5", 0x0112)])
    assert commitment.told(commitment.report(judgement, 1, syntax), syntax) == judgement
    for raw in (b"", b"\x08\x00" * 40, bytes(range(256))):
        message = commitment.request(commit, 1, syntax)
        message.ActionInformation = BytesIO(raw)
        with pytest.raises(DicomError):
            commitment.asked(message, syntax)
