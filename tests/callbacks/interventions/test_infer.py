"""Initial feature regularisation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks import InFeR
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import infer_penalty
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from tests.callbacks.interventions.arms import AUXILIARY, intervention, run
from tests.callbacks.interventions.steps import SMALL, first_step, step, task_alone, vector
from tests.runs import state, tiny

STRENGTH = 0.3
HEADS: dict[str, Any] = {
    "class_path": "lightning_modules.networks.AuxiliaryHeadsNetwork",
    "init_args": {"network": SMALL["class_path"], "options": SMALL["init_args"], "heads": 3},
}


def features(network: Any, inputs: Tensor) -> Tensor:
    inner = network.network
    hidden: Tensor = inner.norm(inner.conv(inputs)).relu().mean((2, 3))
    return hidden


def test_two_lines_of_the_formula() -> None:
    now, began = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    penalty = infer_penalty(now, began, 7.0)
    (slope,) = torch.autograd.grad(penalty, now)
    expected = sum((now[:, head] - 7 * began[:, head]).square().mean() for head in range(3))
    assert torch.allclose(penalty, torch.as_tensor(expected))
    assert torch.allclose(slope, 2 * (now.detach() - 7 * began) / 5)


@pytest.mark.parametrize(("accumulate", "sam"), [(1, False), (3, True)])
def test_a_step_is_one_of_loss_and_penalty(accumulate: int, sam: bool) -> None:
    """Of the heads, too."""
    acting = intervention("InFeR", levels={"0ep": STRENGTH}, scale=2.0)
    network, batches, ended = first_step(acting, accumulate, sam, network=HEADS)
    # Not a copy of it: its weights are what the step takes the gradient of.
    heads = network.auxiliary.weight.detach().clone(), network.auxiliary.bias.detach().clone()
    initial = {id(batch): features(network, batch.inputs).detach() for batch in batches}

    def loss(network: Any, batch: Any) -> Tensor:
        hidden = features(network, batch.inputs)
        moved = network.auxiliary(hidden) - 2 * F.linear(initial[id(batch)], *heads)
        penalty = moved.square().sum(1).mean()
        total: Tensor = task_alone(network, batch) + STRENGTH * penalty
        return total

    expected = step(network, batches, loss, sam)
    plain = step(network, batches, task_alone, sam)
    assert torch.allclose(ended, expected, atol=5e-6)
    assert (plain - expected).norm() > 100 * (ended - expected).norm(), "the gradient is there"
    assert not torch.allclose(plain[:15], ended[:15]), "the heads are trained"


def test_twelve_steps_are_those_of_a_plain_loop() -> None:
    """Of another network, with momentum, and weight decay of all parameters."""
    wrapped = {
        **HEADS,
        "init_args": {
            "network": "lightning_modules.networks.MLP",
            "options": {"widths": [20], "norm": "none"},
        },
    }
    sgd: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}
    acting = intervention("InFeR", levels={"0ep": 0.1}, scale=10.0)
    network, batches, ended = first_step(acting, steps=12, network=wrapped, optimizer=sgd)

    linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
    heads, hidden, head = linear
    weights = [value.detach().clone() for value in network.parameters()]
    trained = [value.clone().requires_grad_() for value in weights]

    def outputs(values: list[Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
        last = F.linear(inputs.flatten(1), values[2], values[3]).relu()
        return F.linear(last, values[0], values[1]), F.linear(last, values[4], values[5])

    optimizer = torch.optim.SGD(trained, **sgd)
    for number, batch in enumerate(batches):
        # The run's rate falls after each epoch, of four steps.
        optimizer.param_groups[0]["lr"] = 0.01 * 0.8 ** (number // 4)
        given, logits = outputs(trained, batch.inputs)
        targets = 10.0 * outputs(weights, batch.inputs)[0]
        penalty = (given - targets).pow(2).sum(1).mean()
        optimizer.zero_grad()
        loss = F.cross_entropy(logits, batch.targets) + 0.1 * penalty
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    assert [part.out_features for part in (heads, hidden, head)] == [10, 20, 10]
    assert torch.allclose(ended, vector(nn.ParameterList(trained)), atol=1e-6)
    assert not torch.allclose(vector(network)[:200], ended[:200], atol=0.05), "heads have moved"


def test_without_a_strength_nothing_is_changed() -> None:
    """In comparison with the same network; heads have a gradient of 0, and decay."""
    acting = intervention("InFeR", levels={"0ep": 0.0})
    without, with_it = run(model={"network": AUXILIARY}), run(acting, model={"network": AUXILIARY})
    assert state(without) == state(with_it)


def test_with_a_scale_of_one_there_is_nothing_to_hold_back_at_first() -> None:
    """With the same dropout in both networks."""
    penalties: list[float] = []

    class Recorded(InFeR):
        def penalty(self, module: Any, batch: Any, outputs: Tensor) -> Tensor:
            penalty = super().penalty(module, batch, outputs)
            penalties.append(float(penalty.detach()))
            return penalty

    settings = {"model": {"init_args": {"network": AUXILIARY}}, "trainer": {"max_epochs": 1}}
    finished = build(parse(["fit", *tiny(settings)]), extra=[Recorded({"0ep": 0.1}, scale=1.0)])
    finished.fit()
    assert penalties[0] == pytest.approx(0, abs=1e-10)
    assert penalties[-1] > 1e-6


def test_heads_come_near_their_targets() -> None:
    def distance(strength: float) -> float:
        acting = intervention("InFeR", levels={"0ep": strength}, scale=3.0)
        network, batches, _ = first_step(acting, network=HEADS)
        ended = run(acting, model={"network": HEADS}).model.network.cpu().train()
        given, began = (
            one.auxiliary(features(one, batches[0].inputs)).detach() for one in (ended, network)
        )
        return float(infer_penalty(given, began, 3.0))

    assert distance(1.0) < distance(0.0) / 4


def test_scales_out_of_range() -> None:
    with pytest.raises(UserError, match="scale: 0: set a number above 0; the paper's is 100"):
        InFeR({"0ep": 0.1}, scale=0)
