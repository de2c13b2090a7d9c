"""The way back to an earlier time."""

from typing import Any

import pytest
import torch

from plasticity_lab.studies.state_hash import state_hash
from tests.callbacks.interventions.arms import FROZEN, intervention, run


def test_a_rewind_returns_to_the_state_at_its_time() -> None:
    checkpoints = {"class_path": "tests.probes.EpochEnd"}
    finished = run(
        intervention("Rewind", at=["11st"], to="1ep", layers=["head"]), FROZEN, checkpoints
    )
    then = torch.load(
        finished.place.directory / "checkpoints" / "epochendepoch=0.ckpt", weights_only=True
    )["state_dict"]
    plain = run(FROZEN)
    for name, value in finished.model.network.named_parameters():
        expected = (
            then[f"network.{name}"]
            if name.startswith("head")
            else plain.model.network.get_parameter(name)
        )
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_full_rewind_returns_optimizer_and_rates_too(optimizer: str) -> None:
    settings: dict[str, Any] = {"lr": 0.1, **({"momentum": 0.9} if optimizer == "SGD" else {})}
    model = {"optimizer": {"class_path": f"torch.optim.{optimizer}", "init_args": settings}}
    rewind = intervention(
        "Rewind", at=["11st"], to="1ep", optimizer_state="rewind", learning_rate="rewind"
    )
    finished = run(
        rewind,
        {"class_path": "tests.probes.Peek"},
        {"class_path": "tests.probes.EpochEnd"},
        model=model,
    )
    (peek,) = [
        callback for callback in finished.trainer.callbacks if type(callback).__name__ == "Peek"
    ]
    then = torch.load(
        finished.place.directory / "checkpoints" / "epochendepoch=0.ckpt", weights_only=True
    )["optimizer_states"][0]["state"]
    assert list(peek.memory.values()) == [state_hash(then[index]) for index in range(len(then))]
    assert finished.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.8**2), (
        "one epoch after that of epoch 1"
    )


@pytest.mark.filterwarnings("ignore:A `OneCycleLR` scheduler is using 'interval'")
def test_a_restart_and_a_rewind_take_the_momentum_that_a_schedule_moves() -> None:
    cycle = {
        "class_path": "torch.optim.lr_scheduler.OneCycleLR",
        "init_args": {"max_lr": 0.2, "total_steps": 9},
    }
    momenta = []
    for way in (
        [],
        [intervention("LearningRateRestart", at=["11st"])],
        [intervention("Rewind", at=["11st"], to="0ep", learning_rate="rewind")],
    ):
        finished = run(*way, {"class_path": "tests.probes.Peek"}, model={"lr_scheduler": cycle})
        momenta.append(
            next(
                callback
                for callback in finished.trainer.callbacks
                if type(callback).__name__ == "Peek"
            ).momentum
        )
    assert momenta[0] < 0.95
    assert momenta[1:] == [0.95, 0.95], "OneCycleLR begins there"
