"""Train segments and print whose functions each has called.

`python -m tests.studies.executed TASKS.json`.
"""

import inspect
import json
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from plasticity_lab.project import CODE
from plasticity_lab.studies.segment import train_segment
from plasticity_lab.studies.task import Task


def executed(task: Task) -> list[str]:
    """Return the files of the project of which any function is called while a segment is trained.

    The bodies of modules and classes do not count: they are executed by any import of their
    package.
    """
    files: set[str] = set()

    # Traced, not profiled: a profiler is called for each built-in function, too, and takes longer.
    # As this returns None, it is called once a function, and for none of its lines.
    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            files.add(frame.f_code.co_filename)

    threading.settrace(note)
    sys.settrace(note)
    try:
        train_segment(task)
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return sorted(file for file in files if Path(file).is_relative_to(CODE))


if __name__ == "__main__":
    tasks = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([executed(Task(*task)) for task in tasks]))
