"""The run that a checkpoint is of, to evaluate its network again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from callbacks.clock import Clock
from datamodules import ImageDataModule
from plasticity_lab.checkpoint_files import read_checkpoint
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.file_names import CONFIG
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.run_directory import RunLocation, home_of


def build_run(checkpoint: Path) -> tuple[Run, dict[str, Any]]:
    """Return the run of a checkpoint as its config says, with initial weights, and the checkpoint.

    Its data are at the stage of the checkpoint, and its network has the run's precision.

    Raises:
        UserError: for a missing checkpoint or config, or a checkpoint of another program.
    """
    if not checkpoint.is_file():
        raise UserError(checkpoint, problem="no such file", fix="name a checkpoint")
    home = home_of(checkpoint)
    run = build(parse(["test", "--config", str(home / CONFIG)]), RunLocation(home, None, None))
    run.trainer.precision_plugin.convert_module(run.model)
    run.data.trainer = run.trainer
    state = read_checkpoint(checkpoint)
    if isinstance(run.data, ImageDataModule):
        run.data.history = clock_of(state).history
    return run, state


def clock_of(state: Mapping[str, Any]) -> Clock:
    """Return the clock of a checkpoint that has been read.

    Raises:
        UserError: for a checkpoint of another program or of an earlier version.
    """
    if "Clock" not in state["callbacks"]:
        raise UserError("checkpoint", problem="was not written by a run of plasticity_lab")
    clock = Clock()
    clock.load_state_dict(state["callbacks"]["Clock"])
    clock.check_readable()
    return clock


def batches_of_test_split(data: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and targets of the test split of an `ImageDataModule`, on its device.

    They are those of the data stage that was trained last.
    """
    for raw in data.test_dataloader():
        batch = data.on_after_batch_transfer(raw.on(data.device), 0)
        yield batch.inputs, batch.targets
