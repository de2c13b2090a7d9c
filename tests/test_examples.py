"""Examples in docstrings run as they are written, in a plain loop of torch."""

import doctest
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

import callbacks
from lightning_modules.objectives import Classification
from plasticity_lab import measurements, surgery
from plasticity_lab.timing import Time

FUNCTIONS = [
    pytest.param(package, name, id=f"{package.__name__.rpartition('.')[2]}.{name}")
    for package in (measurements, surgery)
    for name in package.__all__
    if callable(getattr(package, name))
]
RESULTS = {
    "Covariance",
    "Dual",
    "Eigenpairs",
    "Episodes",
    "InfiniteKernels",
    "InfiniteReference",
    "Matches",
    "Nodes",
    "Predictive",
    "Regularised",
    "Site",
    "Steps",
    "TaughtLayer",
    "Trace",
    "Tridiagonal",
    "UnitTrace",
    "UnitUtility",
    "Units",
}
"""What functions return or take, which they show."""


@pytest.mark.parametrize(("package", "name"), FUNCTIONS)
def test_the_example_of_a_public_function_runs(package: Any, name: str) -> None:
    namespace = {
        "torch": torch,
        "nn": nn,
        **{key: getattr(package, key) for key in package.__all__},
    }
    tests = doctest.DocTestFinder(recurse=False).find(getattr(package, name), name, globs=namespace)
    examples = [example for test in tests for example in test.examples]
    assert examples or name in RESULTS, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    torch.manual_seed(0)
    for test in tests:
        output: list[str] = []
        runner.run(test, out=output.append)
        assert not runner.failures, "".join(output)


def test_a_look_may_be_built_by_hand() -> None:
    namespace = {"torch": torch, "nn": nn, "Time": Time, "Classification": Classification}
    namespace |= {name: getattr(callbacks, name) for name in callbacks.__all__}
    (test,) = doctest.DocTestFinder(recurse=False).find(callbacks.Look, "Look", globs=namespace)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)
    assert test.examples


def test_measurements_and_surgery_need_no_lightning() -> None:
    script = (
        "import sys, plasticity_lab.measurements, plasticity_lab.surgery\n"
        "print('pytorch_lightning' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
