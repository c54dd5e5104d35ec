"""Storage commitment (PS3.4 J): what is asked and told of objects that are kept for good, as datasets. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext

from bridge.imaging.dimse.contexts import STORAGE_COMMITMENT
from bridge.imaging.dimse.talk import Commit, Judgement
from bridge.imaging.errors import DicomError
from bridge.imaging.statuses import PROCESSING_FAILED
from bridge.imaging.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1
ALL_KEPT, SOME_LOST = 1, 2
"""Event types."""
_UID_LIMIT = 64


def proposal() -> PresentationContext:
    """For an association on which it is asked for, or told of."""
    context = PresentationContext()
    context.abstract_syntax = UID(STORAGE_COMMITMENT)
    context.transfer_syntax = [UID(EXPLICIT_LITTLE), UID(IMPLICIT_LITTLE)]
    return context


def request(commit: Commit, message_id: int, syntax: Any) -> N_ACTION:
    """Raises ValueError."""
    dataset = Dataset()
    dataset.TransactionUID = commit.transaction
    dataset.ReferencedSOPSequence = _items(commit.objects)
    made = N_ACTION()
    made.MessageID = message_id
    made.RequestedSOPClassUID, made.RequestedSOPInstanceUID = STORAGE_COMMITMENT, WELL_KNOWN
    made.ActionTypeID = REQUEST_ACTION
    made.ActionInformation = _encoded(dataset, syntax)
    return made


def asked(message: N_ACTION, syntax: Any) -> Commit:
    """Raises DicomError."""
    dataset = _decoded(message.ActionInformation, syntax)
    try:
        objects = [_named(item) for item in dataset.ReferencedSOPSequence]
        transaction = _uid(dataset.TransactionUID)
    except Exception:
        raise DicomError("The request does not say what is to be kept.") from None
    if message.ActionTypeID != REQUEST_ACTION or not objects:
        raise DicomError("The request does not say what is to be kept.")
    return Commit(transaction, objects)


def report(judgement: Judgement, message_id: int, syntax: Any) -> N_EVENT_REPORT:
    """Raises ValueError."""
    dataset = Dataset()
    dataset.TransactionUID = judgement.transaction
    if judgement.committed:
        dataset.ReferencedSOPSequence = _items(judgement.committed)
    if judgement.failed:
        dataset.FailedSOPSequence = _items((one[0], one[1]) for one in judgement.failed)
        for item, one in zip(dataset.FailedSOPSequence, judgement.failed, strict=True):
            item.FailureReason = one[2]
    made = N_EVENT_REPORT()
    made.MessageID = message_id
    made.AffectedSOPClassUID, made.AffectedSOPInstanceUID = STORAGE_COMMITMENT, WELL_KNOWN
    made.EventTypeID = SOME_LOST if judgement.failed else ALL_KEPT
    made.EventInformation = _encoded(dataset, syntax)
    return made


def told(message: N_EVENT_REPORT, syntax: Any) -> Judgement:
    """Raises DicomError."""
    dataset = _decoded(message.EventInformation, syntax)
    try:
        committed = [_named(item) for item in dataset.get("ReferencedSOPSequence", ())]
        failed = [
            (*_named(item), int(item.get("FailureReason") or PROCESSING_FAILED))
            for item in dataset.get("FailedSOPSequence", ())
        ]
        return Judgement(_uid(dataset.TransactionUID), committed, failed)
    except Exception:
        raise DicomError("The report cannot be read.") from None


def _items(objects: Iterable[tuple[str, str]]) -> list[Dataset]:
    items = []
    for sop_class, sop_instance in objects:
        item = Dataset()
        item.ReferencedSOPClassUID = UID(sop_class, validation_mode=IGNORE)
        item.ReferencedSOPInstanceUID = UID(sop_instance, validation_mode=IGNORE)
        items.append(item)
    return items


def _named(item: Dataset) -> tuple[str, str]:
    return _uid(item.ReferencedSOPClassUID), _uid(item.ReferencedSOPInstanceUID)


def _uid(value: Any) -> str:
    uid = str(value).strip(" \0")
    if not 0 < len(uid) <= _UID_LIMIT:
        raise ValueError("no UID")
    return uid


def _encoded(dataset: Dataset, syntax: Any) -> BytesIO:
    content = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian)
    if content is None:
        raise ValueError("cannot be encoded")
    return BytesIO(content)


def _decoded(content: Any, syntax: Any) -> Dataset:
    try:
        return decode(BytesIO(content.getvalue()), syntax.is_implicit_VR, syntax.is_little_endian)
    except Exception:
        raise DicomError("The request cannot be read.") from None
