"""What this process takes of its machine, read about once a second: cores, the relay's thread, memory (`proc(5)`)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from bridge.load import Measures

MEMORY = Path("/proc/meminfo")
_SIZES = re.compile(rb"^(MemTotal|MemAvailable): +(\d+) ", re.MULTILINE)


class Gauges:
    """Shares since the last look. `relay_cpu_us` is the CPU time of the relay's thread so far, None if unknown."""

    def __init__(self, loop_lag_s: Callable[[], float], relay_cpu_us: Callable[[], int | None]) -> None:
        self._loop_lag_s = loop_lag_s
        self._relay_cpu_us = relay_cpu_us
        self._cores = len(os.sched_getaffinity(0))
        self._looked_s = time.monotonic()
        self._process_s = time.process_time()
        self._relay_us = relay_cpu_us()
        self._relay_looked_s = self._looked_s
        self._relay_share = 0.0

    def read(self) -> Measures:
        """The measures since the last call."""
        now_s, process_s = time.monotonic(), time.process_time()
        elapsed_s = max(now_s - self._looked_s, 0.001)
        process_share = (process_s - self._process_s) / elapsed_s / self._cores
        self._looked_s, self._process_s = now_s, process_s
        return Measures(self._loop_lag_s(), process_share, self._relay(now_s), _memory_share())

    def _relay(self, now_s: float) -> float:
        """The relay reports about once a second, and not when we look."""
        relay_us = self._relay_cpu_us()
        if relay_us is not None and relay_us != self._relay_us:
            if self._relay_us is not None:
                elapsed_us = max(now_s - self._relay_looked_s, 0.001) * 1e6
                self._relay_share = (relay_us - self._relay_us) / elapsed_us
            self._relay_us, self._relay_looked_s = relay_us, now_s
        return self._relay_share


def _memory_share() -> float:
    """How much of the machine's memory cannot be had; 0 where that is not known."""
    try:
        sizes = dict(_SIZES.findall(MEMORY.read_bytes()))
        total, available = int(sizes[b"MemTotal"]), int(sizes[b"MemAvailable"])
    except (OSError, KeyError):
        return 0.0
    return 1 - available / max(total, 1)
