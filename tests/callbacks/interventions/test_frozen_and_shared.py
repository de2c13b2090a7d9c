"""Frozen parameters stay what they are, and shared ones are changed once."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.probes import BatchStarts


class FrozenNet(nn.Module):
    """Two layers that share their weight, and one that is not trained."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(256 * in_channels, 12)
        self.second, self.third = nn.Linear(12, 12), nn.Linear(12, 12)
        self.third.weight = self.second.weight
        self.still = nn.Linear(12, 12).requires_grad_(False)
        self.head = nn.Linear(12, num_classes)
        self.blocks = ("first", "second", "third", "still", "head")

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        for layer in (self.second, self.third, self.still):
            x = layer(x).relu()
        logits: Tensor = self.head(x)
        return logits


MODEL = {"network": {"class_path": f"{__name__}.FrozenNet"}}
ACTING: list[dict[str, Any]] = [
    intervention("DASH", at=["11st"]),
    intervention("FIRE", at=["11st"]),
    intervention("PartialReset", at=["11st"], share=0.5),
    intervention("SelectiveWeightReset", at=["11st"], factor=0.5, utility="magnitude"),
    intervention("ShrinkPerturb", at=["11st"], shrink=0.5, perturb=0.1),
    intervention("StepwiseShrinkPerturb", levels={"11st": 0.1}),
]


@pytest.mark.parametrize("acting", ACTING, ids=lambda node: node["class_path"])
def test_frozen_stays_and_shared_changes_once(acting: dict[str, Any]) -> None:
    before = run(FROZEN, model=MODEL).model.network.state_dict()
    after = run(acting, FROZEN, model=MODEL).model.network.state_dict()
    for name in ("still.weight", "still.bias"):
        assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["second.weight"], after["second.weight"])
    assert torch.equal(after["second.weight"], after["third.weight"])
    if acting["class_path"].endswith(("PartialReset", "SelectiveWeightReset")):
        kept = (before["second.weight"] == after["second.weight"]).float().mean()
        assert 0.3 < float(kept) < 0.7


class Doubled(Callback):
    """Gives a frozen layer another norm than it began with."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with torch.no_grad():
            pl_module.get_parameter("network.still.weight").mul_(2)


def test_frozen_weights_are_not_projected() -> None:
    doubled = {"class_path": f"{__name__}.Doubled"}
    projected = intervention("NormaliseAndProject", levels={"0ep": 1})
    free = run(doubled, model=MODEL).model.network.state_dict()
    held = run(doubled, projected, model=MODEL).model.network.state_dict()
    assert torch.equal(free["still.weight"], held["still.weight"])
    assert not torch.equal(free["first.weight"], held["first.weight"])


def test_frozen_weights_do_not_return_to_their_average() -> None:
    average = {
        "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
        "init_args": {"decay": 0.9},
    }
    record = {"class_path": "tests.probes.BatchStarts"}
    run_of_all = run(average, intervention("HareTortoise", at=["9st"]), record, model=MODEL)
    weights = next(
        part.weights for part in run_of_all.trainer.callbacks if isinstance(part, BatchStarts)
    )
    assert torch.equal(weights[9]["still.weight"], weights[0]["still.weight"])
    assert not torch.equal(weights[9]["first.weight"], weights[8]["first.weight"])
