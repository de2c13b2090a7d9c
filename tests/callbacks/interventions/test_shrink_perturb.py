"""Shrink and perturb."""

from typing import Any

import pytest
import torch
from torch import nn

from callbacks import ShrinkPerturb
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator, seeded_global_rng
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.surgery.shrink_perturb import shrink_perturb
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.networks import SmallNet
from tests.runs import state


def test_it_is_the_formula_of_the_paper() -> None:
    old, noise = torch.randn(3, 4), torch.randn(3, 4)
    parameter = nn.Parameter(old.clone())
    with torch.no_grad():
        shrink_perturb({"w": parameter}, {"w": noise}, 0.4, 0.1)
    assert torch.allclose(parameter, 0.4 * old + 0.1 * noise)


def shrunk(**arguments: Any) -> Any:
    """Act just before the last of 12 steps, whose rate is zero: the end shows the act alone."""
    return run(intervention("ShrinkPerturb", at=["11st"], **arguments), FROZEN)


def before() -> dict[str, torch.Tensor]:
    return dict(shrunk().model.network.state_dict())


def test_it_acts_on_every_parameter_with_a_fresh_initialisation() -> None:
    old, new = before(), shrunk(shrink=0.4, perturb=0.1).model.network
    fresh = construct(SmallNet, 1, 10)
    for name, layer in fresh.named_modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            with seeded_global_rng(0, "ShrinkPerturb", 2, 11, name):
                reset()
    for name, parameter in new.named_parameters():
        assert torch.allclose(
            parameter, 0.4 * old[name] + 0.1 * fresh.state_dict()[name], atol=1e-6
        ), name


def test_gaussian_noise_in_linear_and_convolutional_layers_alone_biases_included() -> None:
    old, new = (
        before(),
        shrunk(shrink=0.6, perturb=0.01, noise="gaussian", scope="linear").model.network,
    )
    for name, parameter in new.named_parameters():
        layer, part = name.rsplit(".", 1)
        noise = torch.randn(
            parameter.shape, generator=generator(0, "ShrinkPerturb", 2, 11, f"{layer}.{part}")
        )
        expected = old[name] if "norm" in layer else 0.6 * old[name] + 0.01 * noise
        assert torch.allclose(parameter, expected, atol=1e-6), name


def test_initial_noise_is_the_runs_own_beginning() -> None:
    new, initial = (
        shrunk(shrink=0.0, perturb=1.0, noise="initial").model.network,
        construct(SmallNet, 1, 10),
    )
    init_parameters(initial, 0)
    for name, parameter in initial.named_parameters():
        assert torch.equal(new.get_parameter(name), parameter), name


def test_nothing_left_of_the_old_is_a_new_network() -> None:
    renewal = intervention(
        "ShrinkPerturb",
        at=["0ep"],
        shrink=0.0,
        perturb=1.0,
        noise="initial",
        norm_statistics="reset",
    )
    assert state(run(renewal)) == state(run())


@pytest.mark.parametrize("option", ["norm_statistics", "optimizer_state"])
def test_statistics_and_optimizer_state_go_where_said(option: str) -> None:
    unchanged, reset = shrunk(shrink=0.5), shrunk(shrink=0.5, **{option: "reset"})
    norm = {
        mode: int(finished.model.network.norm.num_batches_tracked)
        for mode, finished in (("kept", unchanged), ("gone", reset))
    }
    assert norm == {"kept": 12, "gone": 1 if option == "norm_statistics" else 12}
    memory = run(
        intervention("ShrinkPerturb", at=["11st"], shrink=0.5, **{option: "reset"}),
        {"class_path": "tests.probes.Peek"},
        FROZEN,
    )
    peek = next(
        callback for callback in memory.trainer.callbacks if type(callback).__name__ == "Peek"
    )
    assert ({state_hash({})} == set(peek.memory.values())) is (option == "optimizer_state")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shrink": 1.5}, r"shrink: 1.5: set a factor in \[0, 1\]"),
        ({"perturb": -1}, "perturb: -1: set 0 or more"),
    ],
)
def test_factors_outside_their_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ShrinkPerturb([], **arguments)


def test_a_parameter_of_the_network_itself_and_a_shared_one_shrink_once() -> None:
    network = {"network": {"class_path": "tests.networks.TokenNet"}}
    old = run(FROZEN, model=network).model.network
    new = run(
        intervention("ShrinkPerturb", at=["11st"], shrink=0.5, noise="gaussian"),
        FROZEN,
        model=network,
    ).model.network
    for name, parameter in new.named_parameters():
        assert torch.equal(parameter, 0.5 * old.get_parameter(name)), name
