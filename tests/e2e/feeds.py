"""What Chromium's fake devices play: the ultrasound loop as stored, and a voice."""

from __future__ import annotations

import wave
from pathlib import Path

import pydicom
from pydicom.encaps import generate_frames

from bridge.demo.pictures import cine_path
from bridge.demo.sound import RATE_HZ, voice

CINE_SIZE = (640, 480)


def write_cine(folder: Path) -> Path:
    """The loop's JPEG frames one after the other, which Chromium plays as a camera of that size."""
    dataset = pydicom.dcmread(cine_path())
    file = folder / "cine.mjpeg"
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    file.write_bytes(b"".join(frame[: frame.rindex(b"\xff\xd9") + 2] for frame in frames))
    return file


def write_voice(folder: Path) -> Path:
    file = folder / "voice.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        sound.writeframes(voice().tobytes())
    return file
