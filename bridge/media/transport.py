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

# AES-128-GCM first: the cheapest in hardware, and what RFC 8827 section 6.5 recommends over CM.
PROFILES = (SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80)

# A flight of the largest certificates fits several times; more than this is nobody's handshake.
MAX_QUEUED_DATAGRAMS = 64
# Leaves room for IP, UDP and a VPN's headers in an Ethernet frame.
DATAGRAM_MTU_BYTES = 1_200
HANDSHAKE_TIMEOUT_S = 30.0
# SSL_MODE_RELEASE_BUFFERS of openssl/ssl.h, which pyOpenSSL does not name.
_RELEASE_BUFFERS = 0x10

SendDatagram = Callable[[bytes], None]
SetKeys = Callable[[Profile, bytes, bytes], None]
OnClosed = Callable[[CloseReason], None]


class _Path:
    """What aiortc takes for its ICE transport: a bounded queue in, the relay out."""

    role = "controlled"

    def __init__(self, send: SendDatagram) -> None:
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
            self._send_datagram(data)


class DtlsTransport(RTCDtlsTransport):
    """One peer's DTLS. `open` runs the handshake to its end; `on_closed` is called once, when it is over for good.

    The server's share of a handshake is under a millisecond in steps of at most half of one (P-256, measured), so it
    stays on the event loop.
    """

    def __init__(
        self, certificate: RTCCertificate, send: SendDatagram, set_keys: SetKeys, on_closed: OnClosed
    ) -> None:
        self._path = _Path(send)
        super().__init__(self._path, [certificate])  # type: ignore[arg-type]  # it uses no more of it than _Path has
        self._set_role("server")
        self._srtp_profiles = list(PROFILES)
        self._hand_over_keys = set_keys
        self._on_closed: OnClosed | None = on_closed
        self.on("statechange", self._state_changed)

    def feed(self, datagram: bytes) -> None:
        """A datagram that the relay received from the authenticated address of this peer."""
        if datagram:
            self._path.feed(datagram)

    async def open(
        self, fingerprints: Sequence[tuple[str, str]], timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> bool:
        """Waits for the client's handshake; True once keys are set. Any failure ends in `on_closed`, never raises."""
        parameters = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(algorithm=name, value=value) for name, value in fingerprints],
            role="client",
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self.start(parameters)
        except TimeoutError:
            self._over("handshakeTimeout")
            await self.stop()
            return False
        except Exception as error:
            # OpenSSL gives up in many ways (a certificate it cannot read, too many retransmissions); all end the same.
            _log.info("dtls_failed", error=type(error).__name__)
            self._over("handshakeFailed")
            return False
        return bool(self._state is State.CONNECTED)

    async def close(self) -> None:
        """Says close_notify to the peer; `on_closed` is not called."""
        self._on_closed = None
        await self.stop()
        self._path.close()

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

    def _over(self, reason: CloseReason) -> None:
        told, self._on_closed = self._on_closed, None
        if told is not None:
            told(reason)


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
