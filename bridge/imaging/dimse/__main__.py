"""The process itself: takes its setup and the listening socket from the server, and ends when that is gone."""

from __future__ import annotations

import logging
import os
import resource
import socket
import ssl
import sys
import threading
import warnings

import pydicom.config
from pynetdicom import AE, _config, evt

from bridge.imaging.arriving import Budget
from bridge.imaging.dimse.sending import Destination
from bridge.imaging.dimse.services import Services
from bridge.imaging.dimse.talk import Association, Line, LineClosed, Ready, Setup, expected
from bridge.imaging.dimse.upper import PDU_BYTES, Listener
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.part10 import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

HELD_LIMIT_BYTES = 2 << 30
NEGOTIATION_TIMEOUT_S = 30
IDLE_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 120
CONNECT_TIMEOUT_S = 10
SPARE_CONNECTIONS = 16
"""Beyond the associations, so that there is somebody to tell the next one that it is one too many."""
_NICENESS = 5
_OUT_OF_MEMORY_FIRST = "900"


def _settle() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * INSTANCE_LIMIT_BYTES, 2 * INSTANCE_LIMIT_BYTES))
    os.nice(_NICENESS)
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OUT_OF_MEMORY_FIRST)
    # What these would say names patients.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    pydicom.config.convert_wrong_length_to_UN = True


def _application(setup: Setup) -> AE:
    ae = AE(ae_title=setup.title)
    ae.maximum_pdu_size = PDU_BYTES
    ae.maximum_associations = setup.associations
    ae.acse_timeout = NEGOTIATION_TIMEOUT_S
    ae.network_timeout = IDLE_TIMEOUT_S
    ae.dimse_timeout = ANSWER_TIMEOUT_S
    ae.connection_timeout = CONNECT_TIMEOUT_S
    ae.implementation_class_uid = IMPLEMENTATION_CLASS
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    return ae


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


def _client_tls(setup: Setup) -> ssl.SSLContext | None:
    """Devices' certificates seldom name an address: it is the authority that counts."""
    if not setup.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=setup.tls_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = not setup.tls_ca
    context.load_cert_chain(setup.tls_cert, setup.tls_key)
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
    _settle()
    server = Line(socket.socket(fileno=int(sys.argv[1])))
    said, file = server.receive()
    setup = expected(said, Setup)
    if file is None:
        return
    ae, lines = _application(setup), _Lines(server)
    destination = Destination(ae, _client_tls(setup))
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
