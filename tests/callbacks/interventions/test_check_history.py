"""Whether an arm fits what had been done to the run that it resumes from."""

from typing import Any

import pytest
import torch

from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests.callbacks.interventions.arms import FROZEN
from tests.callbacks.interventions.arms import intervention as entry
from tests.networks import SmallNet
from tests.runs import fit, state, tiny
from tests.test_bad_input import refused

FREEZE = {"trainer": {"callbacks+": [FROZEN]}}


def one(name: str, **arguments: Any) -> dict[str, Any]:
    return {"trainer": {"callbacks+": [entry(name, **arguments)]}}


EVERY_EPOCH = {"trainer": {"callbacks+": [{"class_path": "tests.probes.EpochEnd"}]}}


@pytest.mark.parametrize(
    ("past", "message"),
    [
        (
            one("Rewind", at=["9st"], to="1ep"),
            (
                "Rewind: to: 1ep: has passed at the checkpoint, which does not hold that state; "
                "start a new run"
            ),
        ),
        (
            one("ShrinkPerturb", at=["1ep"], shrink=0.5),
            (
                r"ShrinkPerturb: at: 1ep: is before the checkpoint \(epoch 1\), which did not "
                r"apply it; set"
            ),
        ),
        (
            one("LearningRateFactor", levels={"1ep": 2.0}),
            (
                "LearningRateFactor: 2.0 is active in this config at the checkpoint, which had "
                "None; what"
            ),
        ),
    ],
)
def test_a_moment_that_has_passed_is_refused(
    past: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = fit(*tiny(EVERY_EPOCH))
    file = str(trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt")
    refused(["fit", *tiny(past, EVERY_EPOCH), "--ckpt_path", file], message, capsys)


GROWING = {
    "class_path": "datamodules.UniformGrowth",
    "init_args": {"counts": [40, 100], "at": ["1ep"]},
}


@pytest.mark.parametrize(
    ("trunk", "branch", "message"),
    [
        (
            one("WeightDecaySchedule", levels={"0ep": 0.1, "1ep": 0.2}),
            one("WeightDecaySchedule", levels={"0ep": 0.5, "1ep": 0.2}),
            "WeightDecaySchedule: the checkpoint set 0.1 at epoch 0, but this config does not",
        ),
        (
            one("WeightDecaySchedule", levels={"0ep": 0.1, "1ep": 0.2}),
            one("WeightDecaySchedule", levels={"0ep": 0.1, "1ep": 0.3, "5st": 0.2}),
            "WeightDecaySchedule: the checkpoint set 0.2 at epoch 1, but this config does not",
        ),
        (
            one("OptimizerReset", at=["6st"]),
            one("OptimizerReset", at=["1ep"]),
            (
                "OptimizerReset: the checkpoint already applied it at epoch 1, but this config "
                "does not"
            ),
        ),
        (
            {**one("OptimizerReset", at=["6st"]), "data": {"init_args": {"growth": GROWING}}},
            {**one("OptimizerReset", at=["stages"]), "data": {"init_args": {"growth": GROWING}}},
            (
                "OptimizerReset: the checkpoint already applied it at epoch 2, but this config "
                "does not"
            ),
        ),
    ],
)
def test_another_past_is_refused(
    trunk: dict[str, Any], branch: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home = fit(*tiny(trunk, EVERY_EPOCH)).place.directory
    refused(
        [
            "fit",
            *tiny(branch, EVERY_EPOCH),
            "--ckpt_path",
            str(home / "checkpoints/epochendepoch=2.ckpt"),
        ],
        message,
        capsys,
    )


def test_a_rewind_whose_time_the_checkpoint_had_not_reached_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Half of 6 epochs has not passed at epoch 2; half of 4 has."""
    half = one("Rewind", at=["75%"], to="50%")
    home = fit(*tiny(half, EVERY_EPOCH), "--trainer.max_epochs", "6").place.directory
    file = str(home / "checkpoints" / "epochendepoch=2.ckpt")
    branch = ["fit", *tiny(half, EVERY_EPOCH), "--trainer.max_epochs", "4", "--ckpt_path", file]
    refused(
        branch,
        "Rewind: to: 50%: has passed at the checkpoint, which does not hold that state",
        capsys,
    )


def test_initial_values_are_those_of_the_seed_that_drew_them() -> None:
    trunk = fit(*tiny(EVERY_EPOCH))
    reset = one("LayerReset", at=["11st"], layers=["*"], to="initial")
    file = str(trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt")
    branch = fit(*tiny(reset, FREEZE, EVERY_EPOCH), "--seed_everything", "1", "--ckpt_path", file)
    fresh = construct(SmallNet, 1, 10)
    init_parameters(fresh, 0)
    assert all(
        torch.equal(branch.model.network.get_parameter(name), value)
        for name, value in fresh.named_parameters()
    )


def test_an_intervention_of_ones_own_may_change_its_attributes() -> None:
    momentum = {"class_path": "tests.probes.Momentum", "init_args": {"levels": {"1ep": 0.5}}}
    mine = tiny({"trainer": {"callbacks+": [momentum]}}, EVERY_EPOCH)
    whole = fit(*mine)
    before = state(whole)
    resumed = fit(
        *mine, "--ckpt_path", str(whole.place.directory / "checkpoints" / "epochendepoch=1.ckpt")
    )
    assert state(resumed) == before


def test_an_arm_resumes_from_another_arms_checkpoint() -> None:
    """One acts at 1ep and 2ep, the other at 1ep and 9st: alike until then."""
    first = fit(*tiny(one("ShrinkPerturb", at=["1ep", "2ep"], shrink=0.5), EVERY_EPOCH))
    other = tiny(one("ShrinkPerturb", at=["1ep", "9st"], shrink=0.5), EVERY_EPOCH)
    whole = state(fit(*other))
    for epoch in (0, 1):
        file = str(first.place.directory / "checkpoints" / f"epochendepoch={epoch}.ckpt")
        assert state(fit(*other, "--ckpt_path", file)) == whole
