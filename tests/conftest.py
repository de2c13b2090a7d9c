"""Every test runs in an empty folder with its own cache, environment and random streams."""

import os
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.layout_engine import ConstrainedLayoutEngine
from tensorboard.summary.writer import event_file_writer

from plasticity_lab.runs import manifest


def pytest_configure() -> None:
    torch.set_num_threads(1)
    # Readers take event files in the order of their names, which end in a count: "10" would come
    # before "9".
    event_file_writer._global_uid = event_file_writer.AtomicCounter(1_000_000)
    # Every run writes down the commit: four processes each, and thousands of runs.
    manifest._git = cache(manifest._git)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow and long tests unless asked for by `-m`, GPU tests where there is no GPU."""
    ways = {"long": "-m long", "slow": "-m 'slow or not slow'"}
    for item in items:
        mark = next((mark for mark in ways if mark in item.keywords), None)
        if mark and mark not in config.getoption("-m"):
            item.add_marker(pytest.mark.skip(reason=f"{mark}: run by {ways[mark]}"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def plain_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures without room made for labels, which takes longer than all else of them.

    For tests that measure everything many times; those of two ranks draw as users do.
    """
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda self, figure: None)


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "path", [*sys.path])  # a command adds the working directory
    environment = dict(os.environ)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    for name in set(os.environ) - set(environment):
        del os.environ[name]  # Lightning leaves PL_GLOBAL_SEED and the like
    os.environ.update(environment)
