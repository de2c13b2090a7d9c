"""Sessions that end before their run: by a signal, or because their time is over."""

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer

from tests.runs import fit, logged, pictures, state, tiny


class Signal(Callback):
    """Sends this process a signal at a moment of its first session."""

    def __init__(self, number: int, hook: str, step: int) -> None:
        self.number, self.hook, self.step = number, hook, step

    def _send(self, trainer: Trainer, hook: str) -> None:
        if hook == self.hook and trainer.global_step == self.step and not Path("sent").exists():
            Path("sent").touch()
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._send(trainer, "batch start")

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._send(trainer, "batch end")

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._send(trainer, "validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._send(trainer, "epoch end")

    def on_test_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._send(trainer, "test")


MOMENTS = {
    "inside an epoch": (signal.SIGTERM, "batch start", 5, {}),
    "by Slurm": (signal.SIGUSR1, "batch start", 2, {"trainer": {"accumulate_grad_batches": 2}}),
    "by Ctrl-C": (signal.SIGINT, "batch end", 1, {}),
    "at an epoch's last batch": (
        signal.SIGTERM,
        "batch start",
        7,
        {"trainer": {"check_val_every_n_epoch": 2}},
    ),
    "while validating": (signal.SIGTERM, "validation", 4, {}),
    "at an epoch's end": (signal.SIGTERM, "epoch end", 8, {}),
    "while testing": (signal.SIGTERM, "test", 12, {}),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_stopped_by_a_signal_says_so_and_resumes_bitwise(
    moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    number, hook, step, settings = MOMENTS[moment]
    send = {
        "class_path": "tests.test_sessions.Signal",
        "init_args": {"number": int(number), "hook": hook, "step": step},
    }
    nodes = [send, {"class_path": "tests.probes.StepLog"}]
    extra = {
        "trainer": {**settings.get("trainer", {}), "callbacks+": nodes, "log_every_n_steps": 1}
    }
    Path("sent").touch()
    uninterrupted = fit(*tiny(extra), "--run_dir", "whole")
    Path("sent").unlink()
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        fit(*tiny(extra), "--run_dir", "mine")
    assert stop.value.code == 128 + number
    line = capsys.readouterr().err.splitlines()[-1]
    command = f"python train.py fit --config {Path('mine').absolute()}/config.yaml --ckpt_path last"
    assert line == f"train.py: interrupted by {number.name}; resume with: {command}"
    assert signal.getsignal(number) == before
    resumed = fit(*command.split()[3:])
    assert resumed.place.resumed_at is not None
    assert resumed.place.resumed_at >= step
    assert state(resumed) == state(uninterrupted)
    assert logged(Path("mine")) == logged(Path("whole"))
    assert pictures(Path("mine")) == pictures(Path("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("limit_kind", ["max_time", "Timer"])
def test_a_sessions_time_is_its_own_and_its_run_resumes_bitwise(
    limit_kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    timer = {
        "class_path": "pytorch_lightning.callbacks.Timer",
        "init_args": {"duration": "00:00:00:01", "interval": "step"},
    }
    limit = {
        "trainer": {"max_time": "00:00:00:01"}
        if limit_kind == "max_time"
        else {"callbacks+": [timer]}
    }
    slow = {"trainer": {"callbacks+": [{"class_path": "tests.test_sessions.Slow"}]}}
    uninterrupted = fit(*tiny(slow), "--run_dir", "whole")
    steps = []
    for _ in range(9):
        steps.append(fit(*tiny(slow, limit), "--run_dir", "mine", "--ckpt_path", "last").trainer)
        if steps[-1].global_step == 12:
            break
        line = capsys.readouterr().err.splitlines()[-1]
        assert re.fullmatch(
            (
                "train.py: max_time is over before the run is; resume with: python train.py fit "
                "--config .*last"
            ),
            line,
        )
    counts = [trainer.global_step for trainer in steps]
    assert len(counts) > 1
    assert counts == sorted(set(counts)), "each session goes further"
    assert counts[-1] == 12
    values = logged(Path("mine"))
    assert values == logged(Path("whole"))
    assert steps[-1].lightning_module.state_dict().keys() == uninterrupted.model.state_dict().keys()
    assert all(
        (value == uninterrupted.model.state_dict()[name]).all()
        for name, value in steps[-1].lightning_module.state_dict().items()
    )


class Slow(Callback):
    """Makes two thirds of the run take longer than a session."""

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        time.sleep(0.15)


def test_slurm_starts_a_job_again_that_it_has_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "mine", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    scontrol = Path("bin/scontrol")
    scontrol.parent.mkdir()
    scontrol.write_text("#!/bin/sh\necho $* >requeued\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent.absolute()}:{os.environ['PATH']}")
    send = {"number": int(signal.SIGUSR1), "hook": "batch start", "step": 2}
    fragment = {
        "trainer": {"callbacks+": [{"class_path": "tests.test_sessions.Signal", "init_args": send}]}
    }
    with pytest.raises(SystemExit) as stop:
        fit(*tiny(fragment), "--run_dir", "mine")
    assert stop.value.code == 128 + signal.SIGUSR1
    assert Path("requeued").read_text() == "requeue 7\n"
    assert sorted(file.name for file in Path("mine").rglob("*.ckpt")) == ["last.ckpt"], (
        "none of the middle of a step"
    )
