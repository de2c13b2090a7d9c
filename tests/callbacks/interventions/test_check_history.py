"""Whether an arm fits what had been done to the run that it resumes from."""

from typing import Any

import pytest
import torch

from plasticity_lab.analysis.measure import measure
from plasticity_lab.errors import UserError
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
                r"Rewind: at: \[9st\]: at epoch 1 \(step 4\) the checkpoint was trained without "
                r"Rewind\(to=1ep, .*\); what has passed cannot be changed: start a new run, or "
                r"set a time after epoch 1 \(step 7\)"
            ),
        ),
        (
            one("ShrinkPerturb", at=["1ep"], shrink=0.5),
            (
                r"ShrinkPerturb: at: \[1ep\]: at epoch 1 \(step 4\) the checkpoint was trained "
                r"without ShrinkPerturb\(shrink=0.5, .*; what has passed"
            ),
        ),
        (
            one("LearningRateFactor", levels={"1ep": 2.0}),
            (
                r"LearningRateFactor: levels: {1ep: 2.0}: at epoch 1 \(step 4\) the checkpoint was "
                "trained without LearningRateFactor; what has passed"
            ),
        ),
        (
            one("OptimizerReset", every="3st"),
            (
                r"OptimizerReset: every: 3st: at epoch 0 \(step 3\) the checkpoint was trained "
                "without OptimizerReset\\(what=all\\); what has passed"
            ),
        ),
        (
            one("NormRecalibration", every="2ep"),
            (
                r"NormRecalibration: every: 2ep: at epoch 1 \(step 4\) the checkpoint was trained "
                "without NormRecalibration; what has passed"
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


BLUR = {"class_path": "datamodules.Blur", "init_args": {"size": 4, "during": ["0ep", "2ep"]}}
NOISE = {"class_path": "datamodules.LabelNoise", "init_args": {"levels": {"0ep": 0.5}}}
FADING = {"class_path": "datamodules.SmoothTransition", "init_args": {"gamma": 0.5}}
GROWING = {
    "class_path": "datamodules.UniformGrowth",
    "init_args": {"counts": [40, 100], "at": ["1ep"]},
}


@pytest.mark.parametrize(
    ("trunk", "branch", "message"),
    [
        (
            one("OptimizerReset", every="1st"),
            one("OptimizerReset", at=["1st"]),
            r"OptimizerReset: at: \[1st\]: at epoch 0 \(step 2\) the checkpoint was trained with",
        ),
        (
            {"data": {"init_args": {"deficits": [BLUR, NOISE]}}},
            {"data": {"init_args": {"deficits": [NOISE, BLUR]}}},
            r"deficits: deficits/LabelNoise.*, deficits/Blur.*: at epoch 0 \(step 0\) the "
            "checkpoint had the order deficits/Blur.*, deficits/LabelNoise",
        ),
        (
            {"data": {"init_args": {"growth": FADING}}, "trainer": {"max_epochs": 4}},
            {"data": {"init_args": {"growth": FADING}}, "trainer": {"max_epochs": 5}},
            "SmoothTransition: .* trained with SmoothTransition.* at a length of 4 epochs, which",
        ),
        (
            one("WeightDecaySchedule", levels={"0ep": 0.1, "1ep": 0.2}),
            one("WeightDecaySchedule", levels={"0ep": 0.5, "1ep": 0.2}),
            (
                r"WeightDecaySchedule: levels: {0ep: 0.5, 1ep: 0.2}: at epoch 0 \(step 0\) the "
                "checkpoint was trained with WeightDecaySchedule at 0.1, which is at 0.5 here; "
                "what has passed cannot be changed: start a new run, or keep the checkpoint's "
                "levels: {0ep: 0.1, 1ep: 0.2} up to epoch 2"
            ),
        ),
        (
            one("WeightDecaySchedule", levels={"0ep": 0.1, "1ep": 0.2}),
            one("WeightDecaySchedule", levels={"0ep": 0.1, "1ep": 0.3, "5st": 0.2}),
            (
                r"at epoch 1 \(step 4\) the checkpoint was trained with WeightDecaySchedule at "
                "0.2, which is at 0.3 here"
            ),
        ),
        (
            one("OptimizerReset", at=["6st"]),
            one("OptimizerReset", at=["11st"]),
            (
                r"OptimizerReset: at: \[11st\]: at epoch 1 \(step 6\) the checkpoint was trained "
                r"with OptimizerReset\(what=all\); what has passed cannot be changed: start a "
                r"new run, or keep the checkpoint's at: \[6st\] up to epoch 2"
            ),
        ),
        (
            {**one("OptimizerReset", at=["6st"]), "data": {"init_args": {"growth": GROWING}}},
            {**one("OptimizerReset", at=["stages"]), "data": {"init_args": {"growth": GROWING}}},
            (
                r"OptimizerReset: at: \[stages\]: at epoch 1 \(step 2\) the checkpoint was trained "
                "without OptimizerReset"
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
        r"Rewind: at: \[75%\]: at epoch 2 \(step 8\) the checkpoint was trained without "
        r"Rewind.*, or keep the checkpoint's at: \[75%\] of 6 epochs",
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


@pytest.mark.parametrize(
    "acting",
    [one("ShrinkPerturb", at=["1ep"], shrink=0.5), one("ShrinkPerturb", every="1st", shrink=0.9)],
)
def test_an_act_is_done_once_also_if_a_checkpoint_comes_between_it_and_its_batch(
    acting: dict[str, Any],
) -> None:
    between = {"class_path": "tests.probes.SaveBetween"}
    callbacks = [*acting["trainer"]["callbacks+"], between]
    arguments = tiny({"trainer": {"callbacks+": callbacks}})
    whole = fit(*arguments)
    resumed = fit(*arguments, "--ckpt_path", "between.ckpt")
    assert resumed.trainer.global_step == 12
    assert state(resumed) == state(whole)


def test_a_checkpoint_of_an_earlier_version_is_not_gone_on_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = fit(*tiny(EVERY_EPOCH)).place.directory
    file = home / "checkpoints" / "epochendepoch=1.ckpt"
    saved = torch.load(file, weights_only=True)
    saved["callbacks"]["Clock"] = {"initial_seed": 0, "last": [1, 7, 0], "acts": []}
    torch.save(saved, file)
    message = "checkpoint: was written by an earlier version, whose history .*; start a new run"
    refused(["fit", *tiny(EVERY_EPOCH), "--ckpt_path", str(file)], message, capsys)
    norms = ["--trainer.callbacks+", "callbacks.NormBiases"]
    with pytest.raises(UserError, match=message):
        measure(file, [*norms, "--trainer.callbacks.init_args.every", "1ep"])
