"""The DTLS half of a peer (RFC 6347, 9147, 5764, 8842): handshake on aiortc, SRTP keys down to the relay.

The relay carries the datagrams and does SRTP; nothing here sees RTP, SDP or rooms. The server is always the passive
side, so that its own order of protection profiles decides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, cast

import structlog
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
)
from OpenSSL import SSL

from bridge.errors import MediaError

_log = structlog.get_logger(__name__)

Profile = Literal["SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM", "SRTP_AES128_CM_SHA1_80"]
CloseReason = Literal["closed", "handshakeFailed", "handshakeTimeout"]
Role = Literal["client", "server"]

# AES-128-GCM first: the cheapest in hardware, and what RFC 8827 section 6.5 recommends over CM.
PROFILES = (SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80)

# A flight of the largest certificates fits several times; more than this is nobody's handshake.
MAX_QUEUED_DATAGRAMS = 64
# Leaves room for IP, UDP and a VPN's headers in an Ethernet frame.
DATAGRAM_MTU_BYTES = 1_200
HANDSHAKE_TIMEOUT_S = 30.0
# More often than any client sends its last flight; what bounds it is that requests are not authenticated by then.
MAX_REPEATS = 16
# RFC 6347 section 4.1: type, version, epoch, sequence number, length.
_RECORD_HEADER_BYTES = 13
_CHANGE_CIPHER_SPEC = b"\x14"
_HANDSHAKE = 0x16
# SSL_MODE_RELEASE_BUFFERS of openssl/ssl.h, which pyOpenSSL does not name.
_RELEASE_BUFFERS = 0x10

SendDatagram = Callable[[bytes], None]
SetKeys = Callable[[Profile, bytes, bytes], None]
OnClosed = Callable[[CloseReason], None]


class _Path:
    """What aiortc takes for its ICE transport: a bounded queue in, the relay out. `flight` is what was sent last."""

    role = "controlled"

    def __init__(self, send: SendDatagram) -> None:
        self.flight = b""
        self._send_datagram = send
        self._queue: deque[bytes] = deque(maxlen=MAX_QUEUED_DATAGRAMS)
        self._arrived = asyncio.Event()
        self._closed = False

    def feed(self, datagram: bytes) -> None:
        # DTLS bears loss: when the queue is full the oldest datagram goes.
        self._queue.append(datagram)
        self._arrived.set()

    def close(self) -> None:
        self._closed = True
        self._arrived.set()

    async def _recv(self) -> bytes:
        while not self._queue:
            if self._closed:
                raise ConnectionError
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        if not self._closed:
            self.flight = data
            self._send_datagram(data)


class _Association(RTCDtlsTransport):
    """OpenSSL's state of one peer, on aiortc: about 90 kB, which is why it is let go of when it is not needed."""

    def __init__(
        self, certificate: RTCCertificate, path: _Path, role: Role, set_keys: SetKeys, over: OnClosed
    ) -> None:
        super().__init__(path, [certificate])  # type: ignore[arg-type]  # it uses no more of it than _Path has
        self._set_role(role)
        self._srtp_profiles = list(PROFILES)
        self._hand_over_keys = set_keys
        self._over = over
        self.path = path
        self.on("statechange", self._state_changed)

    @property
    def is_open(self) -> bool:
        return bool(self._state is State.CONNECTED)

    def settle(self) -> Settled | None:
        """What is still needed of a server's finished handshake, None where all of it is."""
        connection = cast(SSL.Connection, self._ssl)
        flight = self.path.flight
        # Later versions end otherwise, and with another flight there is nothing to repeat.
        if connection.get_protocol_version_name() != "DTLSv1.2" or flight[:1] != _CHANGE_CIPHER_SPEC:
            return None
        try:
            connection.shutdown()
            goodbye = connection.bio_read(DATAGRAM_MTU_BYTES)
        except SSL.Error:
            return None
        return Settled(flight, goodbye)

    def forget(self) -> None:
        """Ends its task without a word; its state changes are nobody's business any more."""
        self.remove_all_listeners()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._ssl = None

    async def _do_handshake(self) -> None:
        cast(SSL.Connection, self._ssl).set_ciphertext_mtu(DATAGRAM_MTU_BYTES)
        await super()._do_handshake()

    def _setup_srtp(self) -> None:
        """Hands the keys to the relay instead of making aiortc's SRTP sessions (RFC 5764 section 4.2)."""
        connection = cast(SSL.Connection, self._ssl)
        name = connection.get_selected_srtp_profile()
        profile = next((known for known in PROFILES if known.openssl_profile == name), None)
        if profile is None:
            self._set_state(State.FAILED)
            return
        length = 2 * (profile.key_length + profile.salt_length)
        material = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", length)
        self._hand_over_keys(
            cast(Profile, name.decode()),
            profile.get_key_and_salt(material, 1),
            profile.get_key_and_salt(material, 0),
        )

    def _state_changed(self) -> None:
        if self._state is State.FAILED:
            self._over("handshakeFailed")
        elif self._state is State.CLOSED:
            self._over("closed")


