"""Objects written anew in another plain transfer syntax (PS3.5 A.1, A.2) for who takes it only; what is compressed is
decoded.

Meant to run in a worker with limits: what is read was sent by strangers. Pixel values stay what they are. Pure.
"""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from bridge.imaging.errors import DicomError
from bridge.imaging.part10 import file_meta
from bridge.imaging.syntaxes import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE

_PLAIN = frozenset((EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED))
REWRITE = "bridge.imaging.rewriting:rewritten"


def rewritten(payload: memoryview, arguments: bytes) -> bytes:
    """A Part 10 file in the transfer syntax that the arguments name. Raises DicomError."""
    syntax = arguments.decode("ascii")
    if syntax not in (EXPLICIT_LITTLE, IMPLICIT_LITTLE):
        raise DicomError("Objects are not written in this transfer syntax.", "unsupported")
    try:
        dataset = dcmread(BytesIO(payload))
        if str(dataset.file_meta.TransferSyntaxUID) not in _PLAIN:
            dataset = dcmread(BytesIO(_decoded(payload)))
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, syntax == IMPLICIT_LITTLE
        write_dataset(file, dataset)
    except DicomError:
        raise
    except Exception:
        raise DicomError("The object cannot be written in another transfer syntax.") from None
    meta = file_meta(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax)
    return meta + file.getvalue()


def _decoded(payload: memoryview) -> bytes:
    # Decoders are large; the server, which only names `REWRITE`, shall not load them.
    from bridge.imaging.dicomweb.retelling import retold

    return retold(payload, EXPLICIT_LITTLE.encode("ascii"))
