"""Where log lines go and what may stand in them: one set of processors for structlog and the standard library.

Every value of every line passes `redact`: tokens, session descriptions, addresses, payloads and what people wrote or
are called never come out, whoever logged them, tracebacks and third-party loggers included. Knows no settings.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor, WrappedLogger

TEXT_LIMIT = 8000
"""Characters of one value: a traceback fits, a message that somebody sent to fill the disk does not."""
DEPTH_LIMIT = 4

# fmt: off
SECRET_KEYS = frozenset((
    "token", "tokens", "resume_token", "authorization", "cookie", "password", "secret", "key", "keys",
    "pwd", "ufrag", "sdp", "offer", "answer", "description", "fragment", "candidate", "payload", "body",
    "datagram", "message_text", "chat", "line", "name", "display_name", "patient", "address", "addresses",
    "ip", "remote", "remote_addr", "peername", "host", "headers", "query",
))
# fmt: on
"""Names whose value is never written, whatever it looks like."""

_SDP = re.compile(
    r"(?:^|[\r\n\"'\\n])(?:v=0|a=(?:ice-ufrag|ice-pwd|candidate|fingerprint|crypto|setup|mid):?)", re.M
)
_ICE_PART = re.compile(r"\b(?:ice-ufrag|ice-pwd|candidate|fingerprint|ufrag|pwd)[:=]\s*\S+")
_JWT = re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){0,2}")
_BEARER = re.compile(r"\bbearer\s+\S+", re.I)
_RANDOM = re.compile(r"(?<![\w/.-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{28,}(?![\w-])")
"""Looks like random bytes in base64: a resume token, a key."""
_QUERY = re.compile(r"(/[\w./-]*)[?#][^\s\"'<>]+")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")
_IPV6 = re.compile(
    r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])"
)


def configure(
    style: Literal["console", "json"] = "console",
    level: Literal["debug", "info", "warning", "error"] = "info",
    stream: TextIO | None = None,
) -> None:
    """Sends all logs of the process to `stream` (standard error by default). May be called again."""
    out = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(style, out)],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # What these say below a warning is of no use to who runs the server, and much of it is about addresses.
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)
    for noisy in ("aioice", "aiortc", "alembic", "aiosqlite", "sqlalchemy", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Whoever sends what is not HTTP would else fill the disk, a traceback with their own bytes at a time."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor that masks every value of a line."""
    return {key: _masked(key, value, 0) if key not in _OWN_KEYS else value for key, value in event.items()}


_OWN_KEYS = frozenset({"timestamp", "level", "logger", "_record", "_from_structlog"})


def masked_text(text: str) -> str:
    """The text with all that must not be written replaced by what it was."""
    if _SDP.search(text):
        return "[sdp]"
    text = text[:TEXT_LIMIT]
    text = _BEARER.sub("Bearer [token]", text)
    text = _JWT.sub("[token]", text)
    text = _ICE_PART.sub("[ice]", text)
    text = _QUERY.sub(r"\1[query]", text)
    text = _RANDOM.sub("[secret]", text)
    text = _IPV4.sub("[address]", text)
    return _IPV6.sub(_masked_ipv6, text)


def _masked(key: object, value: object, depth: int) -> object:
    if isinstance(key, str) and key.lower() in SECRET_KEYS and value is not None:
        return "[redacted]"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _masked_items(value, depth)
    return masked_text(str(value))


def _masked_items(value: Any, depth: int) -> object:
    if depth >= DEPTH_LIMIT:
        return "[deep]"
    if isinstance(value, Mapping):
        return {masked_text(str(key)): _masked(key, item, depth + 1) for key, item in value.items()}
    return [_masked(None, item, depth + 1) for item in value]


def _masked_ipv6(match: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(match.group())
    except ValueError:
        return match.group()
    return "[address]"


def _renderer(style: str, out: TextIO) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=out.isatty())
