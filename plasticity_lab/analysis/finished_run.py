"""The run that a checkpoint is of, to evaluate its network again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.file_names import CONFIG
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.run_directory import RunLocation, home_of


def build_run(checkpoint: Path) -> Run:
    """Return the run of a checkpoint as its config says, with initial weights, not run.

    Raises:
        UserError: for a missing checkpoint or config.
    """
    if not checkpoint.is_file():
        raise UserError(checkpoint, problem="no such file", fix="name a checkpoint")
    home = home_of(checkpoint)
    run = build(parse(["test", "--config", str(home / CONFIG)]), RunLocation(home, None, None))
    run.data.trainer = run.trainer
    return run


def batches_of_test_split(data: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and targets of the test split of an `ImageDataModule`, on its device."""
    for raw in data.test_dataloader():
        batch = data.on_after_batch_transfer(raw.on(data.device), 0)
        yield batch.inputs, batch.targets
