"""Whether Linux has killed a process for lack of memory."""

from pathlib import Path

COUNTERS = Path("/proc/vmstat")


def memory_kills() -> int:
    """Return how many processes Linux has killed for lack of memory since this machine started.

    Those of containers and of jobs with a limit of their own are among them. 0 on other systems.
    """
    if not COUNTERS.exists():
        return 0
    for line in COUNTERS.read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0
