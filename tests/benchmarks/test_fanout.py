import dataclasses
import json
import subprocess
import sys

import pytest

from benchmarks.fanout import Level, overflows
from tests.serving import ROOT

HELD = Level(
    viewers=500,
    published=1440,
    received=720_000,
    repaired=0,
    left_out=0,
    relay_overflow=0,
    viewers_overflow=0,
    relay_cores=0.2,
    crowd_cores=0.1,
    bytes_each=1112.0,
    transit_p50_ms=2.0,
    transit_p99_ms=5.0,
)


def test_figures_are_what_one_core_would_forward():
    assert HELD.is_held
    assert HELD.figures() == {
        "viewers": 500,
        "pps": 90_000,
        "relay_cores": 0.2,
        "us_per_packet": 2.222,
        "pps_per_core": 450_000,
    }


@pytest.mark.parametrize(
    "change", [{"received": 719_999}, {"repaired": 1}, {"left_out": 1}, {"published": 0, "received": 0}]
)
def test_one_packet_too_few_and_a_level_is_not_held(change):
    assert not dataclasses.replace(HELD, **change).is_held


@pytest.mark.parametrize(
    ("change", "who"),
    [
        ({"crowd_cores": 0.95}, "LOADER"),
        ({"viewers_overflow": 3}, "LOADER"),
        ({"relay_cores": 0.99}, "The relay"),
        ({"relay_overflow": 3}, "The relay"),
        ({"relay_cores": 0.99, "crowd_cores": 0.99}, "Both"),
    ],
)
def test_says_who_was_at_the_end(change, who):
    assert who in dataclasses.replace(HELD, received=1, **change).why_not_held()


def test_overflows_of_the_relay_are_told_from_those_of_viewers():
    table = (
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode drops\n"
        "  100: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 4\n"
        "  101: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 7\n"
        "  102: 0100007F:1F92 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 1\n"
    )
    assert overflows(table, 0x1F90) == (4, 8)


@pytest.mark.alone
def test_a_few_viewers_get_every_packet():
    command = [sys.executable, "-m", "benchmarks.fanout", "--first", "2", "--step", "2", "--most", "4"]
    done = subprocess.run(
        [*command, "--seconds", "1"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["viewers"] == 4
    assert figures["pps"] == 4 * 180
    assert figures["pps_per_core"] > 0
