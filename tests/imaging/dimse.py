"""Devices for the tests of DICOM over the network: a gate on an archive, Debian's dcmtk, and a sender that changes no
byte of what it sends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pynetdicom.association
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from bridge.audit import Audit, read_lines
from bridge.config import DicomPeer
from bridge.ids import SessionId
from bridge.imaging.archive import Archive
from bridge.imaging.elements import Walker
from bridge.imaging.gate import Gate, GateSettings
from bridge.imaging.parsing import parse
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in

WAIT_S = 30.0
DCMTK = "/usr/bin/"
"""pynetdicom brings programs of the same names into the environment."""
TITLE, CALLING = "BRIDGE", "SENDER"


def dataset_of(content: bytes) -> bytes:
    """A file without its preamble and meta."""
    _, start = Walker(content).file_meta(132)
    return content[start:]


def until(true: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


@dataclass
class Port:
    """A gate, open."""

    gate: Gate
    archive: Archive
    audit: Audit
    sessions: dict[str, list[SessionId]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return self.gate.port

    def dcmtk(
        self, tool: str, *words: str | Path, calling: str = CALLING, called: str = TITLE, ok: bool = True
    ) -> str:
        """What a tool of dcmtk says."""
        command = [
            DCMTK + tool,
            "-aet",
            calling,
            "-aec",
            called,
            *_options(words),
            "127.0.0.1",
            str(self.port),
        ]
        done = subprocess.run(
            [*command, *(str(word) for word in words if isinstance(word, Path))],
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert (done.returncode == 0) is ok, said
        return said

    def audited(self) -> list[dict[str, Any]]:
        return [line.content for line in read_lines(self.audit.folder, self.audit.key)]


def _options(words: Sequence[str | Path]) -> list[str]:
    return [word for word in words if isinstance(word, str)]


@contextmanager
def port_on(archive: Archive, folder: Path, *peers: DicomPeer, **settings: Any) -> Iterator[Port]:
    """A gate in front of this archive; for one device anywhere if no peers are told."""
    audit = Audit(folder)
    sessions: dict[str, list[SessionId]] = {}
    decided = GateSettings(
        **{
            "host": "127.0.0.1",
            "port": 0,
            "title": TITLE,
            "peers": peers or (DicomPeer(CALLING, "*", None, ""),),
            "associations": 16,
            **settings,
        }
    )
    gate = Gate(decided, archive, audit, lambda point: sessions.get(point, []))
    gate.start()
    try:
        assert gate.wait_ready(WAIT_S)
        yield Port(gate, archive, audit, sessions)
    finally:
        gate.close()
        audit.close()


@contextmanager
def port_in(folder: Path, workers: Workers, *peers: DicomPeer, **settings: Any) -> Iterator[Port]:
    with (
        archive_in(folder / "data", workers) as archive,
        port_on(archive, folder / "audit", *peers, **settings) as port,
    ):
        yield port


# --- a sender --------------------------------------------------------------------------------------------------------


def context(sop_class: str, *syntaxes: str) -> PresentationContext:
    made = PresentationContext()
    made.abstract_syntax = sop_class
    made.transfer_syntax = list(syntaxes)
    return made


class Sender:
    """One association, for files as they are."""

    def __init__(self, association: pynetdicom.association.Association) -> None:
        self.association = association
        self._number = 0
        self._contexts = {
            (str(each.abstract_syntax), str(each.transfer_syntax[0])): int(each.context_id or 0)
            for each in association.accepted_contexts
        }
        association._reactor_checkpoint.clear()
        self._socket = association.dul.socket.socket

    def send(self, content: bytes, *, sop_class: str = "", sop_instance: str = "") -> int | None:
        """The status; None if nothing was answered. Names other UIDs than the file's if told so."""
        note = parse(content).note
        return self.send_bytes(
            dataset_of(content),
            sop_class or note.sop_class,
            sop_instance or note.sop_instance,
            note.transfer_syntax,
        )

    def send_bytes(self, dataset: bytes, sop_class: str, sop_instance: str, syntax: str) -> int | None:
        request = C_STORE()
        self._number = self._number % 65_000 + 1
        request.MessageID = self._number
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, sop_instance
        request.Priority = 0
        request.DataSet = BytesIO(dataset)
        dimse = self.association.dimse
        dimse.send_msg(request, self._contexts[sop_class, syntax])
        _, response = dimse.get_msg(block=True)
        return response.Status if isinstance(response, C_STORE) else None

    def close(self) -> None:
        self.association._reactor_checkpoint.set()
        self.association.release()
        # pynetdicom leaves it open if the other side was gone first.
        self._socket.close()


@contextmanager
def sender(
    port: Port, contents: Sequence[bytes], calling: str = CALLING, maximum_pdu_bytes: int = 16_382
) -> Iterator[Sender]:
    """For objects such as these."""
    ae = AE(ae_title=calling)
    ae.dimse_timeout = WAIT_S
    notes = [parse(content).note for content in contents]
    pairs = dict.fromkeys((note.sop_class, note.transfer_syntax) for note in notes)
    association = ae.associate(
        "127.0.0.1",
        port.port,
        contexts=[context(*pair) for pair in pairs],
        ae_title=TITLE,
        max_pdu=maximum_pdu_bytes,
    )
    assert association.is_established
    opened = Sender(association)
    try:
        yield opened
    finally:
        opened.close()


def find_status(port: Port, keys: Any) -> int:
    """How a C-FIND of the study root ends."""
    model = "1.2.840.10008.5.1.4.1.2.2.1"
    association = AE(ae_title=CALLING).associate(
        "127.0.0.1", port.port, contexts=[context(model, "1.2.840.10008.1.2")], ae_title=TITLE
    )
    assert association.is_established
    statuses = [int(status.Status) for status, _ in association.send_c_find(keys, model)]
    association.release()
    return statuses[-1]


def fetched(
    port: Port, keys: Any, pairs: Sequence[tuple[str, str]], calling: str = CALLING
) -> dict[str, bytes]:
    """Datasets by SOPInstanceUID as a C-GET of the study root brings them."""
    got: dict[str, bytes] = {}

    def store(event: Any) -> int:
        got[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    ae = AE(ae_title=calling)
    roles = []
    for sop_class in dict.fromkeys(pair[0] for pair in pairs):
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = sop_class, False, True
        roles.append(role)
    model = "1.2.840.10008.5.1.4.1.2.2.3"
    association = ae.associate(
        "127.0.0.1",
        port.port,
        contexts=[context(model, "1.2.840.10008.1.2"), *(context(*pair) for pair in pairs)],
        ext_neg=roles,
        ae_title=TITLE,
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    assert association.is_established
    statuses = [int(status.Status) for status, _ in association.send_c_get(keys, model)]
    association.release()
    assert statuses[-1] == 0, [hex(status) for status in statuses]
    return got
