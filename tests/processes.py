"""The command line as a process of its own, as users start it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.runs import REPOSITORY


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start `python train.py` in the working directory."""
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "train.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str, **environment: str) -> str:
    """Run `python train.py` to its end; return what it printed."""
    process = start(*arguments, **environment)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    return output


def run_directory(output: str) -> Path:
    """Find the run's directory in what a run printed."""
    return Path(
        next(line for line in output.splitlines() if line.startswith("run directory:")).split(
            maxsplit=2
        )[2]
    )
