"""Frozen parameters stay what they are, and shared ones are changed once."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.callbacks.interventions.arms import FROZEN, intervention, run


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
