"""When an accuracy is reached."""

from typing import Any

import pytest

from tests.runs import fit, logged, tiny
from tests.test_bad_input import refused

Log = dict[str, list[tuple[int, float]]]


def measuring(**arguments: Any) -> dict[str, Any]:
    return {
        "trainer": {
            "callbacks+": [{"class_path": "callbacks.TimeToAccuracy", "init_args": arguments}]
        }
    }


def growing(**arguments: Any) -> dict[str, Any]:
    return {
        "data": {
            "init_args": {
                "growth": {"class_path": "datamodules.UniformGrowth", "init_args": arguments}
            }
        }
    }


SLOW = {
    "model": {
        "init_args": {
            "network": {
                "class_path": "lightning_modules.networks.MLP",
                "init_args": {"widths": [16]},
            },
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.003}},
            "lr_scheduler": None,
        }
    },
    "trainer": {"max_epochs": 12},
}


def run(*fragments: dict[str, Any]) -> tuple[Log, Log]:
    """Return what the callback logged, by the rest of the tag, and what else was."""
    values = logged(fit(*tiny(SLOW, *fragments)).place.directory)
    mine = {
        tag.split("/", 3)[3]: points for tag, points in values.items() if "time_to_accuracy" in tag
    }
    return mine, values


def first(points: list[tuple[int, float]], accuracy: float) -> int:
    """Return the index of the first value that is high enough."""
    return next(index for index, (_, value) in enumerate(points) if value >= accuracy)


def test_a_run_has_one_first_time() -> None:
    mine, values = run(measuring(accuracy=0.7))
    epoch = first(values["train/accuracy"], 0.7)
    step = values["train/accuracy"][epoch][0]
    assert 0 < epoch < 11
    assert mine["epochs"] == mine["last_stage/epochs"] == [(step, epoch + 1)]
    assert mine["steps"] == mine["last_stage/steps"] == [(step, 4 * (epoch + 1))]
    assert [value for _, value in mine["reached"]] == [0] * epoch + [1] * (12 - epoch)
    assert mine.keys() == {"epochs", "steps", "last_stage/epochs", "last_stage/steps", "reached"}


def test_each_stage_has_a_time_of_its_own() -> None:
    mine, values = run(measuring(accuracy=0.62), growing(counts=[40, 70, 100], at=["5ep", "9ep"]))
    accuracy, steps = values["train/accuracy"], [2, 3, 4]
    for stage, (begin, end) in enumerate([(0, 5), (5, 9), (9, 12)]):
        lasted = first(accuracy[begin:end], 0.62) + 1
        step = accuracy[begin + lasted - 1][0]
        assert mine[f"stage{stage}/epochs"] == [(step, lasted)]
        assert mine[f"stage{stage}/steps"] == [(step, lasted * steps[stage])]
    assert mine["epochs"] == mine["stage0/epochs"]
    assert mine["last_stage/steps"] == mine["stage2/steps"]


def test_what_is_never_reached_is_censored() -> None:
    mine, _ = run(measuring(accuracy=1.0))
    assert mine.keys() == {"reached"}
    assert [value for _, value in mine["reached"]] == [0] * 12


def test_validation_counts_for_the_epoch_it_is_of() -> None:
    """Every third epoch; the value of the epoch before new data arrive is not that of the next."""
    settings = {"trainer": {"max_epochs": 12, "check_val_every_n_epoch": 3}}
    mine, values = run(
        settings, measuring(accuracy=0.5, split="val"), growing(counts=[50, 100], at=["6ep"])
    )
    step = [points[0] for points in values["val/accuracy"]]
    assert first(values["val/accuracy"], 0.5) == 1, "in the last epoch of the first stage"
    assert mine["stage0/epochs"] == mine["epochs"] == [(step[1], 6)]
    assert mine["last_stage/epochs"] == [(step[2], 3)]
    assert [step for step, _ in mine["reached"]] == step


@pytest.mark.parametrize(
    ("fragments", "message"),
    [
        ([measuring(accuracy=99)], r"TimeToAccuracy: accuracy: 99.0: set a share in \(0, 1\]"),
        ([measuring(accuracy=0.9, split="test")], "split: .*test"),
        (
            [measuring(accuracy=0.9, split="val"), {"trainer": {"limit_val_batches": 0}}],
            "TimeToAccuracy: split: val: the run does not",
        ),
    ],
)
def test_one_line(
    fragments: list[dict[str, Any]], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["fit", *tiny(*fragments)], message, capsys)
