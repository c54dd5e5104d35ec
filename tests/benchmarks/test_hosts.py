import os
import subprocess

import pytest

from benchmarks.hosts import FAR_ADDRESS, NEAR_ADDRESS, joined_hosts

pytestmark = pytest.mark.netns


def namespaces() -> str:
    return subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout


def test_each_host_reaches_the_other():
    with joined_hosts() as (near, far):
        for host, other in ((near, FAR_ADDRESS), (far, NEAR_ADDRESS)):
            subprocess.run(host.command("ping", "-c", "1", "-W", "5", other), check=True, capture_output=True)


def test_what_still_runs_there_ends_with_them_even_if_it_does_not_want_to():
    with joined_hosts() as (near, far):
        script = "trap '' TERM; echo here; while true; do read -t 60 line || :; done"
        stubborn = subprocess.Popen(
            near.command("bash", "-c", script), stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "here\n"
    assert stubborn.wait(timeout=10) == -9
    stubborn.stdout.close()
    assert stubborn.stdin is not None
    stubborn.stdin.close()
    assert near.namespace not in namespaces()
    assert far.namespace not in namespaces()


def test_what_is_half_made_is_taken_away(monkeypatch):
    monkeypatch.setattr("benchmarks.hosts.FAR_ADDRESS", "no address")
    with pytest.raises(RuntimeError, match="addr add"), joined_hosts():
        pass
    assert f"bridge-server-{os.getpid()}" not in namespaces()
    assert f"bridge-viewers-{os.getpid()}" not in namespaces()
