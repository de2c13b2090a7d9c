"""From settings to a run: trainer, network and data are built; nothing is trained or written."""

import sys
import sysconfig
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning_fabric.utilities.seed import seed_everything
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, TQDMProgressBar
from torch import nn

from callbacks import Clock, StageEnd
from datamodules import ImageDataModule
from lightning_modules import Supervised
from plasticity_lab.checkpoint_files import AtomicCheckpointIO
from plasticity_lab.errors import UserError
from plasticity_lab.project import BESIDE, CODE, PACKAGE
from plasticity_lab.runs import run_directory, sessions
from plasticity_lab.runs.branch import BranchFromCheckpoint
from plasticity_lab.runs.command_line import one_line, run_dir_of, run_name
from plasticity_lab.runs.config_checks import SIZES, check_length
from plasticity_lab.runs.data_monitor import DataMonitor
from plasticity_lab.runs.epoch_checkpoint import EpochCheckpoint
from plasticity_lab.runs.exact_resume import ExactResume
from plasticity_lab.runs.late_errors import refused
from plasticity_lab.runs.parse import Config, parser
from plasticity_lab.runs.plain_text_progress import PlainTextProgress
from plasticity_lab.runs.prediction_writer import PredictionWriter
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.run_directory import RunLocation
from plasticity_lab.runs.run_lines import RunLines
from plasticity_lab.runs.run_record import RunRecord
from plasticity_lab.runs.terminate_on_nan import TerminateOnNaN
from plasticity_lab.runs.trainer import WholeLimits
from plasticity_lab.runs.type_hints import check_size
from plasticity_lab.surgery.construction import Shape, construct, materialise


class Builder:
    """Builds networks whose initial values can be drawn again, lazy layers included.

    Lazy layers get their sizes from the data.

    The parser hands it on to the model, which must be possible to copy: it holds nothing else.
    """

    def __init__(self) -> None:
        self.shape: Shape | None = None
        self.data_kind: type[LightningDataModule] = LightningDataModule
        self.unknown: dict[str, str] = {}

    def data_module(
        self, kind: type[LightningDataModule], /, *args: Any, **kwargs: Any
    ) -> LightningDataModule:
        """Build the data, which come before the networks that take sizes from them."""
        data = kind(*args, **kwargs)
        if isinstance(data, ImageDataModule):
            self.shape = data.splits.train.shape
        self.data_kind = type(data)
        self.unknown = {name: source for name, source in SIZES.items() if not hasattr(data, source)}
        return data

    def network(self, kind: type[nn.Module], /, *args: Any, **kwargs: Any) -> nn.Module:
        """Build a network; `Supervised` has been given one."""
        if issubclass(kind, LightningModule):
            # What it holds is a whole network, whose input is an image; a part of a network has
            # another.
            for part in (*args, *kwargs.values()):
                if isinstance(part, nn.Module) and self.shape is not None:
                    materialise(part, self.shape)
        if issubclass(kind, Supervised):
            return kind(*args, **kwargs)
        for name, source in self.unknown.items():
            if name in kwargs and kwargs[name] is None:
                check_size(kind, name, self.data_kind, source)
        try:
            return construct(kind, *args, **kwargs)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            if not kind.__module__.startswith(("timm.", "torch.", "torchvision.")):
                raise
            raise UserError("network", value=kind.__name__, problem=error) from error


def build(
    config: Config,
    place: RunLocation | None = None,
    extra: Sequence[Callback] = (),
    keep_end: bool = True,
) -> Run:
    """Build a run.

    Args:
        config: as `parse` returns it.
        place: where the run is kept and what it starts from; by default as the settings say.
        extra: callbacks besides those of the settings, called last.
        keep_end: keep the end of the run in `last.ckpt`.

    Raises:
        UserError: for settings that cannot be built.
    """
    _check_settings(config)
    text = yaml.safe_dump(config.resolved(), sort_keys=False)
    place = place or _place(config, text)

    # The parts that the settings name.
    seed_everything(config.settings.seed_everything, workers=True)
    parts = _instantiated(config)
    listed = list(parts.trainer.callbacks or [])

    # The callbacks that every run has.
    record = RunRecord(place, text, config.settings.seed_everything)
    own: list[Callback] = [record, *_own_callbacks(config, parts, place, keep_end)]
    predictions = None
    if config.command == "predict":
        if not isinstance(parts.data, ImageDataModule):
            raise UserError(
                "data",
                value=type(parts.data).__name__,
                problem="predict writes examples of a test split by their index",
                fix="use datamodules.ImageDataModule",
            )
        predictions = place.directory / f"predictions-{time.strftime('%Y%m%d-%H%M%S')}.csv"
        names, numbers = parts.data.class_names, parts.data.num_outputs
        own.append(PredictionWriter(predictions, names, numbers))

    trainer = _trainer(config, parts.trainer, place, own, record)
    trainer.callbacks.extend(extra)  # type: ignore[attr-defined]  # set by a helper of Trainer
    return Run(config, trainer, parts.model, parts.data, place, record, listed, predictions)


def _check_settings(config: Config) -> None:
    settings = config.settings
    if not 0 <= settings.seed_everything < 2**32:
        raise UserError(
            "seed_everything",
            value=settings.seed_everything,
            fix=f"set a whole number in 0…{2**32 - 1}",
        )
    if settings.print_timeline and config.command != "fit":
        raise UserError(
            "print_timeline", problem=f"{config.command} trains nothing", fix="use it with fit"
        )
    if config.command == "fit":
        check_length(settings.trainer)


