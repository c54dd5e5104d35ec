"""Clients of DICOMweb for tests: `dicomweb-client` as others use it, and plain requests for what it does not do."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient

from tests.serving import Server

PARTS = 'multipart/related; type="application/dicom"'


def staff_token(server: Server) -> str:
    """A token of who runs this server."""
    return server.staff_token()


def body_of(objects: Iterable[bytes], type: str = "application/dicom") -> tuple[bytes, str]:
    """A multipart body and its Content-Type."""
    boundary = uuid.uuid4().hex
    parts = [f"--{boundary}\r\nContent-Type: {type}\r\n\r\n".encode() + each + b"\r\n" for each in objects]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f'{PARTS}; boundary="{boundary}"'


def parts_of(response: requests.Response) -> list[tuple[str, bytes]]:
    """Content-Type and content of each part."""
    found = re.search(r'boundary="?([^";]+)', response.headers["Content-Type"])
    assert found is not None
    parts = []
    for piece in response.content.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        type = re.search(rb"Content-Type: ([^\r]+)", head)
        assert type is not None
        parts.append((type[1].decode(), content.removesuffix(b"\r\n")))
    return parts


@dataclass
class Web:
    """One who asks a server with a token."""

    server: Server
    token: str

    @property
    def url(self) -> str:
        return f"{self.server.address}/dicom-web"

    def client(self) -> DICOMwebClient:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        return DICOMwebClient(self.url, session=session)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, **more)

    def get(self, path: str, accept: str = "*/*", **more: Any) -> requests.Response:
        headers = {"Accept": accept} | more.pop("headers", {})
        return self.ask("GET", path, headers=headers, **more)

    def send(self, *objects: bytes, path: str = "/studies", **more: Any) -> requests.Response:
        body, type = body_of(objects, **more)
        headers = {"Content-Type": type, "Accept": "application/dicom+json"}
        return self.ask("POST", path, data=body, headers=headers)
