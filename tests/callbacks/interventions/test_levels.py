"""What holds from a moment on: weight decay, learning rate, augmentation."""

from typing import Any

import pytest
import torch

from tests.callbacks.interventions.arms import intervention, run
from tests.runs import fit, logged, state, tiny


def test_weight_decay_follows_its_levels() -> None:
    finished = run(intervention("WeightDecaySchedule", levels={"1ep": 0.1, "7st": 0.0}))
    assert finished.trainer.optimizers[0].param_groups[0]["weight_decay"] == 0
    assert logged(finished.place.directory)["interventions/WeightDecaySchedule"] == [
        (4, pytest.approx(0.1)),
        (7, 0),
        (8, 0),
    ]


def test_removing_weight_decay_is_a_run_that_had_it_until_then() -> None:
    """An independent reference: the same run, continued by a branch whose optimizer has none."""
    checkpoints = {"class_path": "tests.probes.EpochEnd"}
    schedule = run(intervention("WeightDecaySchedule", levels={"2ep": 0.0}), checkpoints)
    trunk = run(checkpoints)
    none = {
        "trainer": {"callbacks+": [checkpoints]},
        "model": {"init_args": {"optimizer": NO_DECAY}},
    }
    file = trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt"
    branch = fit(*tiny(none), "--ckpt_path", str(file))
    assert state(branch)["weights and buffers"] == state(schedule)["weights and buffers"]


NO_DECAY = {
    "class_path": "torch.optim.SGD",
    "init_args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0},
}


@pytest.mark.parametrize(
    "schedule",
    [
        {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.8}},
        pytest.param(
            {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR", "init_args": {"T_max": 3}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "class_path": "torch.optim.lr_scheduler.StepLR",
                "init_args": {"step_size": 1, "gamma": 0.5},
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_factor_multiplies_each_step_and_leaves_the_schedule_alone(
    schedule: dict[str, Any],
) -> None:
    model, tenfold = (
        {"lr_scheduler": schedule},
        {
            "class_path": "torch.optim.SGD",
            "init_args": {"lr": 1.0, "momentum": 0.9, "weight_decay": 1e-3},
        },
    )
    finished, plain = (
        run(intervention("LearningRateFactor", levels={"1ep": 10.0}), model=model),
        run(model=model),
    )
    assert state(finished)["schedulers"] == state(plain)["schedulers"]
    assert (
        finished.trainer.optimizers[0].param_groups[0]["lr"]
        == plain.trainer.optimizers[0].param_groups[0]["lr"]
    )
    always = run(intervention("LearningRateFactor", levels={"0ep": 10.0}), model=model)
    scaled = run(model={**model, "optimizer": tenfold})
    mine, reference = always.model.state_dict(), scaled.model.state_dict()
    assert all(torch.allclose(mine[name], reference[name], rtol=1e-4, atol=1e-5) for name in mine)


def test_a_restarted_schedule_begins_anew() -> None:
    finished = run(intervention("LearningRateRestart", at=["2ep"]))
    assert finished.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.8)
    assert finished.trainer.lr_scheduler_configs[0].scheduler.last_epoch == 1


def test_a_window_of_augmentation_is_two_levels() -> None:
    def crop(**times: Any) -> dict[str, Any]:
        return {"class_path": "datamodules.CropFlip", "init_args": {"padding": 2, **times}}

    levels = run(augmentation=crop(levels={"0ep": 0, "1ep": 1, "2ep": 0}))
    window = run(augmentation=crop(during=["1ep", "2ep"]))
    assert state(levels) == state(window)
