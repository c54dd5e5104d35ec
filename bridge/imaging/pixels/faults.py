"""The one error of everything about pixels, and the bounds that no picture may pass."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.imaging.errors import DicomError

# The largest single frames in use are mammograms and digitised films, below 40 million pixels.
MAX_FRAME_PIXELS = 64 * 1024 * 1024
MAX_FRAME_BYTES = 256 * 1024 * 1024
MAX_SAMPLES = 4


class PixelError(DicomError):
    """Pixels that cannot be read (`damaged`), are not handled (`unsupported`), too large, or asked for wrongly."""

    default_code = "damaged"


_CODEC_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)


@contextmanager
def plain_faults(what: str) -> Iterator[None]:
    """Makes a `PixelError` of whatever a codec or a hostile dataset can raise.

    The codecs' own texts are dropped: they may quote bytes of the object.
    """
    try:
        yield
    except PixelError:
        raise
    except MemoryError:
        raise PixelError(f"{what} needs more memory than it may use.", "tooLarge") from None
    except _CODEC_FAULTS:
        raise PixelError(f"{what} cannot be read.") from None
