"""Checkpoints: what they may hold, and runs killed while they are written."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from plasticity_lab.checkpoint_files import COMMITS, read_checkpoint
from plasticity_lab.errors import UserError
from plasticity_lab.studies.state_hash import state_hash
from tests.runs import TINY, fit, logged, state, tiny

_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"


def _keep(**arguments: Any) -> dict[str, Any]:
    return {"class_path": _CHECKPOINT, "init_args": arguments}


JUDGES = {
    "trainer": {
        "callbacks+": [
            _keep(monitor="val/accuracy", mode="max", filename="best"),
            _keep(monitor="val/loss", filename="low", save_top_k=2),
            _keep(monitor="train/loss", filename="fit{epoch}", save_weights_only=True),
        ]
    }
}
"""Three that keep the best by a metric, whose scores are part of every checkpoint."""

FILES = ("epoch=", "best", "low", "fit", "last")


def contents(directory: Path) -> dict[str, str]:
    """Return a hash of each file beside the checkpoints, hidden ones too."""
    hashes = {}
    for file in sorted((directory / "checkpoints").iterdir()):
        checkpoint = torch.load(file, weights_only=True)
        hashes[file.name] = state_hash(
            {key: checkpoint.get(key) for key in ("state_dict", "optimizer_states", "global_step")}
        )
        hashes[file.name] += repr(checkpoint.get("callbacks", {}))
    return hashes


def killed(run: Callable[[], object], epoch: int, name: str, before: bool) -> None:
    """Run in a process that dies as it writes an epoch's checkpoint.

    Before the file is in its place, or right after.
    """
    pid = os.fork()
    if pid == 0:
        replace = Path.replace

        def die(self: Path, target: Path) -> Path:
            hit = (
                target.suffix == ".ckpt"
                and target.name.startswith(name)
                and torch.load(self)["epoch"] == epoch
            )
            if hit and before:
                os._exit(9)
            replace(self, target)
            if hit:
                os._exit(9)
            return target

        Path.replace = die  # type: ignore[assignment, method-assign]
        run()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    # Readers take event files in the order of their names, which begin with the second.
    time.sleep(1 - time.time() % 1)


def check_kill(epoch: int, name: str, before: bool) -> None:
    uninterrupted = fit(*tiny(JUDGES), "--run_dir", "runs/whole").place.directory
    expected, values = contents(uninterrupted), logged(uninterrupted)
    (uninterrupted / "config.yaml").rename("whole.yaml")
    uninterrupted.rename("kept")
    command = [*tiny(JUDGES), "--run_dir", "runs/whole", "--ckpt_path", "last"]
    killed(lambda: fit(*command), epoch, name, before)
    resumed = fit(*command)
    assert resumed.place.directory == uninterrupted
    assert contents(uninterrupted) == expected
    assert logged(uninterrupted) == values
    assert not list(uninterrupted.glob(".*.tmp"))


ROUNDS = [
    (epoch, name, before) for name in FILES for before in (True, False) for epoch in (0, 1, 2)
]


EVERYDAY = ROUNDS[2::16]


@pytest.mark.parametrize(("epoch", "name", "before"), EVERYDAY)
def test_a_run_killed_while_it_writes_a_checkpoint_ends_as_if_never_killed(
    epoch: int, name: str, before: bool
) -> None:
    check_kill(epoch, name, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epoch", "name", "before"),
    [
        # CI takes one epoch for each file, before and after it is written, by turns.
        pytest.param(*moment, marks=() if number // 3 % 3 == moment[0] else pytest.mark.long)
        for number, moment in enumerate(ROUNDS)
        if moment not in EVERYDAY
    ],
)
def test_a_run_killed_at_any_moment_of_writing_ends_as_if_never_killed(
    epoch: int, name: str, before: bool
) -> None:
    check_kill(epoch, name, before)


class Remembers(Callback):
    """Somebody's own callback, whose state becomes what cannot be read back."""

    def __init__(self, kind: str = "numpy", epoch: int = 1) -> None:
        self.kind, self.epoch, self.best = kind, epoch, None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values: dict[str, Any] = {
            "numpy": np.float64(0.5),
            "path": Path("best"),
            "class": Path,
            "call": print,
        }
        if trainer.current_epoch == self.epoch:
            self.best = values[self.kind]

    def state_dict(self) -> dict[str, Any]:
        return {"scores": [{"best": self.best}]}


