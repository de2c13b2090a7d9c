"""Diagnostics on checkpoints; the installed command is `plasticity-lab measure`."""

from plasticity_lab.analysis.measure import main

if __name__ == "__main__":
    raise SystemExit(main())
