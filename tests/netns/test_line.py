"""The line of the tests itself: does it lose and delay what it is told to?"""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.netns.hosts import FAR_ADDRESS, two_hosts

pytestmark = [pytest.mark.netns, pytest.mark.alone]


def ping(command: list[str]) -> tuple[float, float]:
    """Share of pings lost, and the mean round trip in milliseconds (0 when none came back)."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    lost = re.search(r"([\d.]+)% packet loss", result.stdout)
    mean = re.search(r"= [\d.]+/([\d.]+)/", result.stdout)
    assert lost, result.stdout + result.stderr
    return float(lost[1]) / 100, float(mean[1]) if mean else 0.0


def test_line_delays_and_loses_what_it_is_told() -> None:
    with two_hosts() as line:
        many = line.near.command("ping", "-q", "-c", "100", "-i", "0.01", "-W", "1", FAR_ADDRESS)
        clean_loss, clean_ms = ping(many)
        line.set(delay_ms=40, loss=0.1)
        loss, mean_ms = ping(many)
        line.set(up=False)
        dead_loss, _ = ping(line.near.command("ping", "-q", "-c", "3", "-i", "0.01", "-W", "1", FAR_ADDRESS))
    assert clean_loss == 0
    assert clean_ms < 40
    assert mean_ms >= 80
    assert 0.05 < loss < 0.35
    assert dead_loss == 1
