"""The three ways by which an object comes to a whole server: over the network, over the web, in pieces."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from io import BytesIO
from typing import Any, Protocol

import pydicom
import requests
from pynetdicom import AE

from bridge.imaging.elements import Walker
from tests.imaging.dimse import CALLING, TITLE, WAIT_S, context
from tests.imaging.dimse import Sender as Association
from tests.imaging.webclients import Web
from tests.serving import Server

PIECE_BYTES = 1 << 20
PATIENCE_S = 120.0


class Way(Protocol):
    def __init__(self, server: Server, token: str) -> None: ...

    def send(self, content: bytes) -> str:
        """`kept`, or why it was not: the code or status that the way has for it."""
        ...


class OverTheNetwork:
    """C-STORE, by an association of its own for each object; the device must be known to the server as `CALLING`."""

    def __init__(self, server: Server, token: str) -> None:
        self._port = int(server.settings["dicom_port"])

    def send(self, content: bytes) -> str:
        _, start = Walker(content).file_meta(132)
        meta = pydicom.dcmread(BytesIO(content[:start])).file_meta
        sop_class, instance = str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)
        syntax = str(meta.TransferSyntaxUID)
        ae = AE(ae_title=CALLING)
        ae.dimse_timeout = PATIENCE_S
        association = ae.associate(
            "127.0.0.1", self._port, contexts=[context(sop_class, syntax)], ae_title=TITLE
        )
        assert association.is_established
        opened = Association(association)
        try:
            status = opened.send_bytes(content[start:], sop_class, instance, syntax)
        finally:
            opened.close()
        return "kept" if status == 0 else "no answer" if status is None else f"{status:04X}"


class OverTheWeb:
    """STOW-RS."""

    def __init__(self, server: Server, token: str) -> None:
        self._web = Web(server, token)

    def send(self, content: bytes) -> str:
        answer = self._web.send(content)
        if answer.status_code == 200:
            return "kept"
        if answer.status_code != 409:
            return f"HTTP {answer.status_code}"
        told = answer.json()
        # Failed SOP Sequence; or Other Failures Sequence, where it has no UID that could be told.
        (item,) = told.get("00081198", told.get("0008119A"))["Value"]
        return f"{item['00081197']['Value'][0]:04X}"


class InPieces:
    """As the page sends large objects."""

    def __init__(self, server: Server, token: str) -> None:
        self._url = f"{server.address}/api/studies/uploads"
        self._headers = {"Authorization": f"Bearer {token}"}

    def send(self, content: bytes) -> str:
        upload = self._begin(content)
        told: dict[str, Any] = {}
        for at in range(0, len(content), PIECE_BYTES):
            answer = self._piece(upload, at, content[at : at + PIECE_BYTES])
            if answer.status_code != 200:
                return f"HTTP {answer.status_code}"
            told = answer.json()
        return "kept" if told["outcome"]["kept"] else str(told["outcome"]["code"])

    def begin_only(self, content: bytes) -> None:
        """Half of it, and no more."""
        upload = self._begin(content)
        assert self._piece(upload, 0, content[: len(content) // 2]).status_code == 200

    def _begin(self, content: bytes) -> str:
        body = json.dumps({"key": uuid.uuid4().hex, "sizeBytes": len(content)})
        headers = {"Content-Type": "application/json", **self._headers}
        answer = requests.post(self._url, data=body, headers=headers, timeout=WAIT_S)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["upload"])

    def _piece(self, upload: str, at: int, content: bytes) -> requests.Response:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(at),
            "Upload-Checksum": f"sha256 {digest}",
            **self._headers,
        }
        return requests.patch(f"{self._url}/{upload}", data=content, headers=headers, timeout=PATIENCE_S)


WAYS: tuple[type[Way], ...] = (OverTheNetwork, OverTheWeb, InPieces)
