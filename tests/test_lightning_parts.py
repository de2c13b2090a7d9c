"""Lightning's own parts work and resume bitwise, or are refused in one line.

Callbacks, loggers, precisions and strategies.
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from plasticity_lab.runs.main import main
from tests.processes import run
from tests.runs import fit, logged, tiny
from tests.test_bad_input import refused
from tests.test_contracts import FEW_OF_EVERY_KIND, check_resumes


def _callback(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "trainer": {
            "callbacks+": [
                {"class_path": f"pytorch_lightning.callbacks.{name}", "init_args": arguments}
            ]
        }
    }


EXACT = {
    "EarlyStopping": _callback(
        "EarlyStopping", monitor="val/loss", patience=1, check_on_train_epoch_end=True
    ),
    "EMAWeightAveraging": _callback("EMAWeightAveraging", decay=0.9),
    "WeightAveraging": _callback("WeightAveraging"),
    "GradientAccumulationScheduler": _callback(
        "GradientAccumulationScheduler", scheduling={0: 1, 1: 2, 2: 3}
    ),
    "LearningRateMonitor": _callback("LearningRateMonitor"),
    "64-true": {"trainer": {"precision": "64-true"}},
    "bf16-true": {"trainer": {"precision": "bf16-true"}},
    "overfit_batches": {"trainer": {"overfit_batches": 2}},
}


@pytest.mark.parametrize("name", ["EarlyStopping", "EMAWeightAveraging"])
def test_resume_is_bitwise_with(name: str) -> None:
    check_resumes(EXACT[name], FEW_OF_EVERY_KIND, every=99, first=list(EXACT).index(name) % 8)


EARLY = _callback("EarlyStopping", monitor="val/loss", patience=1, check_on_train_epoch_end=False)
"""Monitors at a validation's end.

At an epoch's end, it would need values that a checkpoint written between lacks.
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_resume_is_bitwise_from_every_kind_of_checkpoint_with(name: str) -> None:
    """Each from a quarter of a few checkpoints, by turns."""
    first = list(EXACT).index(name) % 4
    check_resumes(
        EARLY if name == "EarlyStopping" else EXACT[name], FEW_OF_EVERY_KIND, every=4, first=first
    )


REFUSED = {
    "averaging that Lightning does not resume": (
        _callback("StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=1, annealing_epochs=2),
        (
            "trainer.callbacks: StochasticWeightAveraging: Lightning does not resume it exactly; "
            "use .*WeightAveraging"
        ),
    ),
    "a batch size that stands in no config": (
        _callback("BatchSizeFinder", max_trials=2),
        (
            "trainer.callbacks: BatchSizeFinder: what it finds stands in no config, .* set it in "
            "data.init_args.batch_size"
        ),
    ),
    "a rate that stands in no config": (
        _callback("LearningRateFinder"),
        "LearningRateFinder: .*remove",
    ),
    "checkpoints of the middle of a step": (
        _callback("ModelCheckpoint", save_on_exception=True, monitor="val/loss"),
        "ModelCheckpoint: save_on_exception: true: .*; use OnExceptionCheckpoint",
    ),
    "diagnostics in bf16": (
        {
            "trainer": {
                "precision": "bf16-true",
                "callbacks+": [
                    {"class_path": "callbacks.WeightDistance", "init_args": {"every": "1ep"}}
                ],
            }
        },
        "precision: bf16-true: diagnostics measure in float32; remove them, or use 32-true",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = REFUSED[case]
    refused(["fit", *tiny(fragment)], message, capsys)


def test_one_line_for_slurm_variables_that_lightning_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "mine", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    refused(
        ["fit", *tiny()],
        (
            "trainer: You set `--ntasks=2` in your SLURM bash script, but this variable is not "
            "supported"
        ),
        capsys,
    )


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "16-true"])
def test_batches_have_the_precision_of_the_network(precision: str) -> None:
    module = fit(
        *tiny(
            {
                "trainer": {
                    "precision": precision,
                    "callbacks+": [{"class_path": "tests.test_lightning_parts.Types"}],
                }
            }
        )
    ).model
    kind = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}[
        precision
    ]
    assert {parameter.dtype for parameter in module.parameters()} == {kind}
    assert json.loads(Path("types.json").read_text()) == [str(kind)] * 12


