"""Runs that end with their last data stage."""

from pathlib import Path
from typing import Any

import pytest
import torch

from plasticity_lab.studies.state_hash import state_hash
from tests.datamodules.test_data_schedule import data, growth
from tests.runs import fit, logged, state, tiny
from tests.test_contracts import EVERY_KIND

ADAM = {
    "model": {
        "init_args": {"optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.02}}}
    }
}


def waiting(epochs: int, **until: Any) -> list[str]:
    """Return the arguments of a run with two stages of an epoch each, without the last end."""
    growing = data(growth=growth(counts=[50, 100], until={"train_accuracy": 0.01, **until}))
    return tiny(growing, ADAM, {"trainer": {"max_epochs": epochs}}, EVERY_KIND)


@pytest.mark.parametrize(("until", "epochs"), [({}, 2), ({"last": "3ep"}, 4)])
def test_it_is_a_run_of_so_many_epochs(until: dict[str, Any], epochs: int) -> None:
    ended, planned = fit(*waiting(9, **until)), fit(*waiting(epochs, **until))
    assert ended.trainer.current_epoch == epochs
    assert state(ended) == state(planned)
    assert logged(ended.place.directory) == logged(planned.place.directory)
    names = [
        sorted(file.name for file in (finished.place.directory / "checkpoints").iterdir())
        for finished in (ended, planned)
    ]
    assert names[0] == names[1]
    last = torch.load(ended.place.directory / "checkpoints/last.ckpt", weights_only=True)
    assert state_hash(last["state_dict"]) == state(ended)["weights and buffers"]


def test_a_run_resumed_at_its_end_trains_no_further() -> None:
    ended = fit(*waiting(9))
    home = ended.place.directory
    before = logged(home)
    again = fit(*waiting(9), "--ckpt_path", str(home / "checkpoints/last.ckpt"))
    assert again.place.directory == home
    assert state(again) == state(ended)
    assert logged(home) == before


def test_a_branch_from_the_end_with_a_longer_last_stage_is_the_longer_run() -> None:
    short, longer = fit(*waiting(9)), fit(*waiting(9, last="4ep"))
    branch = fit(
        *waiting(9, last="4ep"), "--ckpt_path", str(short.place.directory / "checkpoints/last.ckpt")
    )
    assert branch.place.directory != short.place.directory
    assert branch.trainer.current_epoch == 5
    assert state(branch) == state(longer)


@pytest.mark.parametrize(
    ("until", "warning"),
    [
        ({"last": "100%"}, ""),
        (
            {"train_accuracy": 1.0},
            (
                "warning: max_epochs: 3: reached in data stage 0, before the last one (1) had "
                "ended; set"
            ),
        ),
        ({"last": "2ep"}, ""),
    ],
)
def test_a_run_that_is_cut_off_says_so(
    until: dict[str, Any], warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(*waiting(3, **until)).trainer.current_epoch == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(lines) == bool(warning)
    assert not warning or lines[0].startswith(warning)


def test_one_stage_is_a_run_that_ends_when_its_data_are_learned() -> None:
    fragment = data(growth=growth(fractions=[1.0], until={"train_accuracy": 0.12}))
    finished = fit(*tiny(fragment, ADAM, {"trainer": {"max_epochs": 30}}))
    accuracy = [value for _, value in logged(finished.place.directory)["train/accuracy"]]
    assert len(accuracy) < 30
    assert [value >= 0.12 for value in accuracy] == [False] * (len(accuracy) - 1) + [True]
    assert Path(finished.place.directory / "checkpoints/last.ckpt").exists()
