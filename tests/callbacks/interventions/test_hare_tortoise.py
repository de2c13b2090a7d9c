"""Weights that return to their average, against the average's formula."""

from typing import Any

import pytest
import torch

from plasticity_lab.studies.state_hash import state_hash
from tests.callbacks.interventions.arms import intervention, run
from tests.callbacks.interventions.test_layer_reset import PEEK, remembered

DECAY = 0.8
AVERAGE = {
    "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
    "init_args": {"decay": DECAY},
}
RECORD = {"class_path": "tests.probes.BatchStarts"}


def test_the_hare_becomes_the_tortoise_which_goes_on_by_itself() -> None:
    finished = run(AVERAGE, RECORD, intervention("HareTortoise", every="5st"), RECORD)
    before, after = [
        callback.weights
        for callback in finished.trainer.callbacks
        if type(callback).__name__ == "BatchStarts"
    ]
    names = [name for name, value in before[0].items() if value.is_floating_point()]
    assert len(before) == 12
    slow = {name: before[1][name] for name in names}  # the first update copies
    for step in range(1, 12):
        if step > 1:
            slow = {name: DECAY * slow[name] + (1 - DECAY) * before[step][name] for name in names}
        for name in names:
            expected = slow[name] if step in (5, 10) else before[step][name]
            torch.testing.assert_close(after[step][name], expected, atol=1e-6, rtol=1e-5)
    # Statistics of batch norm are averaged, too.
    assert "norm.running_mean" in names
    assert not torch.equal(before[5]["norm.running_mean"], after[5]["norm.running_mean"])


def test_what_the_optimizer_holds_of_the_hare_is_kept() -> None:
    kept = remembered(run(AVERAGE, PEEK))
    assert state_hash({}) not in kept.values()
    assert remembered(run(AVERAGE, intervention("HareTortoise", at=["11st"]), PEEK)) == kept


def test_seven_hundred_steps_halve_the_distance() -> None:
    slow: Any = torch.optim.swa_utils.get_ema_avg_fn(0.999)  # type: ignore[no-untyped-call]
    value = torch.tensor(1.0, dtype=torch.float64)
    for _ in range(693):
        value = slow(value, torch.zeros_like(value), torch.tensor(1))
    assert float(value) == pytest.approx(0.49990, abs=1e-5)