class Settled:
    """A finished handshake of which only two datagrams are kept: the last flight and the goodbye, both sealed already.

    Who did not get the last flight sends its own again, and is answered as RFC 6347 section 4.2.4 wants. To the client
    the same records with the same numbers are what a network makes that doubles packets. What comes in cannot be
    opened any more, so that nothing in it is believed: a flight that comes again is known by its headers.
    """

    __slots__ = ("_flight", "_goodbye", "_repeats_left")

    def __init__(self, flight: bytes, goodbye: bytes) -> None:
        self._flight = flight
        self._goodbye = goodbye
        self._repeats_left = MAX_REPEATS

    def answer_to(self, datagram: bytes) -> bytes | None:
        """The last flight again, if that is what is asked for."""
        if self._repeats_left <= 0 or not _holds_finished(datagram):
            return None
        self._repeats_left -= 1
        return self._flight

    @property
    def goodbye(self) -> bytes:
        """A close_notify alert."""
        return self._goodbye


class DtlsTransport:
    """One peer's DTLS. `open` runs the handshake to its end; `on_closed` is called once, when it is over for good.

    The server's share of a handshake is under a millisecond in steps of at most half of one (P-256, measured), so it
    stays on the event loop. `listening`: the other side's goodbye is waited for, and OpenSSL's state kept for it. Who
    has a WebSocket to go by needs no other, and receivers are many.
    """

    __slots__ = ("_association", "_listening", "_on_closed", "_send", "_settled")

    def __init__(
        self,
        certificate: RTCCertificate,
        send: SendDatagram,
        set_keys: SetKeys,
        on_closed: OnClosed,
        *,
        role: Role = "server",
        listening: bool = True,
    ) -> None:
        self._send = send
        self._on_closed: OnClosed | None = on_closed
        self._listening = listening
        self._association: _Association | None = _Association(
            certificate, _Path(send), role, set_keys, self._over
        )
        self._settled: Settled | None = None

    @property
    def settled(self) -> bool:
        """OpenSSL's state is gone; `close` and answers to a lost last flight still work."""
        return self._settled is not None

    def feed(self, datagram: bytes) -> None:
        """A datagram that the relay received from the authenticated address of this peer."""
        if not datagram:
            return
        if self._association is not None:
            self._association.path.feed(datagram)
        elif self._settled is not None and (again := self._settled.answer_to(datagram)) is not None:
            self._send(again)

    async def open(
        self, fingerprints: Sequence[tuple[str, str]], timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> bool:
        """Waits for the client's handshake; True once keys are set. Any failure ends in `on_closed`, never raises."""
        association = self._association
        if association is None:
            return False
        parameters = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(algorithm=name, value=value) for name, value in fingerprints],
            role="client",
        )
        try:
            async with asyncio.timeout(timeout_s):
                await association.start(parameters)
        except TimeoutError:
            self._over("handshakeTimeout")
            await association.stop()
            return False
        except Exception as error:
            # OpenSSL gives up in many ways (a certificate it cannot read, too many retransmissions); all end the same.
            _log.info("dtls_failed", error=type(error).__name__)
            self._over("handshakeFailed")
            return False
        if association.is_open and not self._listening and self._association is association:
            self._settled = association.settle()
            if self._settled is not None:
                self._association = None
                association.forget()
                return True
        return association.is_open

    async def close(self) -> None:
        """Says close_notify to the peer; `on_closed` is not called."""
        self._on_closed = None
        association, self._association = self._association, None
        settled, self._settled = self._settled, None
        if association is not None:
            await association.stop()
            association.path.close()
        elif settled is not None:
            self._send(settled.goodbye)

    def _over(self, reason: CloseReason) -> None:
        told, self._on_closed = self._on_closed, None
        if told is not None:
            told(reason)


def _holds_finished(datagram: bytes) -> bool:
    """Whether a record that looks like Finished is in it: a handshake message under keys (RFC 6347 section 4.1)."""
    at = 0
    while at + _RECORD_HEADER_BYTES <= len(datagram):
        epoch = int.from_bytes(datagram[at + 3 : at + 5])
        if datagram[at] == _HANDSHAKE and epoch == 1:
            return True
        at += _RECORD_HEADER_BYTES + int.from_bytes(datagram[at + 11 : at + 13])
    return False


class _Certificate(RTCCertificate):
    """One OpenSSL context for all its handshakes: each would take 20 kB and as long as the handshake itself."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            # Nobody takes a session up again, so none is kept; and buffers go back between records, of which few come.
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            self._context.set_mode(_RELEASE_BUFFERS)
        return self._context


def make_certificate() -> RTCCertificate:
    """A self-signed P-256 certificate; one a server start, so that peers of two starts cannot be linked.

    All transports that use it have the same protection profiles: it keeps them with its context.
    """
    return _Certificate.generateCertificate()


def fingerprint_of(certificate: RTCCertificate) -> str:
    """SHA-256 in upper-case hex with colons (RFC 8122)."""
    for fingerprint in certificate.getFingerprints():
        if fingerprint.algorithm == "sha-256":
            return str(fingerprint.value)
    raise MediaError("The certificate has no SHA-256 fingerprint.", "internal")
