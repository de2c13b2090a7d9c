"""What Lightning and torch would refuse in the middle of a run gets one line before it."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
)
from pytorch_lightning.loggers import CSVLogger
from torch.optim import lr_scheduler

from datamodules import Digits, ImageDataModule
from lightning_modules import ImageClassifier
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run_lines import has_bf16_units
from plasticity_lab.runs.trainer_checks import check_trainer
from tests.networks import SmallNet
from tests.runs import fit, logged, tiny
from tests.test_bad_input import refused

_SGD: Any = partial(torch.optim.SGD, lr=0.1)


def _check(
    *callbacks: Callback,
    module: LightningModule | None = None,
    optimizer: Any = _SGD,
    schedule: Any = None,
    **options: Any,
) -> None:
    """Check a run of 3 epochs of 4 batches."""
    settings: dict[str, Any] = {
        "max_epochs": 3,
        "logger": False,
        "accelerator": "cpu",
        "enable_checkpointing": None,
        **options,
    }
    trainer = Trainer(
        callbacks=list(callbacks), enable_progress_bar=False, enable_model_summary=False, **settings
    )
    data = ImageDataModule(Digits(subset=100), batch_size=32)
    trainer.datamodule = data  # type: ignore[attr-defined]  # as train.py does
    check_trainer(trainer, module or ImageClassifier(SmallNet(1, 10), optimizer, schedule))


class Logging(Callback):
    """A callback of the user's own, which may log anything."""


THERE = "train/accuracy, train/loss, val/accuracy, val/loss"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"callback": EarlyStopping("val_loss")},
            f"EarlyStopping: monitor: val_loss: is not measured by this run; .*are {THERE}",
        ),
        (
            {"callback": ModelCheckpoint(monitor="acc")},
            f"ModelCheckpoint: monitor: acc: is not measured .*; there are {THERE}",
        ),
        (
            {"callback": EarlyStopping("diagnostics/srank")},
            f"EarlyStopping: .*: is for loggers only; there are {THERE}",
        ),
        (
            {"callback": EarlyStopping("val/loss"), "limit_val_batches": 0},
            (
                "EarlyStopping: monitor: val/loss: is not measured with limit_val_batches: 0; "
                "there are train/accuracy, train/loss$"
            ),
        ),
        (
            {"callback": EarlyStopping("train/loss"), "val_check_interval": 0.5},
            "monitor: train/loss: is not known yet when EarlyStopping first looks",
        ),
        (
            {
                "callback": ModelCheckpoint(monitor="val/loss", save_on_train_epoch_end=True),
                "check_val_every_n_epoch": 2,
            },
            "monitor: val/loss: is not known yet when ModelCheckpoint first looks",
        ),
        (
            {"callback": BackboneFinetuning()},
            "BackboneFinetuning: ImageClassifier has no `backbone`; remove it",
        ),
        (
            {"callback": LearningRateFinder()},
            "LearningRateFinder: ImageClassifier has no `lr` to set",
        ),
        (
            {"callback": LearningRateMonitor()},
            "LearningRateMonitor: there is no logger to log to; remove it",
        ),
        (
            {"callback": GradientAccumulationScheduler({0: 2}), "accumulate_grad_batches": 2},
            "GradientAccumulationScheduler: accumulate_grad_batches: 2: sets what GradientAcc",
        ),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches: 0: set 1 or more"),
        ({"check_val_every_n_epoch": 0}, "check_val_every_n_epoch: 0: set 1 or more"),
        (
            {"val_check_interval": 0},
            "val_check_interval: 0: set 1 batch or more, or limit_val_batches: 0 for no validation",
        ),
        (
            {"val_check_interval": 5},
            "val_check_interval: 5: an epoch of 100 examples has 4 batches; set at most as many",
        ),
        (
            {"val_check_interval": 3, "limit_train_batches": 2},
            "val_check_interval: 3: an epoch of 100 examples has 2 batches",
        ),
        ({"gradient_clip_val": -1.0}, "gradient_clip_val: -1.0: would turn gradients around"),
        (
            {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=1.5)},
            r"optimizer: momentum: 1.5: set a number in \[0, 1\)",
        ),
        (
            {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=-1.0)},
            "optimizer: dampening: -1.0: set",
        ),
        (
            {"optimizer": partial(torch.optim.SparseAdam, lr=0.1)},
            "optimizer: SparseAdam: .*does not support dense gradients",
        ),
        (
            {"optimizer": partial(torch.optim.Adam, capturable=True)},
            "optimizer: Adam: If capturable=True",
        ),
        (
            {"schedule": partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=2)},
            "lr_scheduler: OneCycleLR: fails after epoch 3 of 3 .*let it be as long as the run",
        ),
        (
            {"schedule": partial(lr_scheduler.ExponentialLR, gamma=-0.5)},
            "ExponentialLR: the learning rate is -0.05 after epoch 1",
        ),
        (
            {"schedule": partial(lr_scheduler.ExponentialLR, gamma=1e6)},
            "ExponentialLR: the learning rate is 1e.11 after epoch 2",
        ),
        (
            {"schedule": partial(lr_scheduler.StepLR, step_size=0)},
            "StepLR: fails after epoch 1 of 3",
        ),
    ],
)
def test_one_line(settings: dict[str, Any], message: str) -> None:
    callbacks = [settings.pop("callback")] if "callback" in settings else []
    with pytest.raises(UserError, match=message):
        _check(*callbacks, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"callback": EarlyStopping("val/loss")},
        {"callback": EarlyStopping("train/loss"), "limit_val_batches": 0},
        {"callback": EarlyStopping("val/loss"), "check_val_every_n_epoch": 2},
        {"callback": EarlyStopping("anything", strict=False)},
        {"callback": ModelCheckpoint(monitor="step", mode="max")},
        {"callback": ModelCheckpoint(monitor="val/accuracy"), "val_check_interval": 2},
        {"val_check_interval": 5, "limit_val_batches": 0},
        {"val_check_interval": 5, "check_val_every_n_epoch": None},
        {"val_check_interval": "00:00:01:00"},
        {"schedule": partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=3)},
        {"schedule": partial(lr_scheduler.CosineAnnealingLR, T_max=3)},
        {"optimizer": partial(torch.optim.LBFGS, lr=0.1)},
    ],
)
def test_what_works_passes(settings: dict[str, Any]) -> None:
    callbacks = [settings.pop("callback")] if "callback" in settings else []
    _check(*callbacks, **settings)


