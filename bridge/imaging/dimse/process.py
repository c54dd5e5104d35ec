"""What the processes that speak DICOM have in common: their limits, their application entity, and how they call others
by TLS (PS3.15 B.12, B.13)."""

from __future__ import annotations

import logging
import os
import resource
import ssl
import warnings

import pydicom.config
from pynetdicom import AE, _config

from bridge.imaging.dimse.talk import Setup
from bridge.imaging.dimse.upper import PDU_BYTES
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.part10 import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

NEGOTIATION_TIMEOUT_S = 30
IDLE_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 120
CONNECT_TIMEOUT_S = 10
_NICENESS = 5
_OUT_OF_MEMORY_FIRST = "900"


def settle() -> None:
    """Sets limits, and silences all that would name patients. To be called first."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * INSTANCE_LIMIT_BYTES, 2 * INSTANCE_LIMIT_BYTES))
    os.nice(_NICENESS)
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OUT_OF_MEMORY_FIRST)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    pydicom.config.convert_wrong_length_to_UN = True


def application(setup: Setup) -> AE:
    """Ours, under its title."""
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


def client_tls(setup: Setup) -> ssl.SSLContext | None:
    """Devices' certificates seldom name an address: it is the authority that counts."""
    if not setup.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=setup.tls_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = not setup.tls_ca
    context.load_cert_chain(setup.tls_cert, setup.tls_key)
    return context
