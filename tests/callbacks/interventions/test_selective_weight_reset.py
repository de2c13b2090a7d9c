"""Single weights of low utility begin anew in a run."""

from functools import cache
from typing import Any

import pytest
from pytorch_lightning import Callback
from torch import Tensor

from callbacks import SelectiveWeightReset
from plasticity_lab.errors import UserError
from plasticity_lab.surgery import construct, redraw
from plasticity_lab.timing import Position, Time
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.callbacks.interventions.test_continual_backprop import of_kind
from tests.networks import SmallNet
from tests.runs import logged


class LastGradients(Callback):
    """Keeps the gradients of the 11th of 12 steps."""

    def __init__(self) -> None:
        self.gradients: dict[str, Tensor] = {}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if trainer.global_step == 10:
            self.gradients = {
                name: one.grad.clone() for name, one in pl_module.network.named_parameters()
            }


@cache
def before() -> dict[str, Tensor]:
    """Return what a run without it ends in."""
    return dict(run(FROZEN).model.network.state_dict())


def acted(**arguments: Any) -> Any:
    """Act just before the last of 12 steps, whose rate is zero: the end shows the act alone."""
    return run(
        intervention("SelectiveWeightReset", at=["11st"], **arguments),
        {"class_path": f"{__name__}.LastGradients"},
        FROZEN,
    )


@pytest.mark.parametrize("utility", ["magnitude", "gradient"])
def test_the_weights_of_lowest_utility_are_drawn_again(utility: str) -> None:
    finished = acted(factor=0.25, utility=utility)
    fresh = redraw(
        construct(SmallNet, 1, 10),
        ["conv", "norm", "head"],
        lambda name: (0, "SelectiveWeightReset", 2, 11, name),
    )
    total = 0
    for name, after in finished.model.network.named_parameters():
        worth = before()[name].abs()
        if utility == "gradient":
            worth = worth * of_kind(finished, "LastGradients").gradients[name].abs()
        count = int((after != before()[name]).sum())
        lowest = worth.flatten().argsort(stable=True)[: round(0.25 * worth.numel())]
        expected = before()[name].flatten().clone()
        expected[lowest] = fresh[name].flatten()[lowest]
        # Of 10 biases 2 or 3.
        if worth.numel() % 4 == 0:
            assert after.flatten().equal(expected), name
            total += len(lowest)
        else:
            assert count in (2, 3)
            total += count
    ((step, weights),) = logged(finished.place.directory)[
        "interventions/SelectiveWeightReset/weights"
    ]
    assert step == 11
    assert weights == total


def test_the_mean_of_the_initial_distribution() -> None:
    after = acted(factor=0.5, choice="threshold", to="mean").model.network.state_dict()
    for name, value in {"conv.weight": 0, "head.weight": 0, "norm.weight": 1}.items():
        worth = before()[name].abs()
        low = worth <= 0.5 * worth.mean()
        assert (after[name][low] == value).all()
        assert after[name][~low].equal(before()[name][~low])


def test_layers_are_those_chosen() -> None:
    after = acted(factor=1.0, layers=["head"]).model.network.state_dict()
    same = {name for name, value in after.items() if value.equal(before()[name])}
    assert same == {*before()} - {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": -1}, "factor: -1: set 0 or more"),
        ({"factor": 2}, r"factor: 2: set a share in \[0, 1\]"),
    ],
)
def test_a_factor_outside_its_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SelectiveWeightReset([], **arguments)


def test_gradients_are_watched_from_the_beginning_and_shared_with_no_other_run() -> None:
    """What it resets later depends on what it has seen, so that no epoch is like one without it."""
    start, later, at = Position(0, 0), Position(1, 4), [Time("2ep")]
    watching = SelectiveWeightReset(at=at, factor=0.1, utility="gradient")
    assert watching.active(None, start, 3) == "watches gradients"
    assert watching.active(start, later, 3) == "watches gradients"
    assert watching.active(later, Position(2, 8), 3) is True
    assert SelectiveWeightReset(at=at, factor=0.1).active(None, start, 3) is None
