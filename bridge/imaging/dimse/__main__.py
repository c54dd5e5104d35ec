"""The process itself: takes its setup and the listening socket from the server, and ends when that is gone."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading

from pynetdicom import evt

from bridge.imaging.arriving import Budget
from bridge.imaging.dimse.process import application, client_tls, settle
from bridge.imaging.dimse.sending import Destination
from bridge.imaging.dimse.services import Services
from bridge.imaging.dimse.talk import Association, Line, LineClosed, Ready, Setup, expected
from bridge.imaging.dimse.upper import Listener

HELD_LIMIT_BYTES = 2 << 30
SPARE_CONNECTIONS = 16
"""Beyond the associations, so that there is somebody to tell the next one that it is one too many."""


def _server_tls(setup: Setup) -> ssl.SSLContext | None:
    """With `tls_ca`, only who has a certificate of that authority is let in (PS3.15 B.12, B.13)."""
    if not setup.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(setup.tls_cert, setup.tls_key)
    if setup.tls_ca:
        context.load_verify_locations(setup.tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Lines:
    """Hands the server a line for each association."""

    def __init__(self, server: Line) -> None:
        self._server = server
        self._lock = threading.Lock()

    def open(self) -> Line:
        ours, theirs = Line.pair()
        with theirs, self._lock:
            self._server.send(Association(), theirs.fileno())
        return Line(ours)


def main() -> None:
    """`python -m bridge.imaging.dimse DESCRIPTOR`."""
    settle()
    server = Line(socket.socket(fileno=int(sys.argv[1])))
    said, file = server.receive()
    setup = expected(said, Setup)
    if file is None:
        return
    ae, lines = application(setup), _Lines(server)
    destination = Destination(ae, client_tls(setup))
    listener = Listener(
        ae,
        socket.socket(fileno=file),
        context=_server_tls(setup),
        budget=Budget(HELD_LIMIT_BYTES),
        connections=setup.associations + SPARE_CONNECTIONS,
        make_service=lambda: Services(lines.open, destination, setup.title),
        handlers=[(evt.EVT_REQUESTED, lambda event: event.assoc.requested())],
    )
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    server.send(Ready())
    try:
        server.receive()
    except LineClosed:
        os._exit(0)  # Whatever threads still do, nobody is there to answer them.


if __name__ == "__main__":
    main()
