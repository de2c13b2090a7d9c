"""The installed command `plasticity-lab`: `train.py` and, by subcommand, `study` and `measure`."""

import signal
import sys

from plasticity_lab.project import hidden


def main() -> None:
    """Run the command line."""
    if line := hidden():
        print(f"plasticity-lab: error: {line}", file=sys.stderr)
        raise SystemExit(2)
    if sys.argv[1:2] == ["study"]:
        from plasticity_lab.studies.main import main as study

        # So that `… plan | head` ends quietly.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        study(sys.argv[2:])
    elif sys.argv[1:2] == ["measure"]:
        from plasticity_lab.analysis.measure import main as measure

        measure(sys.argv[2:])
    else:
        from plasticity_lab.runs.main import main as train

        train(sys.argv[1:])
