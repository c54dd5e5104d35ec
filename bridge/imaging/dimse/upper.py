"""Associations by pynetdicom, made fit for strangers and for speed (PS3.8): woken instead of polling, bounded in all
that is received, and objects written to memory files as they come.

It serves no request itself: a `Service` does, which is handed each message. Logs nothing.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import ssl
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from bridge.errors import BridgeError
from bridge.imaging.arriving import Budget
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.part10 import file_meta
from bridge.imaging.scratch import Scratch

PDU_BYTES = 256 * 1024
"""What others are told that they may send at once."""
_PDU_LIMIT_BYTES = 4 * 1024 * 1024
"""What is read of those that do not listen."""
_PDU_HEADER_BYTES = 6
_P_DATA_TF = 0x04
_COMMAND, _LAST = 1, 2
_MESSAGE_BYTES = 1024 * 1024
"""Of anything that is no object."""
_WAITING_LIMIT = 4
"""Requests on one association that wait for an earlier one; without an agreed window there is none at all."""
_ROUND_S = 0.5
"""Timers are looked at so often."""
HANDSHAKE_TIMEOUT_S = 15.0


class Landing(BytesIO):
    """The dataset of a C-STORE as it comes, behind a file meta of our own. What cannot be held is dropped, and said in
    `failed` when the whole message has come."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        self._taken_bytes = 0
        self.failed: BridgeError | OSError | ValueError | None = None
        self.scratch: Scratch | None = None

    def begin(self, sop_class: str, sop_instance: str, transfer_syntax: str) -> None:
        try:
            meta = file_meta(sop_class, sop_instance, transfer_syntax)
            self.scratch = Scratch(INSTANCE_LIMIT_BYTES)
        except (ValueError, OSError) as error:
            self.failed = error
            return
        self.write(meta)

    def write(self, content: Any) -> int:
        if self.failed is None and self.scratch is not None:
            try:
                self._budget.take(len(content))
                self._taken_bytes += len(content)
                self.scratch.write(content)
            except (BridgeError, OSError) as error:
                self.failed = error
                self.let_go()
        return len(content)

    def let_go(self) -> None:
        """May be repeated."""
        if self.scratch is not None:
            self.scratch.close()
            self.scratch = None
        self._budget.give_back(self._taken_bytes)
        self._taken_bytes = 0


class Service(Protocol):
    """What is done on one association. In its thread."""

    def admit(self, visit: Visit) -> tuple[int, int, int] | None:
        """None to go on, or result, source and reason of a rejection (PS3.8 9.3.4)."""

    def serve(self, visit: Visit, message: Any, context_id: int) -> None:
        """One request."""

    def end(self) -> None:
        """The association is over."""


