"""Weights that are drawn again in part, in a run."""

from typing import Any

import torch
from torch import Tensor

from tests.callbacks.interventions.arms import intervention, run
from tests.probes import BatchStarts

RECORD = {"class_path": "tests.probes.BatchStarts"}
WEIGHTS = ("conv.weight", "head.weight")


def changed(**arguments: Any) -> list[dict[str, Tensor]]:
    """Return which weights were drawn again at each of two moments, and check all others."""
    reset = intervention("PartialReset", at=["4st", "9st"], **arguments)
    finished = run(RECORD, reset, RECORD)
    before, after = [
        callback.weights
        for callback in finished.trainer.callbacks
        if isinstance(callback, BatchStarts)
    ]
    for step in (4, 9):
        for name, value in after[step].items():
            assert name in WEIGHTS or torch.equal(value, before[step][name]), name
    return [{name: after[step][name] != before[step][name] for name in WEIGHTS} for step in (4, 9)]


def test_a_fixed_subset_is_the_same_each_time_and_another_draw() -> None:
    first, second = changed(kept="random", share=0.5)
    for name in WEIGHTS:
        assert torch.equal(first[name], second[name]), name
        assert 0.2 < float(first[name].float().mean()) < 0.8


def test_a_random_subset_is_another_each_time() -> None:
    first, second = changed(kept="random each time", share=0.5)
    assert not any(torch.equal(first[name], second[name]) for name in WEIGHTS)


def test_leading_units_are_kept_with_all_inputs_and_outputs_of_the_network() -> None:
    for drawn in changed(kept="leading", share=0.5):
        # Four kernels of grey images, and ten classes of four units.
        kept = ~drawn["conv.weight"].flatten(1).all(1)
        assert kept.tolist() == [True, True, False, False]
        assert not drawn["head.weight"][:, :2].any()
        assert bool(drawn["head.weight"][:, 2:].all())


def test_the_smallest_of_each_layer_are_drawn_again() -> None:
    for drawn in changed(kept="largest", share=0.75):
        assert int(drawn["conv.weight"].sum()) == 9
        assert int(drawn["head.weight"].sum()) == 10
