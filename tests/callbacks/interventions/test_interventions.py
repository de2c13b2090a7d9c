"""What each intervention does to a run, and when."""

from typing import Any

import pytest
import torch
from torch import nn

from callbacks.interventions.norm_recalibration import recalibrate
from lightning_modules.initialisation import initialise
from tests.networks import SmallNet
from tests.registry import VARIANTS
from tests.runs import digest, fit, logged, state, tiny
from tests.test_contracts import EVERY_KIND, check_every_resume


def one(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"callbacks.{name}", "init_args": arguments}


def run(*interventions: dict[str, Any], model: dict[str, Any] | None = None, **data: Any) -> Any:
    fragment = {"trainer": {"callbacks+": list(interventions)}, "data": {"init_args": data}, "model": {"init_args": model or {}}}
    return fit(*tiny(fragment))


FROZEN = one("LearningRateFactor", levels={"11st": 0.0})
"""Holds the weights still in the last of 12 steps."""


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


def test_weight_decay_follows_its_levels() -> None:
    cli = run(one("WeightDecaySchedule", levels={"1ep": 0.1, "7st": 0.0}))
    assert cli.trainer.optimizers[0].param_groups[0]["weight_decay"] == 0
    assert logged(cli.place.directory)["interventions/WeightDecaySchedule"] == [(4, pytest.approx(0.1)), (7, 0)]


def test_removing_weight_decay_is_a_run_that_had_it_until_then() -> None:
    """An independent reference: the same run, gone on with by a branch whose optimizer has none."""
    every = {"class_path": "tests.probes.EpochEnd"}
    schedule = run(one("WeightDecaySchedule", levels={"2ep": 0.0}), every)
    trunk = run(every)
    none = {"trainer": {"callbacks+": [every]}, "model": {"init_args": {"optimizer": NO_DECAY}}}
    file = trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt"
    branch = fit(*tiny(none), "--ckpt_path", str(file))
    assert state(branch)["weights and buffers"] == state(schedule)["weights and buffers"]


NO_DECAY = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}}


@pytest.mark.parametrize(
    "schedule",
    [
        {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.8}},
        {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR", "init_args": {"T_max": 3}},
        {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}},
    ],
)
def test_a_factor_multiplies_each_step_and_leaves_the_schedule_alone(schedule: dict[str, Any]) -> None:
    model, tenfold = (
        {"lr_scheduler": schedule},
        {"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0, "momentum": 0.9, "weight_decay": 1e-3}},
    )
    cli, plain = run(one("LearningRateFactor", levels={"1ep": 10.0}), model=model), run(model=model)
    assert state(cli)["schedulers"] == state(plain)["schedulers"]
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == plain.trainer.optimizers[0].param_groups[0]["lr"]
    always = run(one("LearningRateFactor", levels={"0ep": 10.0}), model=model)
    other = run(model={**model, "optimizer": tenfold})
    mine, reference = always.model.state_dict(), other.model.state_dict()
    assert all(torch.allclose(mine[name], reference[name], rtol=1e-4, atol=1e-5) for name in mine)


def test_a_restarted_schedule_begins_anew() -> None:
    cli = run(one("LearningRateRestart", at=["2ep"]))
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.8)
    assert cli.trainer.lr_scheduler_configs[0].scheduler.last_epoch == 1


def test_an_augmentation_schedule_is_right_from_the_first_batch() -> None:
    crop = {"class_path": "datamodules.CropFlip", "init_args": {"padding": 2}}
    schedule = run(one("AugmentationSchedule", levels={"0ep": 0, "1ep": 1, "2ep": 0}), augmentation=crop)
    window = run(augmentation=crop, augmentation_during=["1ep", "2ep"])
    assert state(schedule) == state(window)


def test_recalibrated_statistics_are_those_of_the_data() -> None:
    norm = nn.BatchNorm2d(2)
    network = nn.Sequential(norm, nn.Dropout(0.5)).train()
    batches = [torch.randn(8, 2, 3, 3) + 5 for _ in range(4)]
    recalibrate(network, batches)
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0), atol=1e-5)
    assert norm.running_var is not None
    assert torch.allclose(norm.running_var, torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0), atol=1e-5)
    assert network.training
    assert norm.momentum == 0.1


def test_recalibration_changes_nothing_but_statistics() -> None:
    cli, plain = run(one("NormRecalibration", every="1ep")), run()
    for name, value in cli.model.named_parameters():
        assert torch.equal(value, plain.model.get_parameter(name))
    assert state(cli)["optimizer"] == state(plain)["optimizer"]
    assert not torch.equal(cli.model.network.norm.running_mean, plain.model.network.norm.running_mean)