@pytest.mark.parametrize("kind", ["numpy", "path", "class", "call"])
def test_a_state_that_could_not_be_read_back_ends_the_run_in_one_line(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint before it stays, and the run resumes from it.

    A state that is so from the start is not trained with.
    """

    def ends(epoch: int, *arguments: str) -> None:
        node = {
            "class_path": "tests.test_checkpoints.Remembers",
            "init_args": {"kind": kind, "epoch": epoch},
        }
        with pytest.raises(SystemExit) as stop:
            fit(*tiny({"trainer": {"callbacks+": [node]}}), *arguments)
        assert stop.value.code == 2
        message = (
            r"error: checkpoint: callbacks: Remembers: scores: 0: best: .* of type \S+ could not "
            "be read back, .*; save"
        )
        assert re.search(message, capsys.readouterr().err)

    ends(1, "--run_dir", "mine")
    assert torch.load("mine/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    assert len(list(Path("mine/checkpoints").iterdir())) == 2
    ends(0, "--run_dir", "other")
    assert not list(Path("other").rglob("*.ckpt"))


def test_whole_checkpoints_that_cannot_be_read_are_never_trained_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [*tiny(), "--run_dir", "mine", "--ckpt_path", "last"]
    fit(*command)
    for file in Path("mine/checkpoints").iterdir():
        torch.save({**torch.load(file, weights_only=True), "best": np.float64(0.5)}, file)
    before = {file: file.read_bytes() for file in Path("mine").rglob("*.*") if file.is_file()}
    with pytest.raises(SystemExit) as stop:
        fit(*command)
    assert stop.value.code == 2
    message = (
        r"error: ckpt_path: .*last.ckpt: holds numpy\S+, which is not read because that could "
        "run code; name a checkpoint of"
    )
    assert re.search(message, capsys.readouterr().err)
    assert {
        file: file.read_bytes() for file in Path("mine").rglob("*.*") if file.is_file()
    } == before


def test_hyperparameters_that_could_not_be_read_back_are_left_out_and_the_run_resumes() -> None:
    """They stand in config.yaml; a callable optimizer is the usual one."""
    config = {
        **TINY,
        "model": {"class_path": "tests.test_checkpoints.Plain", "init_args": {"lr": 0.1}},
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    uninterrupted = fit("--config", "own.yaml", "--run_dir", "mine")
    last = torch.load("mine/checkpoints/last.ckpt", weights_only=True)
    assert last["hyper_parameters"] == {"lr": 0.1}
    killed_run = ["--config", "own.yaml", "--run_dir", "other", "--ckpt_path", "last"]
    killed(lambda: fit(*killed_run), 1, "last", before=False)
    assert state(fit(*killed_run)) == state(uninterrupted)


class Plain(LightningModule):
    """A module that saves all that it is given."""

    def __init__(
        self, lr: float, optimizer: Callable[..., Any] = torch.optim.SGD, seed: int = 0
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["seed"])
        self.network = torch.nn.Linear(256, 10)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.network(batch[0].flatten(1)), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx))

    test_step = validation_step

    def configure_optimizers(self) -> Any:
        return self.hparams["optimizer"](self.parameters(), lr=self.hparams["lr"])


def test_a_failed_runs_state_never_reaches_another_run(capsys: pytest.CaptureFixture[str]) -> None:
    fails = {
        "trainer": {
            "callbacks+": [
                {"class_path": "tests.test_checkpoints.Raises"},
                {
                    "class_path": "pytorch_lightning.callbacks.OnExceptionCheckpoint",
                    "init_args": {"dirpath": "failed"},
                },
            ]
        }
    }
    fits = {"trainer": {"callbacks+": fails["trainer"]["callbacks+"][1:]}}
    expected = state(fit(*tiny()))
    with pytest.raises(RuntimeError, match="boom"):
        fit(*tiny(fails), "--run_dir", "one")
    assert Path("failed/on_exception.ckpt").exists()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        fit(*tiny(fits), "--ckpt_path", "failed/on_exception.ckpt")
    assert stop.value.code == 2
    message = (
        "error: ckpt_path: failed/on_exception.ckpt: was written when the run failed, .*; name "
        "another, or set 'last'"
    )
    assert re.search(message, capsys.readouterr().err)
    assert state(fit(*tiny(fits), "--run_dir", "two")) == expected


class Raises(Callback):
    """Fails inside an epoch."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 6:
            raise RuntimeError("boom")


class RaisesOnce(Raises):
    """Fails in the first session."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 6 and not Path("raised").exists():
            Path("raised").touch()
            super().on_train_batch_start(trainer, pl_module, batch, batch_idx)


def test_commits_are_counted_by_the_last_checkpoint() -> None:
    fit(*tiny(), "--run_dir", "mine")
    files = Path("mine/checkpoints").iterdir()
    counts = {file.name: torch.load(file, weights_only=True)[COMMITS] for file in files}
    assert counts == {"epoch=0002.ckpt": 2, "last.ckpt": 3}


def test_flipped_bits_are_seen() -> None:
    """As a failing disk leaves them, in the middle of a tensor."""
    finished = fit(*tiny())
    first, last = finished.place.directory / "checkpoints/epoch=0002.ckpt", Path("flipped.ckpt")
    content = bytearray(first.read_bytes())
    at = content.index(finished.model.network.head.weight.detach().numpy().tobytes())
    content[at] ^= 1
    last.write_bytes(content)
    read_checkpoint(first)
    with pytest.raises(UserError, match=r"flipped.ckpt: is damaged \(.*\); name another"):
        read_checkpoint(last)
