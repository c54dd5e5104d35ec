"""What the demo satellite says: speech from `espeak-ng` where the system has it, else a soft chime with pauses."""

from __future__ import annotations

import shutil
import subprocess
import wave
from io import BytesIO

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

RATE_HZ = 48_000
PAUSE_S = 2.5
SENTENCE = "This is the demo point. The heart is on the screen, four chamber view. Shall I turn the probe?"
CHIME_HZ = (523.25, 659.25, 783.99)
SPEECH_TIMEOUT_S = 20


def voice() -> Samples:
    """One loop of sound: mono, 48 kHz, shape (samples,), ending in a pause so that speaking comes and goes."""
    spoken = _speech() if shutil.which("espeak-ng") else None
    sound = spoken if spoken is not None else _chime()
    return np.concatenate([sound, np.zeros(int(PAUSE_S * RATE_HZ), np.int16)])


def _speech() -> Samples | None:
    """Speech as espeak-ng makes it, brought to 48 kHz; None when it fails."""
    try:
        made = subprocess.run(  # noqa: S603 (a fixed command line)
            ["espeak-ng", "-s", "150", "--stdout", SENTENCE],  # noqa: S607 (where PATH has it)
            capture_output=True,
            check=True,
            timeout=SPEECH_TIMEOUT_S,
        )
        with wave.open(BytesIO(made.stdout)) as file:
            # espeak-ng streams: its header claims the longest possible length, so the data says where it ends.
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            rate_hz = file.getframerate()
    except (OSError, subprocess.SubprocessError, wave.Error):
        return None
    duration_s = len(samples) / rate_hz
    at = np.linspace(0, duration_s, int(duration_s * RATE_HZ), endpoint=False)
    return np.interp(at, np.arange(len(samples)) / rate_hz, samples).astype(np.int16)


def _chime() -> Samples:
    """Three notes, each fading, at a level that reads as speaking but does not disturb."""
    note_s = 0.5
    at = np.arange(int(note_s * RATE_HZ)) / RATE_HZ
    fade = np.minimum(at / 0.02, 1) * np.exp(-at * 3)
    notes = [np.sin(2 * np.pi * pitch * at) * fade * 9000 for pitch in CHIME_HZ]
    return np.concatenate(notes).astype(np.int16)
