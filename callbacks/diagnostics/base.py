"""When a network is measured, and where the values go."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from callbacks.clock import Clock
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import blank_look, choose_probe, run_look
from callbacks.network import check_sizes_known
from callbacks.probe import NO_PROBE, Probe
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics
from plasticity_lab.tags import GROUPS
from plasticity_lab.timing import Every, Position, Time

Measured = Mapping[str, float | Figure]
"""Values by name: `fisher`, `fisher/layer1`; figures stand among TensorBoard's images."""

NormStatistics = Literal["estimated", "running"]
"""Which mean and variance batch norm uses while a network is measured."""


@dataclass(repr=False, eq=False)
class Diagnostic(Timed, Callback):
    """Measures at intervals: before the first batch, again and again, and after the last batch.

    A run with it is bitwise the run without. Works in any Trainer, of any LightningModule; one that
    measures the loss needs the module's `objective`. Also works on checkpoints, by `measure.py`.
    Your own: subclass it, or `ProbeDiagnostic` to run the network on examples, and implement
    `measure`.

    After n optimizer steps a value is logged as `diagnostics/<name>` at step n - 1, beside the loss
    of that batch; the one at step 0 is of the network before it. The network is in evaluation mode
    meanwhile, in full precision (autocast off) and uncompiled.

    Args:
        every: how often: `1ep` after each epoch, `100st` after every 100 steps, `10%` after these
            shares of `max_epochs`, `stages` after each data stage; and after the last of
            `max_epochs` or `max_steps`.
        early: also after 2, 4, 8, … steps of the first epoch.

    Raises:
        UserError: for stages of data that have none, or whose stages wait for the network.

    Attributes:
        charts: names that have a chart of their own on the `Dashboard`, each with its values by
            block.
        tags: names of all values that it may log, with `<…>` in place of what depends on the run,
            as in `fisher/trace/<block>`; None if that is not known before a run. Studies refuse a
            metric that nothing logs by them.

    Example:
        ```yaml
        class_path: callbacks.NormBiases
        init_args: {every: 100st, early: true}
        ```
    """

    charts: ClassVar[tuple[str, ...]] = ()
    tags: ClassVar[tuple[str, ...] | None] = None
    changes_run: ClassVar[bool] = False

    every: Time
    _: KW_ONLY
    early: bool = False

    def __post_init__(self) -> None:
        """Check the arguments; a subclass that checks its own calls this first."""
        self.every = Time(self.every)
        self._every = Every(self.every)
        self.begin()

    def begin(self) -> None:
        """Set what is followed over a run to what it is before one; called for each run."""

    def check(self, look: Look) -> None:
        """Raise UserError for what this network, task or run does not have.

        Args:
            look: at the network before training, with two examples of a probe: zeros, or real ones
                where the data module is not `ImageDataModule`.
        """

    @abstractmethod
    def measure(self, look: Look) -> Measured:
        """Return what is measured of a network in evaluation mode, with gradients on.

        Args:
            look: at the network now; what is called on it must leave `.grad` alone.
        """

    def look_at(self, look: Look) -> Measured:
        """Measure, and leave everything as it was."""
        with preserve_state(look.network), look.exact():
            return self.measure(look)

    def check_logger(self, trainer: Trainer) -> None:
        """Raise UserError for values that would be logged nowhere."""
        short = trainer.barebones or trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a helper of Trainer
        if not trainer.loggers and not short:
            raise UserError(
                type(self).__name__,
                problem="there is no logger to log to",
                fix="remove it, or give the trainer a logger",
            )

    def check_every(self, trainer: Trainer) -> None:
        """Raise UserError for a share of an unknown length, and for stages not known before."""
        if self._every.unit == "%" and (trainer.max_epochs or 0) < 1:
            raise UserError(
                "max_epochs",
                value=trainer.max_epochs,
                problem=f"{self._every} is a share of the number of epochs",
                fix="set it",
            )
        if not self._every.unit.startswith("stage"):
            return
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule) or data.growth is None or data.waiting:
            raise UserError(
                f"{type(self).__name__}: every",
                value=self._every,
                problem="needs data stages that begin at known times",
                fix="set a number of epochs or steps, such as '1ep' or '100st'",
            )

    def choose_probe(self, trainer: Trainer, module: LightningModule) -> Probe:
        """Return the examples that it looks at now: none."""
        return NO_PROBE

    @property
    def needs_history(self) -> bool:
        """Whether it compares with earlier moments of the run, so that one is not enough."""
        return False

    @property
    def group(self) -> str:
        """What its tags begin with."""
        return "diagnostics"

    @property
    def kind(self) -> tuple[str, ...]:
        """What tells its tags from those of others."""
        return (type(self).__name__,)

    @property
    def state_key(self) -> str:
        """What its state is kept by in checkpoints: one with other arguments begins anew."""
        return repr(self)

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return what is logged in an epoch: runs with equal answers can share it in a study."""
        following = Position(now.epoch + 1, now.step, now.stage + now.stage_ends)
        due = self._every.crossed(now, following, epochs)
        logged = f"every {self._every}"
        if following.epoch == epochs and not due:
            return f"{logged} and at the end"
        # Of shares and stages it depends on the run whether an epoch ends with one.
        whole = self._every.unit in ("ep", "st")
        return logged if whole or not due else f"{logged}, with this epoch"

    def due(self, now: Position, following: Position, epochs: int) -> bool:
        """Whether it is time, after a batch.

        Args:
            now: where the batch stood.
            following: where the next one stands, in the next epoch after an epoch's last batch.
            epochs: of the run; -1 if that is not known.
        """
        # Step 0 holds the network before it.
        if following.step < 2:
            return False
        if following.epoch > now.epoch and following.epoch == epochs:
            return True
        doubled = following.step.bit_length() > now.step.bit_length()
        if self.early and now.epoch == 0 and doubled:
            return True
        return self._every.crossed(now, following, epochs)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and Clock.add_to(trainer, pl_module).last is None:
            # It may have been in another Trainer; a checkpoint is loaded after this.
            self.begin()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that `plasticity_lab` has built was checked before.
        if Clock.of(trainer).added:
            check_sizes_known(pl_module)
            check_kinds(trainer.callbacks)  # type: ignore[attr-defined]  # set by a helper of Trainer
            self.check_logger(trainer)
            self.check_every(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock = Clock.of(trainer)
        if clock.last is not None:
            return
        if clock.added or not _has_known_data(trainer):
            check_diagnostic(self, self._first_look(trainer, pl_module))
        self._log(trainer, pl_module, 0)

    def _first_look(self, trainer: Trainer, module: LightningModule) -> Look:
        """Return a look to check by; a diagnostic of no examples needs none of the data."""
        if _has_known_data(trainer) or isinstance(self, ProbeDiagnostic):
            return blank_look(trainer, module)
        return run_look(trainer, module, NO_PROBE)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now, step = Clock.of(trainer).now, trainer.global_step
        following = now._replace(step=step)
        if trainer.is_last_batch:
            following = _start_of_next_epoch(trainer, now._replace(step=step))
        # Step 0 holds the network before it.
        ends_run = step >= 2 and 0 < trainer.max_steps <= step
        if ends_run or self.due(now, following, trainer.max_epochs or -1):
            self._log(trainer, pl_module, step - 1)

    def _log(self, trainer: Trainer, module: LightningModule, step: int) -> None:
        probe = self.choose_probe(trainer, module)
        measured = self.look_at(run_look(trainer, module, probe))
        tagged = {f"{self.group}/{name}": value for name, value in measured.items()}
        for logger in trainer.loggers:
            log_measured(logger, tagged, step)


@dataclass(repr=False, eq=False, kw_only=True)
class ProbeDiagnostic(Diagnostic):
    """Measures what a network makes of a probe: examples of the training split, not augmented.

    They are the same throughout the run, and drawn from the whole split, also while data grow.
    Where stages replace each other (a `Stream`) they are examples of the present stage, and where
    stages have transforms they are shown as the present stage has them; what compares networks on
    the same examples keeps those of the first stage.
    Skipped if the network's outputs on them are not finite.

    Batch norm uses statistics estimated on the probe, by one more forward pass, and the run's own
    stay as they are. Those are 0 and 1 before the first batch, and stale for the first epochs and
    after every reset of them or switch of the data: a network that uses them is another one than
    the network that is trained. `norm_statistics: running` measures with them nevertheless, as
    evaluation does; its tags begin with `diagnostics_running/` instead of `diagnostics/`.

    Args:
        examples: size of the probe.
        impaired: whether the probe has the deficits that are active, as training has them.
        norm_statistics: of batch norm: `estimated` on the probe, or the `running` ones.

    Raises:
        UserError: for a probe of no examples, or of a single one to estimate statistics on.

    Attributes:
        follows_examples: whether it compares networks on the same examples.

    Example:
        ```yaml
        class_path: callbacks.FisherInformation
        init_args: {every: 1ep, examples: 500, impaired: true}
        ```
    """

    follows_examples: ClassVar[bool] = False

    examples: int = 1000
    impaired: bool = False
    norm_statistics: NormStatistics = "estimated"

    def __post_init__(self) -> None:
        """Check the arguments; a subclass that checks its own calls this first."""
        super().__post_init__()
        if self.examples < 1:
            raise UserError("examples", value=self.examples, fix="set 1 or more")
        if self.examples == 1 and self.norm_statistics == "estimated":
            raise UserError(
                "examples",
                value="1",
                problem="too few to estimate the statistics of batch norm on",
                fix="set 2 or more",
            )

    def begin(self) -> None:
        """Choose no probe yet; a subclass that follows a run calls this, too."""
        super().begin()
        self._probe: Probe | None = None
        self._probe_stage: int | None = None  # of a stream, whose stages have their own examples

    def look_at(self, look: Look) -> Measured:
        """Measure, and leave everything as it was; nothing where the outputs are not finite."""
        with preserve_state(look.network), look.exact():
            if self.norm_statistics == "estimated":
                inputs, frozen = look.probe.inputs, look.frozen_norms
                estimate_norm_statistics(look.network, inputs, frozen=frozen)
            return self.measure(look) if look.outputs().isfinite().all() else {}

    def choose_probe(self, trainer: Trainer, module: LightningModule) -> Probe:
        """Return the examples that it looks at now."""
        data: Any = getattr(trainer, "datamodule", None)
        stage = None
        if _has_known_data(trainer) and data.differs_by_stage:
            stage = self.probe_stage(data.now.stage)
        if self._probe is None or self.impaired or stage != self._probe_stage:
            self._probe = choose_probe(trainer, module, self.examples, self.impaired, stage)
            self._probe_stage = stage
        return self._probe

    def probe_stage(self, stage: int) -> int:
        """Return the data stage whose examples it looks at in a stage of a stream."""
        return 0 if self.follows_examples else stage

    @property
    def group(self) -> str:
        """What its tags begin with."""
        return GROUPS[self.norm_statistics]

    @property
    def kind(self) -> tuple[str, ...]:
        """What tells its tags from those of others."""
        return type(self).__name__, self.norm_statistics


def log_measured(logger: Logger, measured: Measured, step: int) -> None:
    """Log values by tag at a step, figures among TensorBoard's images."""
    numbers = {name: value for name, value in measured.items() if not isinstance(value, Figure)}
    logger.log_metrics(numbers, step)
    if isinstance(logger, TensorBoardLogger):
        for name, value in measured.items():
            if isinstance(value, Figure):
                logger.experiment.add_figure(name, value, step)


