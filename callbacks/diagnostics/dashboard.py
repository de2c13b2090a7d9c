"""What was done to a run and what changed with it, over one axis of time."""

import re
from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from callbacks.diagnostics.base import Diagnostic

Layout = dict[str, dict[str, list[Any]]]
"""As `SummaryWriter.add_custom_scalars` takes it: category, chart, kind, patterns of tags."""


def layout(names: Sequence[str]) -> Layout:
    """Return the dashboard of a run.

    Args:
        names: of what is measured, as `rank` or `weights/angle`: each has a chart, with its values
            by block; all others share one.
    """
    charts = {
        # The moment of an intervention is a dot at 1.
        "accuracy and interventions": r"((train|val|val_deficit|test)/accuracy$|interventions/.*)",
        "loss": r"(train|val|val_deficit|test)/loss$",
        "data": r"(data/(?!examples)|deficits/).*",
        "examples": r"data/examples$",
    }
    patterns = [rf"{re.escape(name)}(/.*)?$" for name in names]
    charts |= {
        name: f"diagnostics(_running)?/{pattern}"
        for name, pattern in zip(names, patterns, strict=True)
    }
    charts["other diagnostics"] = (
        f"diagnostics(_running)?/{''.join(f'(?!{pattern})' for pattern in patterns)}.*"
    )
    return {"plasticity": {title: ["Multiline", [pattern]] for title, pattern in charts.items()}}


class Dashboard(Callback):
    """Lays out TensorBoard's tab Custom Scalars: accuracy, loss, data, and each diagnostic.

    It measures nothing. A diagnostic's class names its charts in `charts`.

    Example:
        ```yaml
        class_path: callbacks.Dashboard
        ```
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        if not trainer.is_global_zero:
            return
        names = [
            name
            for callback in callbacks
            if isinstance(callback, Diagnostic)
            for name in callback.charts
        ]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_custom_scalars(layout(names))
