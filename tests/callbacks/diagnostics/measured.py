"""Tiny runs with one diagnostic."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from callbacks.diagnostics.base import Diagnostic
from callbacks.diagnostics.run_look import run_look
from callbacks.probe import Probe, training_probe
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics
from tests.runs import fit, logged, tiny


def fragment(path: str, **arguments: Any) -> dict[str, Any]:
    node = {
        "class_path": f"callbacks.diagnostics.{path}",
        "init_args": {"every": "1ep", **arguments},
    }
    return {"trainer": {"callbacks+": [node]}}


def run(path: str, **arguments: Any) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    """Return a run of 12 steps with a diagnostic measured after every epoch, and what it logged."""
    finished = fit(*tiny(fragment(path, **arguments)))
    values = {
        tag: value
        for tag, value in logged(finished.place.directory).items()
        if tag.startswith("diagnostics/")
    }
    assert values
    assert all([step for step, _ in value] == [0, 3, 7, 11] for value in values.values())
    return finished, {tag.removeprefix("diagnostics/"): value for tag, value in values.items()}


def probe(finished: Any, examples: int) -> Probe:
    """Return the probe of a run, without deficits."""
    return training_probe(finished.data, examples, False, finished.data.now)


@contextmanager
def as_measured(finished: Any, examples: int) -> Iterator[tuple[nn.Module, Probe]]:
    """Give a run's network as a diagnostic sees it, with statistics of its probe, and the probe."""
    chosen = probe(finished, examples)
    with preserve_state(finished.model):
        estimate_norm_statistics(finished.model.network, chosen.inputs)
        yield finished.model.network, chosen


def end(finished: Any) -> tuple[nn.Module, Probe]:
    """Return the trained network as it is measured, and its probe of all 100 examples.

    Batch norm has the statistics of that probe.
    """
    examples = probe(finished, 1000)
    estimate_norm_statistics(finished.model.network.eval(), examples.inputs)
    return finished.model.network, examples


def diagnostic(finished: Any) -> Any:
    """Return the diagnostic of a run."""
    callbacks: list[Any] = finished.trainer.callbacks
    (callback,) = [callback for callback in callbacks if isinstance(callback, Diagnostic)]
    return callback


def check_invisible(finished: Any, callback: Diagnostic) -> None:
    """A measurement leaves no hook, no gradient and no value changed, and draws nothing."""
    module, examples = finished.model, probe(finished, 1000)
    for parameter in module.parameters():
        parameter.grad = None
    before, stream = (
        {name: value.clone() for name, value in module.state_dict().items()},
        torch.get_rng_state(),
    )
    with preserve_state(module):
        callback.measure(run_look(finished.trainer, module, examples))
        assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def last(values: dict[str, list[tuple[int, float]]]) -> dict[str, Any]:
    """Return the last value of each tag, to be compared in single precision."""
    return {tag: pytest.approx(value[-1][1], rel=1e-6, abs=1e-7) for tag, value in values.items()}