def check_diagnostics(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for a diagnostic that this run cannot have, or has twice."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    check_kinds(callbacks)
    for diagnostic in callbacks:
        if not isinstance(diagnostic, Diagnostic):
            continue
        diagnostic.check_logger(trainer)
        diagnostic.check_every(trainer)
        # With other data a loader must be there, which is so at the first batch.
        if _has_known_data(trainer):
            check_diagnostic(diagnostic, blank_look(trainer, module))


def check_kinds(callbacks: Sequence[Callback]) -> None:
    """Raise UserError for two diagnostics that log the same tags."""
    kinds = [callback.kind for callback in callbacks if isinstance(callback, Diagnostic)]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise UserError(
                kind[0],
                problem="stands twice in callbacks, and both would log the same tags",
                fix="remove one",
            )


def _start_of_next_epoch(trainer: Trainer, now: Position) -> Position:
    """Return where the next epoch starts, as far as its data stage is known."""
    data: Any = getattr(trainer, "datamodule", None)
    following = now._replace(epoch=now.epoch + 1)
    if not isinstance(data, ImageDataModule):
        return following
    return data.position(following.epoch, following.step)


def _has_known_data(trainer: Trainer) -> bool:
    """Whether a run's examples can be told before it begins."""
    return isinstance(getattr(trainer, "datamodule", None), ImageDataModule)


def check_diagnostic(diagnostic: Diagnostic, look: Look) -> None:
    """Raise UserError, in a diagnostic's name, for what a network, task or run does not have."""
    with preserve_state(look.network):
        try:
            diagnostic.check(look)
        except UserError as error:
            raise error.within(type(diagnostic).__name__) from error
