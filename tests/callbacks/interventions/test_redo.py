"""Dormant units recycled."""

from typing import Any

import pytest
import torch

from callbacks import ReDo
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import dormant
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.runs import BRIEF, fit, logged, tiny
from tests.test_bad_input import refused

NETWORK: dict[str, Any] = {
    "network": {
        "class_path": "lightning_modules.networks.MLP",
        "init_args": {"widths": [12, 8], "norm": "none"},
    },
    "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}},
}


def recycled(**arguments: Any) -> Any:
    """Act just before the last of 12 steps, whose rate is zero: the end shows the act alone."""
    return run(intervention("ReDo", at=["11st"], **arguments), FROZEN, model=NETWORK)


def test_which_units_are_dormant() -> None:
    activity = torch.tensor([[1, 0, 0.1, 2], [3, 0, 0, 2]])
    assert dormant(activity, 0.1).tolist() == [False, True, True, False]
    assert dormant(activity, 0.0).tolist() == [False, True, False, False]


def test_it_recycles_units_and_says_how_many() -> None:
    before = run(FROZEN, model=NETWORK).model.network.state_dict()
    finished = recycled(tau=0.9)
    after = finished.model.network.state_dict()
    total = 0
    values = logged(finished.place.directory)
    for layer, consumer in {"hidden1.linear": "hidden2.linear", "hidden2.linear": "head"}.items():
        cut = (after[f"{consumer}.weight"] == 0).all(0)
        changed = (after[f"{layer}.weight"] != before[f"{layer}.weight"]).sum(1)
        assert 0 < cut.sum() < len(cut)
        assert (changed[cut] > 0).all()
        assert values[f"interventions/ReDo/units/{layer}"] == [(11, float(cut.sum()))]
        total += int(cut.sum())
    assert values["interventions/ReDo/units"] == [(11, float(total))]
    assert values["interventions/ReDo"] == [(11, 1.0)]
    kept = (after["head.weight"] != 0).any(0)
    assert after["head.weight"][:, kept].equal(before["head.weight"][:, kept])
    assert after["head.bias"].equal(before["head.bias"])


def test_double_precision_is_that_of_its_examples() -> None:
    redo = intervention("ReDo", at=["2st"], tau=0.9)
    finished = fit(*tiny(BRIEF, {"trainer": {"precision": "64-true", "callbacks+": [redo]}}))
    assert logged(finished.place.directory)["interventions/ReDo"] == [(2, 1.0)]


def test_it_says_so_where_no_unit_is_dormant() -> None:
    """Batch norm keeps them alive; that nothing else is changed is a contract."""
    measured = run(intervention("ReDo", every="2st", tau=0.0))
    counts = logged(measured.place.directory)["interventions/ReDo/units"]
    assert [value for _, value in counts] == [0.0] * 5


@pytest.mark.parametrize(("choice", "count"), [("keep", 12.0), ("reset", 1.0)])
def test_step_counts_are_of_whole_parameters(choice: str, count: float) -> None:
    finished = recycled(tau=0.9, step_counts=choice, bias="zero")
    network, optimizer = finished.model.network, finished.trainer.optimizers[0]
    assert optimizer.state[network.head.weight]["step"] == count
    assert optimizer.state[network.head.bias]["step"] == 12
    assert (network.hidden2.linear.bias == 0).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau": -1}, "tau: -1: set 0 or more"),
        ({"examples": 1}, "examples: 1: set 2 or more"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReDo([], **arguments)


@pytest.mark.parametrize(
    ("network", "layers", "message"),
    [
        (
            {"class_path": "lightning_modules.networks.Linear"},
            None,
            "ReDo: network: Linear: has no layer whose units can be recycled "
            r"\(head: its units reach the output of the network\)",
        ),
        (
            NETWORK["network"],
            ["head"],
            "ReDo: layers: head: cannot be recycled: its units reach the output of the network; "
            "choose among hidden1.linear",
        ),
    ],
)
def test_what_cannot_be_recycled_is_refused_before_training(
    network: dict[str, Any],
    layers: list[str] | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fragment = {
        "trainer": {"callbacks+": [intervention("ReDo", every="1ep", layers=layers)]},
        "model": {"init_args": {"network": network}},
    }
    refused(["fit", *tiny(fragment)], message, capsys)
