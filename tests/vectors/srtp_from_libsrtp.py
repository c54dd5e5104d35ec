"""Makes `srtp_libsrtp.json`: packets protected by libsrtp, for the relay's own SRTP to agree with.

Knows nothing of the relay. Run it again only when a case is added: `python tests/vectors/srtp_from_libsrtp.py`.
"""

import json
import struct
from pathlib import Path
from typing import Any

from pylibsrtp import Policy, Session

PROFILES = {
    "SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    "SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
}
SSRC = 0x5501A0B2
# Over the wrap, so that the roll-over counter of the last ones is 1.
SEQUENCES = (0xFFF0, 0xFFFF, 0x0000, 0x0001, 0x7000)


def rtp_packet(sequence: int) -> bytes:
    """An RTP packet whose shape (extension, contributing source, length) depends on its number."""
    extended, contributing = sequence % 2, sequence % 3 == 0
    header = struct.pack(
        "!BBHII", 0x80 | extended << 4 | int(contributing), 0x60, sequence, sequence * 3000, SSRC
    )
    header += struct.pack("!I", 0x01020304) * int(contributing)
    header += bytes.fromhex("bede0002 10aa 22010203 0000".replace(" ", "")) * extended
    return header + bytes(range(sequence % 251))


def rtcp_packet(number: int) -> bytes:
    """A receiver report followed by a picture loss indication."""
    return struct.pack("!BBHI", 0x80, 201, 1, SSRC) + struct.pack("!BBHII", 0x81, 206, 2, SSRC, number)


def cases() -> list[dict[str, Any]]:
    """One case a profile: its master key with salt, and plain and protected packets in the order of sending."""
    found = []
    for name, (profile, key_len) in PROFILES.items():
        key = bytes((7 * i + 3) % 256 for i in range(key_len))
        policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        session = Session(policy=policy)
        rtp = [rtp_packet(sequence) for sequence in SEQUENCES]
        rtcp = [rtcp_packet(number) for number in range(3)]
        found.append(
            {
                "profile": name,
                "master": key.hex(),
                "rtp": [{"plain": p.hex(), "protected": session.protect(p).hex()} for p in rtp],
                "rtcp": [{"plain": p.hex(), "protected": session.protect_rtcp(p).hex()} for p in rtcp],
            }
        )
    return found


if __name__ == "__main__":
    target = Path(__file__).with_name("srtp_libsrtp.json")
    target.write_text(json.dumps(cases(), indent=1) + "\n")