def test_what_may_log_more_is_left_to_the_run(tmp_path: Path) -> None:
    _check(EarlyStopping("mine"), Logging())
    _check(EarlyStopping("lr-SGD"), LearningRateMonitor(), logger=CSVLogger(tmp_path))


_L = "pytorch_lightning.callbacks"
_STOPS = [
    {"class_path": f"{_L}.EarlyStopping", "init_args": {"monitor": "val/loss", "patience": n}}
    for n in (1, 2)
]


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        (
            {"callbacks+": _STOPS},
            (
                "callbacks: EarlyStopping: two of them would keep their state under one name; "
                "let them differ"
            ),
        ),
        ({"devices": -1}, "trainer: `devices` selected with `CPUAccelerator` should be an int > 0"),
        (
            {"max_epochs": None},
            "trainer.max_epochs: null: nothing says when the run ends; set the number of epochs",
        ),
        (
            {"default_root_dir": "tiny0.yaml"},
            "run_dir: .*tiny0.yaml/.*: .*tiny0.yaml is a file; name another directory",
        ),
        (
            {
                "callbacks+": [
                    {"class_path": f"{_L}.ModelCheckpoint", "init_args": {"dirpath": "tiny0.yaml"}}
                ]
            },
            "ModelCheckpoint: dirpath: .*tiny0.yaml: .*is a file; name another directory",
        ),
    ],
)
def test_one_line_through_the_command_line(
    fragment: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["fit", *tiny({"trainer": fragment})], message, capsys)


def test_a_run_directory_that_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = tiny()
    refused(
        ["fit", *arguments, "--run_dir", "tiny0.yaml"],
        "run_dir: .*tiny0.yaml: is a file; name a directory",
        capsys,
    )
    refused(
        ["fit", *arguments, "--run_dir", "x" * 300],
        "run_dir: x+: File name too long; name another directory",
        capsys,
    )


def test_batch_norm_needs_two_examples(capsys: pytest.CaptureFixture[str]) -> None:
    single_example = ["--data.init_args.batch_size", "1"]
    refused(
        ["fit", *tiny(), *single_example],
        "batch_size: 1: batch norm needs more than one example in a batch; set 2 or more",
        capsys,
    )
    fit(
        *tiny(),
        *single_example,
        "--model.init_args.network.init_args.norm",
        "false",
        "--trainer.fast_dev_run",
        "true",
    )


