"""A built run, which can be checked, trained and measured."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from lightning_modules import Supervised
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.checkpoint_files import check_network, check_optimizer, read_checkpoint
from plasticity_lab.errors import Diverged, UserError
from plasticity_lab.runs import sessions, timeline, validate_run
from plasticity_lab.runs.config_checks import LINKS, check_links
from plasticity_lab.runs.late_errors import is_refusal, refused
from plasticity_lab.runs.parse import Config
from plasticity_lab.runs.resumable_logger import viewing_hint
from plasticity_lab.runs.run_directory import RunLocation
from plasticity_lab.runs.run_record import RunRecord


@dataclass
class Run:
    """A run as `build` returns it.

    Attributes:
        config: what it is built from.
        trainer: Lightning's.
        model: what is trained.
        data: what it is trained on.
        place: where the run is kept and what it starts from.
        record: makes the run's directory once training begins.
        listed: callbacks of the settings, in their order.
        predictions: the file that `predict` writes.
    """

    config: Config
    trainer: Trainer
    model: LightningModule
    data: LightningDataModule
    place: RunLocation
    record: RunRecord
    listed: list[Callback] = field(default_factory=list)
    predictions: Path | None = None

    def check(self) -> None:
        """Raise UserError for what would fail, be a no-op, or contradict the checkpoint.

        Nothing has been written by then.
        """
        self._check_parts()
        if self.config.command != "fit":
            return
        self.trainer.datamodule = self.data  # type: ignore[attr-defined]  # Lightning does so, later
        self.data.trainer = self.trainer
        checkpoint = read_checkpoint(self.place.checkpoint) if self.place.checkpoint else None
        validate_run.validate_run(self.trainer, self.model, checkpoint)
        if checkpoint and self.place.resumed_at is None:
            validate_run.check_length_left(self.trainer, checkpoint, self.place.checkpoint)

    def _check_parts(self) -> None:
        settings = self.config.settings
        linked = {link.name: getattr(self.data, link.name, None) for link in LINKS}
        check_links(self.config.given, linked | {"seed_everything": settings.seed_everything})

        on_cpu = self.trainer.strategy.root_device.type == "cpu"
        if settings.trainer.sync_batchnorm and on_cpu:
            raise UserError(
                "sync_batchnorm",
                value="true",
                problem="torch synchronises batch norm on GPUs only",
                fix="remove it, or use norm: group",
            )

        if self.config.command != "fit":
            validate_run.check_evaluation(self.trainer, self.place.directory, self.config.command)
        checkpoint = read_checkpoint(self.place.checkpoint) if self.place.checkpoint else None
        if isinstance(self.model, Supervised):
            self.model.initial_weights.check(self.model.network, self.data, checkpoint)
        if checkpoint and self.place.checkpoint:
            check_network(checkpoint, self.model.state_dict(), self.place.checkpoint)
            if self.config.command == "fit":
                optimizer = build_optimizer(self.model).optimizer
                if optimizer is not None:
                    check_optimizer(checkpoint, optimizer.state_dict(), self.place.checkpoint)

    def timeline(self) -> str:
        """Return the schedule of data and interventions as text; `check` comes first."""
        return timeline.timeline(self.trainer)

    def fit(self) -> bool:
        """Train; return whether the run is complete.

        Its session's `max_time` may end it before.
        """
        return self._do("fit")

    def validate(self) -> None:
        """Measure the validation split."""
        self._do("validate")

    def test(self) -> None:
        """Measure the test split."""
        self._do("test")

    def predict(self) -> None:
        """Write what the network predicts of the test split to `predictions`."""
        self._do("predict")

    def _do(self, command: str) -> bool:
        """Call the trainer's method of a command; return whether it was completed."""
        method = getattr(self.trainer, command)
        parameters = inspect.signature(method).parameters
        options = {
            name: value for name, value in self.config.settings.items() if name in parameters
        }
        options |= {
            "model": self.model,
            "datamodule": self.data,
            "ckpt_path": self.place.checkpoint,
        }
        with self._explained():
            method(**options)
            return True
        # The session's time is over.
        return False

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Print how to resume where a session ends early.

        What Lightning refuses before training begins is a mistake in the settings.
        """
        try:
            with sessions.explained(self.trainer, self.place.directory):
                yield
        except (UserError, Diverged, MisconfigurationException):
            raise
        except Exception as error:
            # Only the first rank knows whether training has begun; the others stop with it.
            if self.record.begun or not self.trainer.is_global_zero or not is_refusal(error):
                raise
            raise refused(error) from error

    def report(self) -> None:
        """Measure the trained network on the test split, and print where the results are."""
        metrics = dict(self.trainer.callback_metrics)
        with self._explained():
            self.trainer.test(self.model, self.data, verbose=False)
        metrics |= self.trainer.callback_metrics
        if self.trainer.is_global_zero and not self.config.settings.trainer.fast_dev_run:
            texts = list(_summary(metrics))
            print("", "   ".join(texts), f"run directory: {self.place.directory}", sep="\n")
            print("\n".join(viewing_hint(self.trainer.loggers)))


def _summary(metrics: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the accuracy of training and test split as text, of another task all that is logged."""
    names = sorted(
        {tag.rpartition("/")[2] for tag in metrics if tag.startswith(("train/", "test/"))}
    )
    for name in ["accuracy"] if "accuracy" in names else names:
        for split in ("train", "test"):
            value = metrics.get(f"{split}/{name}")
            if value is not None:
                number = f"{float(value):.2%}" if name == "accuracy" else f"{float(value):.4f}"
                yield f"{split} {name} {number}"
