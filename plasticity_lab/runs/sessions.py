"""How a session of a run begins and ends: a run may take several, one after another."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities.exceptions import SIGTERMException

from plasticity_lab.command_line import called
from plasticity_lab.errors import SessionEnd, UserError
from plasticity_lab.runs.csv_log import ResumableCSVLogger
from plasticity_lab.runs.file_names import CONFIG
from plasticity_lab.runs.interruption import Interruption
from plasticity_lab.runs.last_checkpoint import LastCheckpoint
from plasticity_lab.runs.resumable_logger import ResumableTensorBoardLogger
from plasticity_lab.runs.run_directory import RunLocation
from plasticity_lab.runs.run_record import RunRecord


def check_launcher(trainer: Trainer, strategy: Any) -> None:
    """Raise UserError for a strategy that trains in child processes.

    They do not return all of the run's state.

    Args:
        trainer: as Lightning built it.
        strategy: as the config has it.
    """
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        name = strategy if isinstance(strategy, str) else type(strategy).__name__
        raise UserError(
            "trainer.strategy",
            value=name,
            problem="it trains in child processes, and does not return the whole state they end in",
            fix="use ddp",
        )


def prepare(trainer: Trainer, place: RunLocation) -> None:
    """Let a run start, stop and keep its last checkpoint in the ways from which it resumes exactly.

    Args:
        trainer: as Lightning built it.
        place: where the run is kept.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    # A Timer counts earlier sessions, too, and ends an epoch as if it were complete.
    timers = [
        callback
        for callback in callbacks
        if isinstance(callback, Timer) and callback.time_remaining() is not None
    ]
    seconds = min((float(timer.time_remaining() or 0) for timer in timers), default=None)
    last = LastCheckpoint(place.directory / "checkpoints")
    untimed = [callback for callback in callbacks if callback not in timers]
    callbacks[:] = [Interruption(last, seconds), *untimed, last]
    _start_only_from_place(trainer)


def _start_only_from_place(trainer: Trainer) -> None:
    """Let `run_directory` alone decide what a run starts from.

    Where it chooses no checkpoint, Lightning would take the file of an `OnExceptionCheckpoint`,
    which may be another run's, or the one that its handler of Slurm's signal writes in the middle
    of a step.
    """
    connector: Any = trainer._checkpoint_connector
    connector._parse_ckpt_path = _unchanged


def _unchanged(state: Any, ckpt_path: Any, **_: Any) -> Any:
    return ckpt_path


def loggers(configured: Any, place: RunLocation, record: RunRecord) -> Any:
    """Return the loggers of a run, which keep what earlier sessions logged.

    Args:
        configured: as the config has them: None or True for the run's own, False for none.
        place: where the run is kept.
        record: makes the run's directory; nothing is written before.
    """
    if configured in (None, True):
        return ResumableTensorBoardLogger(place.directory, lambda: record.begun, place.resumed_at)
    if isinstance(configured, list):
        return [_resumable(logger, place, record) for logger in configured]
    return _resumable(configured, place, record)


def _resumable(logger: Any, place: RunLocation, record: RunRecord) -> Any:
    """Return a logger that keeps what earlier sessions logged, where that is possible."""
    if isinstance(logger, TensorBoardLogger) and place.resumed_at is not None:
        # Readers drop what was logged after the checkpoint, since it is trained again.
        logger._kwargs["purge_step"] = place.resumed_at
    if isinstance(logger, CSVLogger):
        return ResumableCSVLogger(logger, record.begin, place.resumed_at)
    return logger


@contextmanager
def explained(trainer: Trainer, directory: Path) -> Iterator[None]:
    """Print how to resume the run whose session ends early.

    After a signal, exit with its code.

    Args:
        trainer: the run's.
        directory: the run's directory.

    Raises:
        SystemExit: with 128 + the signal's number; nothing is raised when the session's time is
            over.
    """
    cause: signal.Signals | None
    try:
        yield
        return
    except SessionEnd as end:
        cause = end.cause
    except KeyboardInterrupt:
        cause = signal.SIGINT
    except SIGTERMException:
        cause = signal.SIGTERM
    except SystemExit as stop:
        # Lightning ends with code 1 what Ctrl-C has interrupted.
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        cause = signal.SIGINT
    if trainer.is_global_zero:
        line = f"interrupted by {cause.name}" if cause else "max_time is over before the run is"
        file = directory / CONFIG
        if file.exists():
            line += f"; resume with: {called('train.py')} fit --config {file} --ckpt_path last"
        print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
        if cause == signal.SIGUSR1:
            _requeue(trainer)
    if cause:
        raise SystemExit(128 + cause) from None


def _requeue(trainer: Trainer) -> None:
    """Let Slurm start the job again, as Lightning's own handler of the signal does."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
        if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
            job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        else:
            job = os.environ["SLURM_JOB_ID"]
        subprocess.run(["scontrol", "requeue", job], check=False)
