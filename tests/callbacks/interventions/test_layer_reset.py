"""What a reset of layers, or of the optimizer, leaves behind."""

from typing import Any

import pytest
import torch

from lightning_modules.initialisation import initialise
from tests.callbacks.interventions.arms import FROZEN, one, run
from tests.networks import SmallNet
from tests.runs import digest, state


def test_a_layer_reset_draws_the_chosen_layers_and_leaves_the_others() -> None:
    cli, plain = run(one("LayerReset", at=["11st"], last=1, to="initial"), FROZEN), run(FROZEN)
    fresh = SmallNet(1, 10)
    initialise(fresh, 0)
    for name, value in cli.model.network.named_parameters():
        expected = fresh.get_parameter(name) if name.startswith("head") else plain.model.network.get_parameter(name)
        assert torch.equal(value, expected), name


def test_a_reset_of_everything_is_a_fresh_start() -> None:
    everything = one("LayerReset", at=["11st"], layers=["*"], to="initial")
    cli, fresh = run(everything, FROZEN), SmallNet(1, 10)
    initialise(fresh, 0)
    for name, value in fresh.named_parameters():
        assert torch.equal(cli.model.network.get_parameter(name), value)
    assert int(cli.model.network.norm.num_batches_tracked) == 1


def test_a_fresh_draw_has_the_initial_distribution_and_another_value_each_time() -> None:
    drawn = [run(one("LayerReset", at=[at], layers=["conv"]), FROZEN).model.network.conv.weight for at in ("10st", "11st")]
    assert not torch.equal(*drawn)
    bound = 1 / 3  # of PyTorch's: 1 / sqrt(fan in), 3 x 3 of one channel
    assert drawn[1].abs().max() <= bound
    assert drawn[1].abs().max() > bound / 2


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_what_the_optimizer_remembers_goes_where_said_and_stays_elsewhere(optimizer: str) -> None:
    settings: dict[str, Any] = {"lr": 0.01, **({"momentum": 0.9} if optimizer == "SGD" else {})}
    model = {"optimizer": {"class_path": f"torch.optim.{optimizer}", "init_args": settings}}
    seen: dict[str, dict[str, str]] = {}
    for kind in ("reset", "keep"):
        cli = run(one("LayerReset", at=["11st"], last=1, optimizer_state=kind), {"class_path": "tests.probes.Peek"}, model=model)
        seen[kind] = next(callback for callback in cli.trainer.callbacks if type(callback).__name__ == "Peek").memory
    assert seen["keep"]["head.weight"] != seen["reset"]["head.weight"] == digest({})
    assert seen["keep"]["conv.weight"] == seen["reset"]["conv.weight"] != digest({})


def test_an_optimizer_reset_keeps_rates() -> None:
    cli, plain = run(one("OptimizerReset", at=["11st"])), run()
    assert state(cli)["schedulers"] == state(plain)["schedulers"]
    assert state(cli)["optimizer"] != state(plain)["optimizer"]