class Types(Callback):
    """Writes down which type the images of each batch have."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.types.append(str(batch.inputs.dtype))
        Path("types.json").write_text(json.dumps(self.types))


def test_overfitting_shows_the_same_batches_in_each_epoch() -> None:
    fragment = {
        "trainer": {
            "overfit_batches": 2,
            "callbacks+": [{"class_path": "tests.test_lightning_parts.Seen"}],
        }
    }
    fit(*tiny(fragment))
    batches = json.loads(Path("seen.json").read_text())
    assert len(batches) == 6
    assert batches[0] != batches[1]
    assert batches == batches[:2] * 3


class Seen(Callback):
    """Writes down which examples each batch has."""

    def __init__(self) -> None:
        self.indices: list[list[int]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.indices.append(batch.indices.tolist())
        Path("seen.json").write_text(json.dumps(self.indices))


def _rows(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_log_in_a_fixed_folder_keeps_its_rows_on_a_resume() -> None:
    def log(folder: str) -> dict[str, Any]:
        arguments = {"save_dir": folder, "name": "", "version": "", "flush_logs_every_n_steps": 1}
        return {
            "trainer": {
                "logger": {
                    "class_path": "pytorch_lightning.loggers.CSVLogger",
                    "init_args": arguments,
                }
            }
        }

    def settings(folder: str) -> list[str]:
        stop = {
            "class_path": "tests.test_sessions.Signal",
            "init_args": {"number": 15, "hook": "batch start", "step": 5},
        }
        return tiny(
            log(folder),
            {
                "trainer": {
                    "callbacks+": [stop, {"class_path": "tests.probes.StepLog"}],
                    "log_every_n_steps": 1,
                }
            },
        )

    Path("sent").touch()
    fit(*settings("whole"))
    Path("sent").unlink()
    with pytest.raises(SystemExit):
        fit(*settings("mine"), "--run_dir", "run", "--ckpt_path", "last")
    fit(*settings("mine"), "--run_dir", "run", "--ckpt_path", "last")
    assert _rows("mine") == _rows("whole")
    assert len(_rows("mine")) == 12 + 3 + 3 + 1
    fit(*settings("mine"), "--run_dir", "run", "--ckpt_path", "last")
    assert _rows("mine") == _rows("whole"), "nothing was left to train"
    assert [file.name for file in Path("mine").iterdir() if file.name.startswith(".")] == []


def test_a_tensorboard_log_in_a_fixed_folder_has_each_value_once_after_a_failure() -> None:
    def settings(folder: str, *classes: str) -> list[str]:
        place = {"save_dir": folder, "name": "x", "version": 0}
        logger = {"class_path": "pytorch_lightning.loggers.TensorBoardLogger", "init_args": place}
        names = ["tests.probes.StepLog", *classes]
        trainer = {
            "logger": logger,
            "log_every_n_steps": 1,
            "callbacks+": [{"class_path": name} for name in names],
        }
        return tiny({"trainer": trainer})

    fails = ["tests.test_checkpoints.RaisesOnce"]
    Path("raised").touch()
    fit(*settings("whole", *fails))
    Path("raised").unlink()
    with pytest.raises(RuntimeError, match="boom"):
        fit(*settings("mine", *fails), "--run_dir", "run", "--ckpt_path", "last")
    fit(*settings("mine", *fails), "--run_dir", "run", "--ckpt_path", "last")
    assert logged(Path("mine/x/version_0")) == logged(Path("whole/x/version_0"))


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook"])
def test_one_line_for_ranks_whose_end_is_not_returned(
    strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = (
        f"trainer.strategy: {strategy}: it trains in child processes, and does not return .*; "
        "use ddp"
    )
    refused(
        ["fit", *tiny(), "--trainer.devices", "2", "--trainer.strategy", strategy], message, capsys
    )


@pytest.mark.slow
def test_two_ranks_test_what_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    directory = fit(*tiny()).place.directory
    command = ("test", *tiny(), "--ckpt_path", str(directory / "checkpoints" / "last.ckpt"))
    main(command)
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.match("test/accuracy", line)
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    assert line in run(*command, *two).splitlines(), "as Lightning starts ranks itself"
