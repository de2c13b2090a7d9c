"""`python train.py fit|validate|test|predict --config FILE…`: one run, from YAML alone."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from torch import nn

import before_training
import callbacks.branch
import datamodules  # short class names resolve for imported classes
import lightning_modules.networks
import run_directory
import sessions
from checkpoint_files import AtomicCheckpointIO, check_network, check_optimizer, read_checkpoint
from command_line import HERE, ParseError, Parser, find_configs, one_line, quiet, run_name, run_of
from config_checks import LINKS, check_length, check_links, given_settings
from errors import Diverged, UserError
from late_errors import is_refusal, refused
from lightning_modules.construction import Shape, construct, materialise
from run_log import look_at_it
from trainer import WholeLimits


class Builder:
    """Builds networks such that their initial values can be drawn again, and gives lazy layers the sizes of the data.

    (No method of the CLI: the parser hands it on to the model, which must be possible to copy.)
    """

    def __init__(self) -> None:
        self.shape: Shape | None = None

    def data_module(self, kind: type[LightningDataModule], /, *args: Any, **kwargs: Any) -> LightningDataModule:
        """Build the data, which come before the networks that take sizes from them."""
        data = kind(*args, **kwargs)
        if isinstance(data, datamodules.ImageDataModule):
            self.shape = data.splits.train.shape
        return data

    def network(self, kind: type[nn.Module], /, *args: Any, **kwargs: Any) -> nn.Module:
        """Build a network; `ImageClassifier` has been given one."""
        if issubclass(kind, LightningModule):
            # What it holds is a whole network, whose input is an image; a part of a network has another.
            for part in (*args, *kwargs.values()):
                if isinstance(part, nn.Module) and self.shape is not None:
                    materialise(part, self.shape)
        if issubclass(kind, lightning_modules.ImageClassifier):
            return kind(*args, **kwargs)
        try:
            return construct(kind, *args, **kwargs)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            if not kind.__module__.startswith(("torch.", "torchvision.")):
                raise
            raise UserError(f"network: {kind.__name__}: {error}") from error


class CLI(LightningCLI):
    """Composes data, module, callbacks and run directory."""

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is not a class's argument."""
        parser.add_argument("--seed_everything", type=int, default=0, help="the run's seed")
        parser.add_argument("--print_timeline", action="store_true", help="fit: say what the network is shown when, and stop")
        parser.add_argument("--run_dir", type=str | None, default=None, help="where the run is kept; by default a new directory")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Let data and seed reach the classes that want them."""
        for name in ("in_channels", "num_classes", "image_size"):
            parser.link_arguments(f"data.{name}", f"model.init_args.network.init_args.{name}", apply_on="instantiate")
        for part in ("model", "data"):
            parser.link_arguments("seed_everything", f"{part}.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse (without Lightning's warning that arguments are passed from within Python)."""
        self.config = parser.parse_args(args)
        self.given = given_settings(args)

    def _set_seed(self) -> None:
        """Seed the global streams."""
        seed = self._get(self.config, "seed_everything")
        if not 0 <= seed < 2**32:
            raise UserError(f"seed_everything: {seed}: write a whole number in 0…{2**32 - 1}")
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """The command line alone holds settings; a checkpoint restores state only."""

    def before_instantiate_classes(self) -> None:
        """Decide where the run is kept and what it starts from."""
        settings = self.config[self.subcommand]
        if settings.print_timeline and self.subcommand != "fit":
            raise UserError(f"print_timeline: {self.subcommand} trains nothing; use it with fit")
        if self.subcommand == "fit":
            check_length(settings.trainer)
        dump = yaml.safe_load(self._parser(self.subcommand).dump(settings, skip_unset=False))
        self.config_text = yaml.safe_dump({key: dump[key] for key in run_directory.KEYS}, sort_keys=False)
        place = run_directory.place_run if self.subcommand == "fit" else run_directory.place_evaluation
        root, name = Path(settings.trainer.default_root_dir or "runs"), run_name(settings.config or [])
        run_dir = settings.run_dir or (run_of(settings.config or []) if settings.ckpt_path == "last" else None)
        try:
            self.place = place(root, name, self.config_text, run_dir, settings.ckpt_path)
        except OSError as error:
            raise UserError(f"run_dir: {run_dir or root}: {error.strerror}; name another directory") from None
        settings.ckpt_path = str(self.place.checkpoint) if self.place.checkpoint else None

    def instantiate_classes(self) -> None:
        """Build data, module and trainer; the parser wraps what a constructor says about its values."""
        builder = Builder()
        self.parser.add_instantiator(builder.data_module, LightningDataModule)
        self.parser.add_instantiator(builder.network, nn.Module)
        try:
            super().instantiate_classes()
        except ValueError as error:
            if "Does not validate" not in str(error):
                raise
            raise ParseError(str(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with what every run has."""
        chosen = self._get(self.config_init, "trainer")
        # Under fast_dev_run Lightning disables all but the last checkpoint.
        theirs = [one for one in chosen.callbacks or [] if not (chosen.fast_dev_run and isinstance(one, Checkpoint))]
        seed = self._get(self.config, "seed_everything")
        self.record = record = callbacks.RunRecord(self.place, self.config_text, seed)
        own: list[Callback] = [
            record,
            callbacks.RunLines(self.place),
            callbacks.ExactResume(seed),
            callbacks.FiniteLoss(),
            callbacks.Clock(seed),
            callbacks.DataLog(resumed=self.place.resumed_at is not None),
        ]
        waits = getattr(getattr(self.datamodule, "growth", None), "until", None) is not None
        if self.subcommand == "fit" and waits and not any(isinstance(one, callbacks.StageEnd) for one in theirs):
            own.append(callbacks.StageEnd())
        if self.subcommand == "fit" and self.place.checkpoint and self.place.resumed_at is None:
            own.append(callbacks.Branch())
        own += self.own_checkpoint()
        for one in theirs:
            if isinstance(one, ModelCheckpoint) and one.dirpath is not None and self.subcommand == "fit":
                run_directory.check_writable(f"{type(one).__name__}: dirpath", Path(one.dirpath))
            elif isinstance(one, ModelCheckpoint):
                one.dirpath = str(self.place.directory / "checkpoints")  # also beside a logger that keeps its files elsewhere
        if chosen.enable_progress_bar is not False and not any(isinstance(one, ProgressBar) for one in theirs):
            own.append(TQDMProgressBar(refresh_rate=50) if sys.stderr.isatty() else callbacks.EpochLines())
        logger = chosen.logger
        if self.subcommand == "predict":
            self.predictions = self.place.directory / f"predictions-{time.strftime('%Y%m%d-%H%M%S')}.csv"
            own.append(callbacks.PredictionFile(self.predictions, self.datamodule.splits.test.classes))
        logger = sessions.loggers(logger, self.place, record) if self.subcommand == "fit" else False
        files = AtomicCheckpointIO(self.place.checkpoint if self.place.resumed_at is not None else None)
        plugins = [*(chosen.plugins if isinstance(chosen.plugins, list) else filter(None, [chosen.plugins])), files]
        given = {"default_root_dir": str(self.place.directory), "logger": logger, "plugins": plugins}
        try:
            trainer = super().instantiate_trainer(**given, callbacks=[*own, *theirs], **kwargs)
        except (ArithmeticError, ModuleNotFoundError, RuntimeError, TypeError, ValueError) as error:
            raise refused(error) from error
        sessions.check_launcher(trainer, chosen.strategy)
        if self.subcommand == "fit":
            record.trainer = trainer
            sessions.prepare(trainer, self.place)
        return trainer

    def own_checkpoint(self) -> list[Callback]:
        """Return what keeps the end of the run, which no list of callbacks can replace."""
        chosen = self._get(self.config_init, "trainer")
        kept = chosen.enable_checkpointing is not False and not chosen.fast_dev_run and not chosen.barebones
        return [callbacks.EpochCheckpoint(self.place.directory)] if kept else []

    def after_instantiate_classes(self) -> None:
        """Refuse what only shows once everything is built, before anything is written."""
        linked = {link.name: getattr(self.datamodule, link.name, None) for link in LINKS}
        check_links(self.given, linked | {"seed_everything": self._get(self.config, "seed_everything")})
        if self._get(self.config, "trainer").sync_batchnorm and self.trainer.strategy.root_device.type == "cpu":
            raise UserError("sync_batchnorm: true: torch synchronises batch norm on GPUs only; leave it out, or use norm: group")
        if self.subcommand != "fit":
            before_training.check_evaluation(self.trainer, self.place.directory, str(self.subcommand))
        if self.place.checkpoint:
            checkpoint = read_checkpoint(self.place.checkpoint)
            check_network(checkpoint, self.model.state_dict(), self.place.checkpoint)
            if self.subcommand == "fit":
                optimizer, _ = callbacks.branch.configured(self.model)
                if optimizer is not None:
                    check_optimizer(checkpoint, optimizer.state_dict(), self.place.checkpoint)

    def before_fit(self) -> None:
        """Refuse what would fail or contradict the checkpoint; say what will happen if only that is asked for."""
        self.trainer.datamodule = self.datamodule  # type: ignore[attr-defined]  # Lightning does so, later
        self.datamodule.trainer = self.trainer
        checkpoint = read_checkpoint(self.place.checkpoint) if self.place.checkpoint else None
        before_training.check(self.trainer, self.model, checkpoint)
        if checkpoint and self.place.resumed_at is None:
            before_training.check_length_left(self.trainer, checkpoint, self.place.checkpoint)
        if self._get(self.config, "print_timeline"):
            if self.trainer.is_global_zero:
                print(before_training.schedule(self.trainer))
            raise SystemExit

    def _run_subcommand(self, subcommand: str) -> None:
        """Train or measure; a session that ends early says how to resume.

        What Lightning refuses before training begins is a mistake in the settings.
        """
        try:
            with sessions.explained(self.trainer, self.place.directory):
                super()._run_subcommand(subcommand)
        except (UserError, Diverged, MisconfigurationException):
            raise
        except Exception as error:
            # Only the first rank knows whether training has begun; the others stop with it.
            if self.record.begun or not self.trainer.is_global_zero or not is_refusal(error):
                raise
            raise refused(error) from error

    def after_validate(self) -> None:
        """Say what was measured."""
        if self.trainer.is_global_zero:
            print("   ".join(f"{name} {float(value):.4f}" for name, value in sorted(self.trainer.callback_metrics.items())))

    after_test = after_validate

    def after_predict(self) -> None:
        """Say where the probabilities are."""
        print(f"class probabilities: {self.predictions}")

    def after_fit(self) -> None:
        """Measure the trained network on the test split and say where everything is."""
        metrics = dict(self.trainer.callback_metrics)
        self.trainer.test(self.model, self.datamodule, verbose=False)
        metrics |= self.trainer.callback_metrics
        if self.trainer.is_global_zero and not self._get(self.config, "trainer").fast_dev_run:
            accuracies = {split: metrics.get(f"{split}/accuracy") for split in ("train", "test")}
            shown = [f"{split} accuracy {float(value):.2%}" for split, value in accuracies.items() if value is not None]
            print("", "   ".join(shown), f"run directory: {self.place.directory}", sep="\n")
            print("\n".join(look_at_it(self.trainer.loggers)))


def main(args: list[str] | None = None, kind: type[CLI] = CLI) -> CLI:
    """Run a command line; a user's mistake ends in one line and exit code 2."""
    quiet()
    try:
        return kind(
            LightningModule,
            LightningDataModule,
            trainer_class=WholeLimits,
            args=find_configs(sys.argv[1:] if args is None else args),
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints hold state, not settings
            save_config_callback=None,
            parser_class=Parser,
            parser_kwargs={name: {"default_config_files": [str(HERE / "configs/base.yaml")]} for name in CLI.subcommands()},
        )
    except (UserError, Diverged, MisconfigurationException) as error:
        line = one_line(str(error)) if isinstance(error, ParseError) else " ".join(str(error).split())
        print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except RuntimeError as error:
        if "Connection closed by peer" in str(error):
            raise SystemExit(1) from None  # another rank has stopped, and says why
        if "Early stopping conditioned on metric" not in str(error):
            raise
        print(f"{Path(sys.argv[0]).name}: error: EarlyStopping: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
