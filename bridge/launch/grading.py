"""How good a line is for an event: figures in, a grade with reasons out (`docs/protocol.md`, "Line check"). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

Grade = Literal["red", "amber", "green"]
Device = Literal["ok", "denied", "none", "busy"]
Value = float | str | bool | None

_Share = Annotated[float, Meta(ge=0, le=1)]
_Ms = Annotated[float, Meta(ge=0, le=600_000)]
_Bps = Annotated[float, Meta(ge=0, le=1e12)]
_Pixels = Annotated[int, Meta(ge=0, le=32_768)]


class Seen(Struct, rename="camel"):
    """The picture that came back."""

    width: _Pixels
    height: _Pixels
    fps: Annotated[float, Meta(ge=0, le=1000)]


class Measured(Struct, rename="camel"):
    """What a point measured. None: not known, which is no reason for anything."""

    camera: Device | None = None
    microphone: Device | None = None
    udp: bool | None = None
    https: bool | None = None
    web_socket: bool | None = None
    rtt_ms: _Ms | None = None
    jitter_ms: _Ms | None = None
    loss_up: _Share | None = None
    loss_down: _Share | None = None
    up_bps: _Bps | None = None
    down_bps: _Bps | None = None
    picture: Seen | None = None
    browser: Annotated[str, Meta(max_length=120)] = ""


class Reason(Struct, rename="camel"):
    """Why it is not better. Pages say for each code what is wrong and what to do."""

    code: str
    grade: Grade
    value: Value


class Verdict(Struct, rename="camel"):
    """The worst of its reasons is the grade; the worst come first."""

    grade: Grade
    reasons: tuple[Reason, ...]


_AT_LEAST: tuple[tuple[str, str, float, float], ...] = (
    ("slowUp", "up_bps", 300_000, 1_200_000),
    ("slowDown", "down_bps", 500_000, 2_000_000),
)
"""Code, field, red below, amber below."""
_AT_MOST: tuple[tuple[str, str, float, float], ...] = (
    ("lossUp", "loss_up", 0.05, 0.01),
    ("lossDown", "loss_down", 0.05, 0.01),
    ("farAway", "rtt_ms", 600, 300),
    ("unsteady", "jitter_ms", float("inf"), 60),
)
"""Code, field, red above, amber above."""
LEAST_FPS = 15


def grade(measured: Measured) -> Verdict:
    """What the figures come to."""
    reasons = [*_flaws(measured), *_weaknesses(measured)]
    reasons.sort(key=lambda reason: reason.grade != "red")
    return Verdict(reasons[0].grade if reasons else "green", tuple(reasons))


def _flaws(measured: Measured) -> Iterator[Reason]:
    """What is there or is not."""
    for code, device in (("noCamera", measured.camera), ("noMicrophone", measured.microphone)):
        if device not in ("ok", None):
            yield Reason(code, "red", device)
    for code, holds in (
        ("noUdp", measured.udp),
        ("noWebSocket", measured.web_socket),
        ("notSecure", measured.https),
    ):
        if holds is False:
            yield Reason(code, "red", False)
    # Where nothing gets through, that no picture came back says nothing more.
    if measured.picture is None and measured.camera == "ok" and measured.udp is not False:
        yield Reason("noPicture", "amber", None)


def _weaknesses(measured: Measured) -> Iterator[Reason]:
    """What is there, but not enough of it."""
    for code, field, red, amber in _AT_LEAST:
        value = getattr(measured, field)
        if value is not None and value < amber:
            yield Reason(code, "red" if value < red else "amber", value)
    for code, field, red, amber in _AT_MOST:
        value = getattr(measured, field)
        if value is not None and value > amber:
            yield Reason(code, "red" if value > red else "amber", value)
    if measured.picture is not None and measured.picture.fps < LEAST_FPS:
        yield Reason("slowPicture", "amber", measured.picture.fps)
