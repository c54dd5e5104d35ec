import json
import subprocess
import sys

import pytest

from benchmarks.relay_vs import BRIDGE, JANUS, JANUS_TUNED, Measured, Used, summary
from tests.serving import ROOT


def measured(side: str, viewers: int, us: float) -> Measured:
    received = 1_000_000
    return Measured(
        side=side,
        viewers=viewers,
        fed=received // viewers,
        received=received,
        repaired=0,
        bytes_each=1112.0,
        used=Used(server_s=us * received / 1e6, relay_s=0.0, own_s=1.0, machine_s=us * received / 1e6 + 4.0),
        seconds=10.0,
    )


def test_the_summary_has_medians_and_how_many_times_less():
    rounds = [
        *(measured(JANUS, 100, us) for us in (45.0, 40.0, 44.0)),
        *(measured(JANUS_TUNED, 100, us) for us in (22.0, 90.0, 20.0)),
        *(measured(BRIDGE, 100, us) for us in (2.0, 2.5, 1.0)),
    ]
    assert summary(rounds) == {
        "100": {
            "bridge_us": 2.0,
            "janus_us": 44.0,
            "janus_tuned_us": 22.0,
            "ratio": 22.0,
            "ratio_tuned": 11.0,
        }
    }


def test_numbers_of_viewers_stand_in_their_order():
    sides = (JANUS, JANUS_TUNED, BRIDGE)
    made = summary([measured(side, viewers, 3.0) for viewers in (100, 10, 50) for side in sides])
    assert list(made) == ["10", "50", "100"]


def test_a_line_tells_what_is_missing():
    line = measured(BRIDGE, 7, 2.0).line()
    assert "2.00 us a packet" in line
    assert "-1 missing" in line


def test_what_others_took_is_neither_the_server_nor_its_viewers():
    assert measured(BRIDGE, 10, 2.0).others_cores == pytest.approx(0.3)


@pytest.mark.alone
@pytest.mark.netns
def test_bridge_gives_every_packet_to_viewers_on_another_host():
    command = [sys.executable, "-m", "benchmarks.relay_vs", "--servers", "bridge", "--viewers", "3"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" of 1112 bytes, 0 missing") == 1
    figures = json.loads(done.stdout.splitlines()[-1])["n"]
    assert list(figures) == ["3"]
    assert figures["3"]["bridge_us"] > 0