class _Socket(AssociationSocket):
    @property
    def ready(self) -> bool:
        end = self.socket
        if end is None or not self._is_connected:
            return False
        try:
            if isinstance(end, ssl.SSLSocket) and end.pending():
                return True
            poll = select.poll()
            poll.register(end, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > _PDU_LIMIT_BYTES or self.socket is None:
            raise OSError("longer than agreed")
        buffer = bytearray(nr_bytes)
        view = memoryview(buffer)
        read_bytes = 0
        while read_bytes < nr_bytes:
            got_bytes = self.socket.recv_into(view[read_bytes:])
            # Most senders leave Nagle's algorithm on: the end of each object would wait for our late acknowledgement.
            # The kernel forgets this again by itself.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not got_bytes:
                break
            read_bytes += got_bytes
        view.release()
        del buffer[read_bytes:]
        return buffer

    def _shutdown_socket(self) -> None:
        end = self.socket
        if end is not None:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class _Data:
    """A P-DATA-TF PDU (PS3.8 9.3.5), its values left where they were read to: pynetdicom copies them five times."""

    def __init__(self, content: bytearray) -> None:
        """Raises ValueError."""
        view = memoryview(content)
        self._values: list[tuple[int, memoryview]] = []
        at = _PDU_HEADER_BYTES
        while at < len(view):
            end = at + 4 + int.from_bytes(view[at : at + 4], "big")
            # A number of the context and a control header are in each.
            if end > len(view) or end < at + 6:
                raise ValueError("a length that contradicts the PDU's")
            self._values.append((view[at + 4], view[at + 5 : end]))
            at = end

    def to_primitive(self) -> P_DATA:
        primitive = P_DATA()
        values: list[Any] = primitive.presentation_data_value_list
        values.extend(self._values)
        return primitive


class _Upper(DULServiceProvider):
    """Waits for the peer and for what is to be sent at once."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._visit = visit
        self.daemon = True
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        self.wake()

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] == _P_DATA_TF:
            return _Data(bytestream), "Evt10"
        return super()._decode_pdu(bytestream)

    def stop_dul(self) -> bool:
        if self.state_machine.current_state == "Sta1":
            self._kill_thread = True
        self.wake()
        return bool(super().stop_dul())

    def kill_dul(self) -> None:
        super().kill_dul()
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(OSError):
            os.eventfd_write(self._wake, 1)

    def run_reactor(self) -> None:
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._turn()
        except Exception:
            # A PDU that contradicts itself. Nothing of this association can be trusted any more.
            if self.socket is not None:
                self.socket.close()
            self.assoc.is_aborted = True
            self.assoc.is_established = False
            self.assoc._kill = True
            self._kill_thread = True
        finally:
            self.assoc.dimse.msg_queue.put((None, None))
            self._visit.news.set()

    def _turn(self) -> None:
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
        if not self._process_recv_primitive() and self._is_transport_event():
            self._idle_timer.restart()
        try:
            event = self.event_queue.get_nowait()
        except queue.Empty:
            self._wait()
            return
        self.state_machine.do_action(event)
        if event == "Evt19" and self.socket is not None:
            self.socket.close()  # It was told; what else it says would be of the same sort.
        self._visit.news.set()

    def _wait(self) -> None:
        end = self.socket.socket if self.socket is not None else None
        if isinstance(end, ssl.SSLSocket) and end.pending():
            return
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if end is not None and end.fileno() >= 0:
            poll.register(end, select.POLLIN)
        poll.poll(_ROUND_S * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def __del__(self) -> None:
        os.close(self._wake)


class _Messages(DIMSEServiceProvider):
    """Puts messages together within bounds."""

    def __init__(self, visit: Visit, budget: Budget) -> None:
        super().__init__(visit)
        self._budget = budget
        self._received_bytes = 0

    def receive_primitive(self, primitive: Any) -> None:
        if self.msg_queue.qsize() > _WAITING_LIMIT:
            raise ValueError("too many requests at once")
        is_landing = self.message is not None and isinstance(self.message.data_set, Landing)
        if not is_landing:
            self._received_bytes += sum(len(data) for _, data in primitive.presentation_data_value_list)
            # The first PDU of an object may hold its command and much of its dataset.
            if self._received_bytes > _MESSAGE_BYTES + _PDU_LIMIT_BYTES:
                raise ValueError("too long for a request")
        super().receive_primitive(primitive)
        if self.message is None:
            self._received_bytes = 0
        elif isinstance(self.message, C_STORE_RQ) and not isinstance(self.message.data_set, Landing):
            self.message.data_set = self._landing(self.message)

    def landing_of(self, message: Any, context_id: int) -> Landing:
        """The dataset of a C-STORE that came whole in one piece, or as it was received."""
        if isinstance(message.DataSet, Landing):
            return message.DataSet
        landing = self._begun(message, context_id)
        landing.write(message.DataSet.getvalue())
        return landing

    def _landing(self, message: Any) -> Landing:
        landing = self._begun(message.command_set, message.context_id)
        landing.write(message.data_set.getvalue())
        return landing

    def _begun(self, command: Any, context_id: int) -> Landing:
        landing = Landing(self._budget)
        context = self.assoc._accepted_cx.get(context_id)
        if context is None:
            raise ValueError("a context that was not accepted")
        landing.begin(
            str(command.AffectedSOPClassUID),
            str(command.AffectedSOPInstanceUID),
            str(context.transfer_syntax[0]),
        )
        return landing


class Visit(Association):
    """An association that somebody else asked for."""

    def __init__(self, ae: AE, mode: str, budget: Budget, service: Service) -> None:
        super().__init__(ae, mode)
        self.news = threading.Event()
        self.service = service
        self.dul = _Upper(self)
        self.dimse: _Messages = _Messages(self, budget)
        # Both were told to the parts that were just replaced.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        finally:
            self.service.end()
            self._drop_landings()

    def send_command(self, context_id: int, command: bytes) -> None:
        """A whole message without a dataset (PS3.8 E.2)."""
        most = (self.dimse.maximum_pdu_size or PDU_BYTES) - 6
        for at in range(0, len(command), most):
            piece = command[at : at + most]
            is_last = at + most >= len(command)
            data = P_DATA()
            data.presentation_data_value_list.append(
                (context_id, bytes([_COMMAND | _LAST * is_last]) + piece)
            )
            self.dul.send_pdu(data)

    def requested(self) -> None:
        """pynetdicom calls this before it negotiates. Nothing may get past it."""
        try:
            rejection = self.service.admit(self)
        except Exception:
            rejection = (2, 2, 1)
        if rejection is not None:
            self.acse.send_reject(*rejection)
            self.kill()

    def _run_reactor(self) -> None:
        while not self._kill:
            self.news.clear()
            context_id, message = self.dimse.get_msg()
            if message is not None and context_id is not None:
                self._serve_request(message, context_id)
            elif self._is_over():
                self.kill()
            else:
                self.news.wait(_ROUND_S)

    def _is_over(self) -> bool:
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released = True
            self.is_established = False
            return True
        if self.acse.is_aborted():
            self.is_aborted = True
            self.is_established = False
            return True
        if not self.dul.is_alive():
            return True
        if self.dul.idle_timer_expired():
            self.abort()
            return True
        return False

    def _serve_request(self, msg: Any, context_id: int) -> None:
        if not msg.is_valid_request or context_id not in self._accepted_cx:
            self.abort()
            return
        self.dimse.cancel_req = {}
        self._is_paused = True
        try:
            self.service.serve(self, msg, context_id)
        except Exception:
            self.abort()
        finally:
            self._is_paused = False

    def _drop_landings(self) -> None:
        waiting = [self.dimse.message.data_set] if self.dimse.message is not None else []
        while True:
            try:
                _, message = self.dimse.msg_queue.get_nowait()
            except queue.Empty:
                break
            waiting.append(getattr(message, "DataSet", None))
        for landing in waiting:
            if isinstance(landing, Landing):
                landing.let_go()


class _Handler(RequestHandler):
    server: Listener

    def handle(self) -> None:
        visit = self._create_association()
        visit.start()

    def _create_association(self) -> Visit:
        """As pynetdicom does it, with our own parts."""
        server, ae = self.server, self.server.ae
        end = self.request
        if server.ssl_context is not None:
            end.settimeout(HANDSHAKE_TIMEOUT_S)
            end = server.ssl_context.wrap_socket(end, server_side=True)
        end.settimeout(ae.network_timeout)
        visit = Visit(ae, "acceptor", server.budget, server.make_service())
        visit._server = server
        visit.name = f"AcceptorThread@{id(visit)}"
        visit.set_socket(_Socket(visit, client_socket=end))
        visit.acceptor.maximum_length = ae.maximum_pdu_size
        visit.acceptor.ae_title = server.ae_title
        visit.acceptor.address_info = self.local
        visit.acceptor.implementation_class_uid = ae.implementation_class_uid
        visit.acceptor.implementation_version_name = ae.implementation_version_name
        visit.requestor.address_info = self.remote
        handlers: dict[Any, Any] = server._handlers
        for event, bound in handlers.items():
            if event.is_notification:
                for function, arguments in bound:
                    visit.bind(event, function, arguments)
            elif bound:
                visit.bind(event, *bound)
        return visit


class Listener(ThreadedAssociationServer):
    """Takes associations from a socket that listens already."""

    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        end: socket.socket,
        *,
        context: ssl.SSLContext | None,
        budget: Budget,
        connections: int,
        make_service: Callable[[], Service],
        handlers: list[Any],
    ) -> None:
        self.budget = budget
        self.make_service = make_service
        self._listening = end
        self._connections = connections
        address = end.getsockname()
        super().__init__(ae, address, ae.ae_title, [], context, handlers, _Handler)

    def server_bind(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket = self._listening
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """It listens already."""

    def get_request(self) -> tuple[socket.socket, Any]:
        # The handshake of TLS is left to the connection's own thread: here it would keep others waiting.
        end, address = self._listening.accept()
        if threading.active_count() > 3 * self._connections:
            end.close()
            raise OSError("too many connections")
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return end, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing of it is told: pynetdicom would print what it holds."""