def _place(config: Config, text: str) -> RunLocation:
    """Decide where the run is kept and what it starts from."""
    settings = config.settings
    files = settings.config or []
    root = Path(settings.trainer.default_root_dir or "runs")
    run_dir = settings.run_dir
    if not run_dir and settings.ckpt_path == "last":
        run_dir = run_dir_of(files)
    locate = run_directory.locate_evaluation
    if config.command == "fit":
        locate = run_directory.locate_run
    try:
        return locate(root, run_name(files), text, run_dir, settings.ckpt_path)
    except OSError as error:
        raise UserError(
            "run_dir", value=run_dir or root, problem=error.strerror, fix="name another directory"
        ) from None


def _instantiated(config: Config) -> Namespace:
    """Build data and module, and the arguments of the trainer."""
    builder = Builder()
    instantiators = [
        (builder.data_module, LightningDataModule, True),
        (builder.network, nn.Module, True),
    ]
    try:
        built: Namespace = parser(config.command).instantiate(
            config.settings, instantiators=instantiators
        )
    except ValueError as error:
        # The parser wraps a constructor's error about its values.
        if "Does not validate" not in str(error):
            raise
        size = builder.shape[1:] if builder.shape else ()
        if len(set(size)) == 2 and f"Got value: {size}" in str(error):
            network = config.settings.model.init_args.network.class_path
            raise UserError(
                "network",
                value=network.rpartition(".")[2],
                problem=(
                    f"image_size is one number, and images are {size[0]} x {size[1]} (height "
                    f"x width)"
                ),
                fix="set `image_size: int | tuple[int, int]` in its __init__, or use squares",
            ) from error
        raise UserError(f"{one_line(str(error))}{_where_it_failed(error)}") from error
    return built


_NOT_OWN = [
    PACKAGE,
    *(CODE / package for package in BESIDE),
    *(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
]
"""Folders of this project, of Python and of what is installed."""


def _where_it_failed(error: BaseException) -> str:
    """Return where the user's own code has failed, if it was that which failed."""
    while "Does not validate" in str(error) and error.__cause__ is not None:
        error = error.__cause__
    passed = [
        (Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    ]
    own = [
        (file, line)
        for file, line in passed
        if not any(file.is_relative_to(folder) for folder in _NOT_OWN)
    ]
    if not own or isinstance(error, UserError):
        return ""
    file, line = own[-1]
    return f" ({type(error).__name__} in {file.name}, line {line})"


def _own_callbacks(
    config: Config, parts: Namespace, place: RunLocation, keep_end: bool
) -> list[Callback]:
    """Return the callbacks that every run has, whatever its settings list."""
    fits = config.command == "fit"
    options = parts.trainer
    listed = options.callbacks or []
    own: list[Callback] = [
        RunLines(place),
        ExactResume(config.settings.seed_everything),
        TerminateOnNaN(),
        Clock(config.settings.seed_everything),
        DataMonitor(resumed=place.resumed_at is not None),
    ]

    # Data stages that wait for the network.
    waits = getattr(getattr(parts.data, "growth", None), "until", None) is not None
    if fits and waits and not _includes(listed, StageEnd):
        own.append(StageEnd())

    # A branch has the rates of its own config.
    if fits and place.checkpoint and place.resumed_at is None:
        own.append(BranchFromCheckpoint())

    # The last state.
    checkpoints = options.enable_checkpointing is not False
    if keep_end and checkpoints and not options.fast_dev_run and not options.barebones:
        own.append(EpochCheckpoint(place.directory))

    # Progress, in a form that suits the output.
    if options.enable_progress_bar is not False and not _includes(listed, ProgressBar):
        own.append(TQDMProgressBar(refresh_rate=50) if sys.stderr.isatty() else PlainTextProgress())
    return own


def _includes(listed: Sequence[Callback], kind: type[Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in listed)


def _trainer(
    config: Config,
    options: Namespace,
    place: RunLocation,
    own: Sequence[Callback],
    record: RunRecord,
) -> Trainer:
    """Build the trainer.

    Args:
        config: of the run.
        options: the trainer's settings, with the objects that they name.
        place: where the run is kept.
        own: callbacks that every run has; those of the settings follow them.
        record: the one of these that makes the run's directory.
    """
    fits = config.command == "fit"
    listed = options.callbacks or []
    if options.fast_dev_run:
        # Lightning disables all but the last checkpoint then.
        listed = [callback for callback in listed if not isinstance(callback, Checkpoint)]

    # Checkpoints lie in the run's directory, also beside a logger that keeps its files elsewhere.
    for callback in listed:
        if not isinstance(callback, ModelCheckpoint):
            continue
        if callback.dirpath is not None and fits:
            name = type(callback).__name__
            run_directory.check_writable(f"{name}: dirpath", Path(callback.dirpath))
        else:
            callback.dirpath = str(place.directory / "checkpoints")
    files = AtomicCheckpointIO(place.checkpoint if place.resumed_at is not None else None)

    plugins = options.plugins or []
    if not isinstance(plugins, list):
        plugins = [plugins]
    arguments = {
        **options.as_dict(),
        "default_root_dir": str(place.directory),
        "logger": sessions.loggers(options.logger, place, record) if fits else False,
        "plugins": [*plugins, files],
        "callbacks": [*own, *listed],
    }
    try:
        trainer = WholeLimits(**arguments)
    except (ArithmeticError, ModuleNotFoundError, RuntimeError, TypeError, ValueError) as error:
        raise refused(error) from error
    sessions.check_launcher(trainer, options.strategy)
    if fits:
        record.trainer = trainer
        sessions.prepare(trainer, place)
    return trainer
