"""C-STORE to who answers late, twice or to something else: no object is taken for kept by another one's answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from bridge.imaging.dimse.sending import Target
from tests.imaging.corpus import ct_slice
from tests.imaging.dimse import dataset_of

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
STUDY = "1.2.826.0.1.3680043.8.498.33"
REFUSED = 0xA700
SHORT_S = 0.3


@contextmanager
def target(store: Callable[[Any], int]) -> Iterator[Target]:
    """At a peer that answers objects so."""
    peer = AE(ae_title="PEER")
    peer.add_supported_context(CT, EXPLICIT)
    server = peer.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    ours = AE(ae_title="BRIDGE")
    ours.dimse_timeout = SHORT_S
    ours.add_requested_context(CT, EXPLICIT)
    association = ours.associate("127.0.0.1", server.server_address[1], ae_title="PEER")
    assert association.is_established
    opened = Target(association, own=True)
    try:
        yield opened
    finally:
        opened.close()
        server.shutdown()


def send(opened: Target, number: int) -> int | None:
    request = C_STORE()
    request.MessageID, request.Priority = number, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT, f"{STUDY}.2.{number}"
    request.DataSet = BytesIO(dataset_of(ct_slice(number, STUDY, f"{STUDY}.2", side=16)))
    found = opened.context(CT, EXPLICIT)
    assert found is not None
    return opened.send(request, found[0])


def test_each_object_has_its_own_answer() -> None:
    with target(lambda event: REFUSED if event.request.MessageID == 2 else 0) as opened:
        assert [send(opened, number) for number in (1, 2, 3)] == [0, REFUSED, 0]


def test_nothing_more_is_sent_to_who_did_not_answer_in_time() -> None:
    may_answer, got = threading.Event(), []

    def store(event: Any) -> int:
        got.append(event.request.MessageID)
        may_answer.wait(20)
        return 0

    with target(store) as opened:
        assert send(opened, 1) is None
        assert not opened.is_open
        may_answer.set()
        assert send(opened, 2) is None
    assert got == [1]


@pytest.mark.parametrize("other", [7, 2, 0])
def test_an_answer_to_something_else_is_none(other: int) -> None:
    def store(event: Any) -> int:
        answer = C_STORE()
        answer.MessageIDBeingRespondedTo, answer.Status = other, 0
        answer.AffectedSOPClassUID = event.request.AffectedSOPClassUID
        answer.AffectedSOPInstanceUID = event.request.AffectedSOPInstanceUID
        event.assoc.dimse.send_msg(answer, event.context.context_id)
        return REFUSED

    with target(store) as opened:
        assert send(opened, 1) is None
        assert not opened.is_open
