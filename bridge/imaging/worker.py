"""The inside of a worker process: runs function after function on what it is handed, within limits that it sets itself.

Started by `workers.py` with one socket; it ends when that is closed. It writes no file, logs nothing and dumps no
core: what it reads names patients. A function takes (payload, arguments) and gives bytes.
"""

from __future__ import annotations

import importlib
import os
import resource
import socket
import sys
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from bridge.errors import BridgeError
from bridge.imaging.scratch import Scratch

PACKAGE: Final = "bridge.imaging."
"""Only functions of modules in here are run."""
MESSAGE_BYTES = 64 * 1024
"""Replies up to here travel by the socket, longer ones in memory of their own."""
REPLY_LIMIT_BYTES = 1 << 30
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_OUT_OF_MEMORY_FIRST = "1000"
_NICENESS = 10
"""Live video comes first."""

Function = Callable[[memoryview, bytes], bytes]


class Request(Struct, frozen=True, array_like=True):
    """Comes with the payload's descriptor."""

    function: str
    arguments: bytes
    memory_bytes: int
    cpu_s: int


class Reply(Struct, frozen=True, array_like=True):
    """`body` is None where the reply comes with a descriptor. `code` and `text` are of an error."""

    body: bytes | None = b""
    code: str = ""
    text: str = ""
    leaving: bool = False
    """It ends after this, because it cannot be sure of itself any more."""


READY = b"ready"
_requests = msgspec.msgpack.Decoder(Request)
_encoder = msgspec.msgpack.Encoder()


def serve(line: socket.socket) -> None:
    """Until the other side closes."""
    functions: dict[str, Function] = {}
    line.send(READY)
    while True:
        message, files, _, _ = socket.recv_fds(line, 2 * MESSAGE_BYTES, 1)
        if not message or not files:
            return
        reply = _run(functions, _requests.decode(message), files[0], line)
        if reply is not None:
            line.send(_encoder.encode(reply))
            if reply.leaving:
                return


def _run(functions: dict[str, Function], request: Request, file: int, line: socket.socket) -> Reply | None:
    """None where the reply was sent already."""
    try:
        function = functions.get(request.function) or functions.setdefault(
            request.function, _resolved(request.function)
        )
        payload_bytes = os.fstat(file).st_size
        with Scratch.received(file, payload_bytes) as payload:
            _limit(payload_bytes + request.memory_bytes, request.cpu_s)
            body = function(payload.view(), request.arguments)
        if len(body) <= MESSAGE_BYTES:
            return Reply(body)
        if len(body) > REPLY_LIMIT_BYTES:
            return Reply(code="tooLarge", text="The object is too large for this.")
        with Scratch.of(body) as large:
            socket.send_fds(line, [_encoder.encode(Reply(None))], [large.seal()])
        return None
    except BridgeError as error:
        return Reply(code=error.code, text=error.text)
    except MemoryError:
        return Reply(code="tooLarge", text="The object needs more memory than it may have.", leaving=True)
    except RecursionError:
        return Reply(code="tooLarge", text="The object is nested too deeply.")
    except Exception:
        return Reply(code="damaged", text="The object cannot be read.")


def _resolved(name: str) -> Function:
    module, _, function = name.partition(":")
    if not module.startswith(PACKAGE):
        raise ValueError("not a function for workers")
    found: Function = getattr(importlib.import_module(module), function)
    return found


def _limit(memory_bytes: int, cpu_s: int) -> None:
    """So much more than now, for the next call."""
    with open("/proc/self/statm", encoding="ascii") as file:
        address_bytes = int(file.read().split()[0]) * _PAGE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (address_bytes + memory_bytes, resource.RLIM_INFINITY))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used_s = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used_s + cpu_s + 1, resource.RLIM_INFINITY))


def _settle() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (REPLY_LIMIT_BYTES, REPLY_LIMIT_BYTES))
    os.nice(_NICENESS)
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OUT_OF_MEMORY_FIRST)


def main() -> None:
    _settle()
    line = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    try:
        serve(line)
    except (BrokenPipeError, ConnectionError, KeyboardInterrupt):
        return


if __name__ == "__main__":
    main()
