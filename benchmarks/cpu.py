"""What threads and processes of this machine have used of it, in nanoseconds, and where they run."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED of linux/posix-timers.h: all threads of a process, those that have ended, too."""


def thread_of(name: str, timeout_s: float = 5.0) -> int:
    """The id of this process's thread of that name. Raises RuntimeError if there is none."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has just ended
                if (thread / "comm").read_text().strip() == name:
                    return int(thread.name)
        time.sleep(0.01)  # a thread gives itself its name after it has begun
    raise RuntimeError(f"no thread is called {name}")


def thread_cpu_s(pid: int, thread: int) -> float:
    """proc(5), /proc/PID/task/TID/schedstat."""
    return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9


def process_cpu_s(pid: int) -> float:
    """What user and system time of /proc/PID/stat add up to, finer (clock_getcpuclockid(3)); children are not in it."""
    return time.clock_gettime(~pid << 3 | _PROCESS_CLOCK)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    known = [pid]
    for parent in known:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                known += [int(child) for child in thread.read_text().split()]
    return known


def named_thread_cpu_s(pid: int, name: str) -> float:
    """Of all threads of a process with that name."""
    total_s = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if (thread / "comm").read_text().strip() == name:
                total_s += thread_cpu_s(pid, int(thread.name))
    return total_s


def machine_cpu_s() -> float:
    """Of everything: all that is not idleness or waiting for disks (proc(5), /proc/stat)."""
    user, nice, system, _, _, *others = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(int(ticks) for ticks in (user, nice, system, *others)) / os.sysconf("SC_CLK_TCK")


def run_only_on(thread: int, core: int) -> None:
    os.sched_setaffinity(thread, {core})


def prefer(thread: int) -> bool:
    """Lets a thread run before ordinary work, so that what else the machine does is not taken for its slowness."""
    try:
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    return True


def model() -> str:
    """What the machine calls its processor, and how many cores it has."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else "unknown processor"
    return f"{name}, {os.cpu_count()} cores"
