"""A figure's worth of runs: `python study.py run|plan|status|verify|gc|report STUDY.yaml…`."""

import signal

from plasticity_lab.studies.main import main

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… plan | head` ends quietly
    main()
