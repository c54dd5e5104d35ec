"""A WHIP encoder that is not ours: ffmpeg's whip muxer, as it comes inside PyAV. Run: URL TOKEN SECONDS CERT KEY.

A program of its own because ffmpeg holds the interpreter while it waits for the HTTP answer. It is given a P-256
certificate (RFC 8827 section 6.5): ffmpeg with GnuTLS makes itself one on P-224, which our OpenSSL does not take.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT, FRAMES_PER_SECOND, RATE_HZ = 320, 240, 30, 48_000


def encode(url: str, token: str, seconds: float, cert: str, key: str) -> None:
    options = {"authorization": token, "whip_flags": "dtls_active", "cert_file": cert, "key_file": key}
    with av.open(url, "w", format="whip", options=options) as out:
        h264 = {"profile": "baseline", "tune": "zerolatency", "preset": "ultrafast", "g": "30"}
        video = out.add_stream("libx264", rate=FRAMES_PER_SECOND, options=h264)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = out.add_stream("libopus", rate=RATE_HZ, bit_rate=64_000, layout="stereo")
        started = time.monotonic()
        for count in range(int(seconds * FRAMES_PER_SECOND)):
            image = np.full((HEIGHT, WIDTH, 3), count * 5 % 256, np.uint8)
            picture = av.VideoFrame.from_ndarray(image)
            picture.pts, picture.time_base = count, Fraction(1, FRAMES_PER_SECOND)
            out.mux(video.encode(picture))
            samples = RATE_HZ // FRAMES_PER_SECOND
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, samples * 2), np.int16), format="s16", layout="stereo"
            )
            silence.rate, silence.pts, silence.time_base = RATE_HZ, count * samples, Fraction(1, RATE_HZ)
            out.mux(audio.encode(silence))
            time.sleep(max(0.0, started + count / FRAMES_PER_SECOND - time.monotonic()))


if __name__ == "__main__":
    encode(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5])
