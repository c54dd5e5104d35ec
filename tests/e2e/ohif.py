"""The built OHIF viewer on a port of its own, set to read from our DICOMweb, and an eye on all that it asks us for."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from playwright.async_api import Locator, Page

from tests.serving import ROOT

PAGES = ROOT / "build" / "ohif" / "node_modules" / "@ohif" / "app" / "dist"
SOFTWARE_GRAPHICS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
"""OHIF draws by WebGL, which a machine without a graphics card has in software."""


def configuration(dicomweb: str) -> str:
    """`app-config.js`: as a hospital would write it."""
    source = {
        "friendlyName": "Bridge",
        "name": "bridge",
        "qidoRoot": dicomweb,
        "wadoRoot": dicomweb,
        "wadoUriRoot": dicomweb,
        "imageRendering": "wadors",
        "thumbnailRendering": "thumbnail",
        "thumbnailRequestStrategy": "fetch",
        "enableStudyLazyLoad": True,
        "qidoSupportsIncludeField": True,
        "supportsFuzzyMatching": False,
        "supportsWildcard": True,
        "singlepart": "bulkdata,video",
        "bulkDataURI": {"enabled": True},
    }
    told = {
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "maxNumberOfWebWorkers": 2,
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": False,
        "strictZSpacingForVolumeViewport": True,
        "investigationalUseDialog": {"option": "never"},
        "maxNumRequests": {"interaction": 20, "thumbnail": 5, "prefetch": 10},
        "defaultDataSourceName": "bridge",
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": "bridge",
                "configuration": source,
            }
        ],
    }
    return f"window.config = {json.dumps(told)};"


class _Pages(http.server.ThreadingHTTPServer):
    daemon_threads = True
    config = b""

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that is closed leaves connections cut."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files as they are; the configuration is ours; every other path is the viewer's own page."""

    server: _Pages

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(PAGES))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/app-config.js":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(self.server.config)))
            self.end_headers()
            self.wfile.write(self.server.config)
            return
        if "." not in path.rpartition("/")[2]:
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@dataclass
class Viewer:
    """Where it is; who it reads from is known once it serves."""

    server: _Pages

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def reads_from(self, dicomweb: str) -> None:
        self.server.config = configuration(dicomweb).encode()

    def of(self, study: str, token: str) -> str:
        """The link that opens a study; the viewer takes the token out of the address itself."""
        return f"{self.address}/viewer?StudyInstanceUIDs={study}&token={token}"


@contextmanager
def served_viewer() -> Iterator[Viewer]:
    assert PAGES.is_dir(), "make build/ohif.stamp brings it"
    server = _Pages(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Viewer(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Answer:
    """What came of one request."""

    url: str
    status: int = 0
    said_bytes: int | None = None
    came_bytes: int = 0
    ended: str | None = None
    """How; empty if well."""

    @property
    def is_whole(self) -> bool:
        """The viewer's loader breaks a frame off once it has its last byte: only what had not come is missing."""
        return self.ended == "" or self.came_bytes == self.said_bytes


class Watcher:
    """All that a page asks for, and how it is answered, as the browser's network layer tells it."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.errors: list[str] = []

    async def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        session = await page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.responseReceived", self._answered)
        session.on("Network.dataReceived", self._came)
        session.on("Network.loadingFinished", lambda told: self._ended(told, ""))
        session.on("Network.loadingFailed", lambda told: self._ended(told, told["errorText"]))
        await session.send("Network.enable")

    def under(self, beginning: str) -> list[Answer]:
        return [each for each in self.answers.values() if each.url.startswith(beginning)]

    def _asked(self, told: dict[str, Any]) -> None:
        self.answers[told["requestId"]] = Answer(told["request"]["url"])

    def _answered(self, told: dict[str, Any]) -> None:
        answer = self.answers.setdefault(told["requestId"], Answer(told["response"]["url"]))
        answer.status = int(told["response"]["status"])
        headers = {name.lower(): value for name, value in told["response"]["headers"].items()}
        if "content-encoding" not in headers and "content-length" in headers:
            answer.said_bytes = int(headers["content-length"])

    def _came(self, told: dict[str, Any]) -> None:
        if told["requestId"] in self.answers:
            self.answers[told["requestId"]].came_bytes += int(told["dataLength"])

    def _ended(self, told: dict[str, Any], how: str) -> None:
        if told["requestId"] in self.answers:
            self.answers[told["requestId"]].ended = how


Grey = np.ndarray[Any, np.dtype[np.int16]]


async def drawn(part: Locator) -> Grey:
    """What is drawn there."""
    with Image.open(io.BytesIO(await part.screenshot())) as image:
        return np.asarray(image.convert("L"), dtype=np.int16)