class Picky(Callback):
    """Raises before training begins, from code of its own."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise ZeroDivisionError("mine")


def test_an_error_of_the_users_own_code_keeps_its_traceback_and_nothing_is_written() -> None:
    fragment = {"trainer": {"callbacks+": [{"class_path": "tests.test_trainer_checks.Picky"}]}}
    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(*tiny(fragment))
    assert not Path("runs").exists()


def test_the_runs_own_checkpoints_cannot_be_replaced() -> None:
    node = {
        "class_path": f"{_L}.ModelCheckpoint",
        "init_args": {"save_top_k": -1, "filename": "all-{epoch}"},
    }
    finished = fit(*tiny({"trainer": {"callbacks": [node]}}))
    names = {file.name for file in (finished.place.directory / "checkpoints").iterdir()}
    assert names == {
        "last.ckpt",
        "epoch=0002.ckpt",
        *(f"all-epoch={epoch}.ckpt" for epoch in range(3)),
    }
    again = fit(*tiny({"trainer": {"callbacks": [node]}}), "--ckpt_path", "last")
    assert again.place.directory == finished.place.directory
    assert "test/accuracy" in logged(finished.place.directory)


def test_bf16_units_are_read_off_the_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    assert has_bf16_units(file), "a system that does not say so is not warned about"
    file.write_text("flags : fpu avx2 avx512f")
    assert not has_bf16_units(file)
    file.write_text("flags : fpu avx512_bf16 x")
    assert has_bf16_units(file)


def test_a_run_says_where_and_on_what_it_trains(capsys: pytest.CaptureFixture[str]) -> None:
    finished = fit(*tiny(), "--run_dir", "mine")
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == [f"run directory: {finished.place.directory}", "device: cpu"]
    assert shown[2].startswith("val/ is measured on the test split: ")
    assert shown[-1] == f"look at it:    tensorboard --logdir {finished.place.directory}"

    checkpoint = finished.place.directory / "checkpoints" / "last.ckpt"
    longer = ["--trainer.max_epochs", "4", "--data.init_args.dataset.init_args.validation", "0.2"]
    csv = {
        "trainer": {
            "logger": {
                "class_path": "pytorch_lightning.loggers.CSVLogger",
                "init_args": {"save_dir": "logs"},
            }
        }
    }
    fit(*tiny(csv), *longer, "--ckpt_path", str(checkpoint))
    shown = capsys.readouterr().out.splitlines()
    assert f"branches off {checkpoint}: epoch 3, step 12" in shown
    assert "val/ is measured on 0.2 of the training split, held out" in shown
    assert shown[-1].startswith("logged to:     logs/")
    assert shown[-1].endswith("(CSVLogger)")


def test_last_says_why_a_run_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    first = fit(*tiny(), "--trainer.max_epochs", "1")
    capsys.readouterr()
    fit(*tiny(), "--trainer.max_epochs", "2", "--seed_everything", "1", "--ckpt_path", "last")
    note = capsys.readouterr().out.splitlines()[1]
    assert note.startswith(
        "ckpt_path: last: no run here has this config, so a new one begins; the newest, "
        f"{first.place.directory.name}, differs in "
        "seed_everything (0 there, 1 here), trainer.max_epochs (1 there, 2 here); to branch off "
        "it, set --ckpt_path "
    )


class Interrupts(Callback):
    """Presses Ctrl-C."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_says_how_to_resume_it(capsys: pytest.CaptureFixture[str]) -> None:
    import signal

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            fit(
                *tiny(
                    {
                        "trainer": {
                            "callbacks+": [{"class_path": "tests.test_trainer_checks.Interrupts"}]
                        }
                    }
                ),
                "--run_dir",
                "mine",
            )
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.search(
        (
            "interrupted by SIGINT; resume with: python .* fit --config .*/mine/config.yaml "
            "--ckpt_path last$"
        ),
        line,
    )


def test_a_timer_can_be_chosen() -> None:
    timer = {"class_path": f"{_L}.Timer", "init_args": {"duration": "00:01:00:00"}}
    finished = fit(*tiny({"trainer": {"callbacks+": [timer]}}), "--trainer.max_epochs", "1")
    assert "'interval': 'step'" in str(finished.config.resolved())


def test_what_would_measure_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    diagnostic = {
        "trainer": {
            "callbacks+": [
                {"class_path": "callbacks.WeightDistance", "init_args": {"every": "1ep"}}
            ]
        }
    }
    finished = fit(*tiny(), "--run_dir", "mine")
    last = ["--ckpt_path", str(finished.place.directory / "checkpoints" / "last.ckpt")]
    message = (
        "callbacks: WeightDistance: measures while a run trains, and validate trains nothing; "
        "add it to fit instead"
    )
    refused(["validate", *tiny(diagnostic), *last], message, capsys)
    message = (
        "max_epochs: 3: .*last.ckpt has trained 3 epochs already, so nothing would be trained or "
        "measured; set a larger value"
    )
    refused(["fit", *tiny(diagnostic), *last], message, capsys)


def test_a_run_is_checked_whatever_the_device_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` stands for a GPU: nothing can be computed with tensors of it and of the CPU."""
    run = build(parse(["fit", *tiny()]))
    monkeypatch.setattr(ImageDataModule, "device", torch.device("meta"))
    run.check()
