"""The demo satellite itself: joins by a link and shows a real ultrasound loop until it is stopped."""

from __future__ import annotations

import asyncio
import os
import ssl
from urllib.parse import urlsplit

import aiortc.codecs.h264
import aiortc.codecs.vpx

from bridge.client import Participant
from bridge.demo.pictures import cine_path, draw_room, read_cine
from bridge.demo.sound import voice
from bridge.demo.tracks import CineTrack, VoiceTrack

NAME = "Demo clinic"
ULTRASOUND_BITRATE_BPS = 1_500_000


def split_link(link: str) -> tuple[str, str]:
    """The server's address and the token of a link `https://HOST/join#TOKEN`; raises ValueError for another."""
    parts = urlsplit(link)
    token = parts.fragment.removesuffix("&now")
    if not parts.netloc or not token:
        raise ValueError("this is not a link to a session")
    return f"{parts.scheme}://{parts.netloc}", token


async def run_satellite_of(stdin: int, tls: ssl.SSLContext | bool = True) -> None:
    """Reads the link from a file descriptor and takes part until that is closed: whoever started this has gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(stdin, "rb", closefd=False)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    link = (await reader.readline()).decode().strip()
    taking_part = asyncio.create_task(run_satellite(link, tls))
    left_alone = asyncio.create_task(reader.read())
    try:
        await asyncio.wait({taking_part, left_alone}, return_when=asyncio.FIRST_COMPLETED)
        if taking_part.done():
            taking_part.result()
    finally:
        taking_part.cancel()
        left_alone.cancel()
        await asyncio.gather(taking_part, left_alone, return_exceptions=True)
        transport.close()


async def run_satellite(link: str, tls: ssl.SSLContext | bool = True) -> None:
    """Takes part until cancelled; raises BridgeError when the server refuses it for good."""
    # aiortc starts at half of this and has no setting for it; a diagnostic picture should not begin blurred.
    aiortc.codecs.vpx.DEFAULT_BITRATE = ULTRASOUND_BITRATE_BPS
    aiortc.codecs.h264.DEFAULT_BITRATE = ULTRASOUND_BITRATE_BPS
    address, token = split_link(link)
    loop = asyncio.get_running_loop()
    cine, room, sound = await asyncio.gather(
        loop.run_in_executor(None, lambda: read_cine(cine_path())),
        loop.run_in_executor(None, draw_room),
        loop.run_in_executor(None, voice),
    )
    # Nobody sits at this point to look at the hub, so nothing is received: decoding would be for nothing.
    satellite = Participant(
        address,
        token,
        NAME,
        tracks={"ultrasound": CineTrack(cine), "camera": CineTrack(room), "microphone": VoiceTrack(sound)},
        receive=False,
        tls=tls,
    )
    await satellite.run()