def test_a_rewind_returns_to_the_state_at_its_time() -> None:
    every = {"class_path": "tests.probes.EpochEnd"}
    cli = run(one("Rewind", at=["11st"], to="1ep", layers=["head"]), FROZEN, every)
    then = torch.load(cli.place.directory / "checkpoints" / "epochendepoch=0.ckpt", weights_only=True)["state_dict"]
    plain = run(FROZEN)
    for name, value in cli.model.network.named_parameters():
        expected = then[f"network.{name}"] if name.startswith("head") else plain.model.network.get_parameter(name)
        assert torch.equal(value, expected), name


def test_a_full_rewind_trains_on_as_then_on_other_data() -> None:
    cli = run(one("Rewind", at=["8st"], to="4st", optimizer_state="rewind", learning_rate="rewind"))
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.8**2), "one epoch after that of epoch 1"


def test_acts_happen_at_every_stage_once_and_after_the_data() -> None:
    growth = {"class_path": "datamodules.UniformGrowth", "init_args": {"counts": [40, 70, 100], "at": ["1ep", "2ep"]}}
    cli = run(one("ShrinkPerturb", at=["stages"], shrink=0.9), growth=growth)
    values = logged(cli.place.directory)
    assert values["interventions/ShrinkPerturb"] == [(2, 1), (5, 1)]
    assert values["data/stage"] == [(0, 0), (2, 1), (5, 2)]


def test_the_list_is_the_order() -> None:
    shrink, reset = one("ShrinkPerturb", at=["11st"], shrink=0.5), one("LayerReset", at=["11st"], layers=["head"], to="initial")
    first, second = run(shrink, reset, FROZEN), run(reset, shrink, FROZEN)
    ratio = second.model.network.head.weight / first.model.network.head.weight
    assert torch.allclose(ratio, torch.full_like(ratio, 0.5))


def test_parameters_and_groups_stay_the_same_objects() -> None:
    every = [
        one("LayerReset", at=["1ep"], layers=["*"]),
        one("ShrinkPerturb", at=["5st"], shrink=0.5, perturb=0.5),
        one("Rewind", at=["7st"], to="1ep"),
    ]
    cli = run(*every)
    group = cli.trainer.optimizers[0].param_groups
    assert len(group) == 1
    assert [id(parameter) for parameter in group[0]["params"]] == [id(parameter) for parameter in cli.model.parameters()]


def test_an_average_of_the_weights_follows_a_reset() -> None:
    average = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.999}}
    cli = run(one("LayerReset", at=["11st"], layers=["head"], to="initial"), FROZEN, average)
    fresh = SmallNet(1, 10)
    initialise(fresh, 0)
    network = cli.model.network  # holds the average at the end
    assert torch.allclose(network.head.weight, fresh.head.weight)
    assert not torch.allclose(network.conv.weight, run(FROZEN).model.network.conv.weight)


EVERYTHING = [
    one("ShrinkPerturb", at=["1ep"], shrink=0.6, perturb=0.01),
    one("LayerReset", at=["3st"], last=1),
    one("WeightDecaySchedule", levels={"1ep": 0.01}),
    one("LearningRateFactor", levels={"1ep": 2.0, "2ep": 1.0}),
    one("LearningRateRestart", at=["2ep"]),
    one("OptimizerReset", at=["2ep"]),
    one("NormRecalibration", every="1ep"),
    one("Rewind", at=["2ep"], to="1ep", last=1),
]
ALL: dict[str, Any] = {"trainer": {"callbacks+": EVERYTHING}}


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ("plateau", "no validation")])
def test_all_at_once_resume_bitwise_under(variant: str) -> None:
    check_every_resume(VARIANTS[variant], ALL, EVERY_KIND)


def test_all_at_once_run_compiled() -> None:
    fit(*tiny(ALL, {"model": {"init_args": {"compile": True}}}), "--trainer.max_epochs", "3")


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    first, again = run(*EVERYTHING), run(*EVERYTHING)
    assert state(first) == state(again)


def test_they_act_beside_lightnings_own_callbacks() -> None:
    monitor = {"class_path": "pytorch_lightning.callbacks.LearningRateMonitor", "init_args": {"logging_interval": "step"}}
    stopping = {"class_path": "pytorch_lightning.callbacks.EarlyStopping", "init_args": {"monitor": "val/loss", "patience": 9}}
    beside = {"trainer": {"callbacks+": [monitor, stopping], "log_every_n_steps": 1}}
    cli, plain = fit(*tiny(ALL, beside)), fit(*tiny(ALL))
    assert state(cli) == state(plain)
    rates = [round(value, 6) for _, value in logged(cli.place.directory)["lr-SGD"]]
    assert rates[3:5] == [0.1, 0.08], "the scheduled rate, which a factor leaves alone"
