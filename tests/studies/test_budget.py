"""How runs spend their learning rate, against sums by hand."""

from typing import Any

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies.arm_differences import described
from plasticity_lab.studies.arms import arms
from plasticity_lab.studies.budget import budget, decay_sum, lines, share_after
from plasticity_lab.studies.budget_schedule import scheduled
from plasticity_lab.studies.dry_run import build
from tests.studies.small import acting, blurred, small


def exponential(gamma: float, epochs: int, rate: float = 1.0, steps: int = 1) -> list[float]:
    return [rate * gamma**epoch for epoch in range(epochs) for _ in range(steps)]


@pytest.mark.parametrize(
    ("gamma", "epochs", "switch", "share"),
    [
        (0.97, 200, 100, 0.97**100 / (1 + 0.97**100)),  # of a geometric sum
        (0.97, 200, 100, 0.045),  # as Golatkar et al. train
        (0.95, 40, 20, 0.264),
        (0.97, 40, 20, 0.352),
        (1.0, 10, 4, 0.6),
        (1.0, 10, 0, 1.0),
        (1.0, 10, 10, 0.0),
    ],
)
def test_the_share_after_a_switch(gamma: float, epochs: int, switch: int, share: float) -> None:
    assert share_after(exponential(gamma, epochs), switch) == pytest.approx(share, abs=5e-4)


def test_a_rate_of_zero_has_no_share() -> None:
    assert share_after([0.0, 0.0], 1) == 0


def test_the_sum_of_decay_and_rate() -> None:
    paper = exponential(0.97, 200, rate=0.1, steps=391)
    assert decay_sum(paper, [5e-4] * len(paper)) == pytest.approx(0.650, abs=5e-4)
    digits = exponential(0.95, 40, rate=0.05, steps=10)
    assert decay_sum(digits, [0.02] * len(digits)) == pytest.approx(0.174, abs=5e-4)
    removed = [0.02] * 200 + [0.0] * 200
    assert decay_sum(digits, removed) == pytest.approx(0.174 * (1 - 0.264), abs=5e-4)


def test_switches_of_one_step_share_a_line() -> None:
    spent = budget([1.0, 1.0, 2.0], None, {"a": 2, "b": 1, "c": 2})
    assert lines(spent, 3) == [
        "3 epochs, 3 steps; learning rate 1 to 2",
        "75.0% of the rate's sum after step 1: b",
        "50.0% of the rate's sum after step 2: a, c",
    ]


RATE, GAMMA, STEPS, DECAY = 0.1, 0.8, 4, 1e-3  # of the tiny run, whose epochs have four steps


def played(*keys: dict[str, Any]) -> Any:
    arm: dict[str, Any] = {"trainer.callbacks+": []}
    for part in keys:
        arm |= {
            **part,
            "trainer.callbacks+": [*arm["trainer.callbacks+"], *part.get("trainer.callbacks+", [])],
        }
    finished = build(small({"one": arm}, seeds=1), 0)
    return scheduled(finished.trainer, finished.model)


def test_a_run_is_played_without_training() -> None:
    spent = played(
        {"trainer.max_epochs": 4},
        acting("WeightDecaySchedule", levels={"2ep": 0.5}),
        acting("OptimizerReset", at=["50%"]),
    )
    rates = exponential(GAMMA, 4, RATE, STEPS)
    assert (spent.steps, spent.first) == (16, RATE)
    assert spent.last == pytest.approx(rates[-1])
    assert spent.after == {
        "WeightDecaySchedule 2ep": (8, pytest.approx(sum(rates[8:]) / sum(rates))),
        "OptimizerReset 50%": (8, pytest.approx(sum(rates[8:]) / sum(rates))),
    }
    assert spent.decay == pytest.approx(DECAY * sum(rates[:8]) + 0.5 * sum(rates[8:]))


def test_interventions_on_the_rate_count() -> None:
    epochs = {"trainer.max_epochs": 4}
    restarted = played(epochs, acting("LearningRateRestart", at=["2ep"]))
    assert restarted.last == pytest.approx(RATE * GAMMA)
    assert restarted.after["LearningRateRestart 2ep"][1] == pytest.approx(0.5)
    assert played(epochs, acting("LearningRateFactor", levels={"6st": 10})).after[
        "LearningRateFactor 6st"
    ] == (
        6,
        pytest.approx(
            1 - (4 + 2 * GAMMA) / (4 + 2 * GAMMA + 10 * (2 * GAMMA + 4 * GAMMA**2 + 4 * GAMMA**3))
        ),
    )
    rewound = played(epochs, acting("Rewind", at=["3ep"], to="1ep", learning_rate="rewind"))
    assert rewound.last == pytest.approx(RATE * GAMMA)


def test_windows_and_stages_are_switches() -> None:
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "at": ["50%"]},
    }
    spent = played(blurred(2), {"data.init_args.growth": growth})
    assert {name: step for name, (step, _) in spent.after.items()} == {
        "Blur ends 2ep": 4,
        "data stage 1": 4,
    }
    assert spent.steps == 2 * 2 + 2 * 4


def test_what_only_shows_in_training_is_not_known() -> None:
    plateau = {
        "class_path": "pytorch_lightning.cli.ReduceLROnPlateau",
        "init_args": {"monitor": "train/loss"},
    }
    with pytest.raises(UserError, match="the schedule waits for the loss"):
        played({"model.init_args.lr_scheduler": plateau})
    until = {"fractions": [0.5, 1.0], "until": {"train_accuracy": 0.9, "at_most": "2ep"}}
    with pytest.raises(UserError, match="stages wait for the network"):
        played(
            {
                "data.init_args.growth": {
                    "class_path": "datamodules.UniformGrowth",
                    "init_args": until,
                }
            }
        )


def test_arms_are_set_against_the_control() -> None:
    keys = {
        "short": {"trainer.max_epochs": 1},
        "long": {**acting("LayerReset", at=["1ep"], last=1), "trainer.max_epochs": 2},
    }
    work = small(keys, seeds=2, report={"control": "long"})
    assert [(arm.name, arm.run, arm.control) for arm in arms(work)] == [
        ("short", 0, 2),
        ("long", 2, None),
    ]
    text = list(described(work))
    assert text[0] == "short, against long:"
    assert "    trainer.max_epochs: 2 -> 1" in text[:4]
    assert any(
        line.startswith("    trainer.callbacks.LayerReset: LayerReset(at=[") for line in text[:4]
    )
    assert text[3].startswith(
        "    1 epochs, 4 steps; learning rate 0.1 to 0.1; sum of weight decay x rate 0.0004"
    )
    assert text[4:] == [
        "long:",
        "    2 epochs, 8 steps; learning rate 0.1 to 0.08; sum of weight decay x rate 0.00072",
        "    44.4% of the rate's sum after step 4: LayerReset 1ep",
    ]


def test_the_control_has_the_same_other_variables() -> None:
    axes = [{"clip": [None, 1.0]}, {"epochs": [1, 2]}, {"seed_everything": [0]}]
    common = {"trainer.gradient_clip_val": "{clip}", "trainer.max_epochs": "{epochs}"}
    work = small({}, seeds=1, axes=axes, set=common, report={"x": "clip", "control": None})
    assert [(arm.name, arm.run, arm.control) for arm in arms(work)] == [
        ("clip=none,epochs=1", 0, None),
        ("clip=none,epochs=2", 1, None),
        ("clip=1.0,epochs=1", 2, 0),
        ("clip=1.0,epochs=2", 3, 1),
    ]
