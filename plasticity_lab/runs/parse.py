"""From a command line to the settings of one run."""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import yaml
from jsonargparse import DefaultHelpFormatter, Namespace
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from plasticity_lab.command_line import INSTALLED, called
from plasticity_lab.errors import UserError
from plasticity_lab.project import BESIDE, CONFIGS
from plasticity_lab.runs.command_line import ParseError, Parser, find_configs, one_line
from plasticity_lab.runs.config_checks import (
    SIZES,
    Given,
    check_given,
    check_numbers,
    given_settings,
    given_sizes,
)
from plasticity_lab.runs.file_names import KEYS
from plasticity_lab.runs.trainer import WholeLimits
from plasticity_lab.runs.type_hints import check_hints, check_nulls, class_named

# Short class names resolve for imported classes. An import statement here would count for the hash
# of every run's code with all that it imports.
for _package in (*BESIDE, "lightning_modules.networks"):
    import_module(_package)


class CLI(LightningCLI):
    """Lightning's command line, used for its parser only: `build` and `Run` do the rest."""

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options that are not arguments of a class."""
        parser.add_argument("--seed_everything", type=int, default=0, help="the run's seed")
        parser.add_argument(
            "--print_timeline",
            action="store_true",
            help="fit: print the schedule of data and interventions, then exit",
        )
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="where the run is kept; by default a new directory",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the seed, and sizes of the data, to the arguments that take them."""
        for name, source in SIZES.items():
            target = f"model.init_args.network.init_args.{name}"
            parser.link_arguments(f"data.{source}", target, apply_on="instantiate")
        for part in ("model", "data"):
            parser.link_arguments("seed_everything", f"{part}.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse nothing yet, so that no command runs."""
        self.config = {"subcommand": None, "seed_everything": False}

    def instantiate_classes(self) -> None:
        """Build nothing yet."""


DESCRIPTION = """One run of one config: network, data, what is done to them over time, and what is
measured meanwhile.

commands:
  fit       train, and measure the test split at the end
  validate  measure the validation split of a trained run
  test      measure the test split of a trained run
  predict   write what the network predicts of the test split: class probabilities, or values"""

OTHERS = """
  study     train a figure's worth of such runs from one file, see `{program} study --help`
  measure   diagnostics on checkpoints, see `{program} measure --help`"""

EXAMPLES = """examples:
  {program} fit --config configs/digits.yaml
  {program} fit --config configs/digits.yaml --config configs/deficits/blur_digits.yaml
  {program} fit --config configs/digits.yaml --print_timeline
  {program} fit --config configs/digits.yaml --trainer.max_epochs 10 --seed_everything 1
  {program} fit --config configs/digits.yaml --ckpt_path last
  {program} test --config runs/digits/RUN/config.yaml --ckpt_path last

Several --config files are merged in their order, and options of the command line over them.
`fit --print_config` shows every key, and `fit --data.help datamodules.ImageDataModule` the
arguments of a class."""

TIMES = """times, wherever something happens over time (at, every, during, levels, until):
  80ep     the start of epoch 80, of which the first is 0
  4000st   after 4,000 optimizer steps
  50%      the first epoch at or after that share of max_epochs
  stage2   the start of the third stage of growing data; stages: of every stage but the first"""


class Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of texts as they are written."""


def parser(command: str | None = None) -> LightningArgumentParser:
    """Return the parser of `train.py`, or of one of its commands."""
    return command_line()._parser(command)


@cache
def command_line() -> CLI:
    """Return the command line, built once since that takes a third of a second."""
    base = str(CONFIGS / "base.yaml")
    program = called("train.py")
    installed = program == INSTALLED
    others = OTHERS.format(program=program) if installed else ""
    cli = CLI(
        LightningModule,
        LightningDataModule,
        trainer_class=WholeLimits,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        # Checkpoints hold state, not settings.
        load_from_checkpoint_support=False,
        save_config_callback=None,
        parser_class=Parser,
        parser_kwargs={
            "description": f"{DESCRIPTION}{others}",
            "epilog": f"{EXAMPLES.format(program=program)}\n\n{TIMES}",
            "formatter_class": Help,
            **{
                name: {"default_config_files": [base], "epilog": TIMES, "formatter_class": Help}
                for name in CLI.subcommands()
            },
        },
    )
    if installed:
        # Only now, as the usage of each command would begin with that of all.
        cli.parser.usage = (
            f"%(prog)s [-c CONFIG] {{{','.join([*CLI.subcommands(), 'study', 'measure'])}}} ..."
        )
    return cli


class Config(NamedTuple):
    """A parsed command line.

    Attributes:
        command: `fit`, `validate`, `test` or `predict`.
        settings: all settings, parsed.
        given: the settings that the user wrote, in files and on the command line.
    """

    command: str
    settings: Namespace
    given: Sequence[Given]

    def resolved(self) -> dict[str, Any]:
        """Return the settings that define the run, in plain values."""
        # `parse` has validated the settings: doing so again would take twice the time of all else.
        text = parser(self.command).dump(self.settings, skip_unset=False, skip_validation=True)
        dump = yaml.safe_load(text)
        if sizes := self._own_sizes():
            dump["model"]["init_args"]["network"].setdefault("init_args", {}).update(sizes)
        return {key: dump[key] for key in KEYS}

    def _own_sizes(self) -> dict[str, Any]:
        """Return the sizes of the network that the user wrote since the data do not give them.

        The parser leaves out all that data could fill in.
        """
        data = class_named(self.settings.data.class_path)
        network = self.settings.model.get("init_args.network.init_args") or {}
        return {
            name: network[name]
            for name in sorted(given_sizes(self.given))
            if name in network and not hasattr(data, SIZES[name])
        }


def _prints(arguments: Sequence[str]) -> bool:
    """Whether the config is asked for, which only the parser of all commands prints."""
    return any(argument.startswith("--print_config") for argument in arguments)


def parse(args: Sequence[str]) -> Config:
    """Parse a command line, `fit --config FILE…`.

    Args:
        args: without the program's name.

    Raises:
        UserError: for what is not a setting, or not a value of one.
        SystemExit: after `--help` and `--print_config`.
    """
    arguments = find_configs(list(args))
    given = given_settings(arguments)
    check_given(given)
    try:
        if arguments and arguments[0] in CLI.subcommands() and not _prints(arguments):
            # The parser of all commands would parse and validate the settings twice as often.
            command, settings = arguments[0], parser(arguments[0]).parse_args(arguments[1:])
        else:
            whole = parser().parse_args(arguments)
            command, settings = whole.subcommand, whole[whole.subcommand]
    except ParseError as error:
        raise UserError(one_line(str(error))) from None
    check_numbers(settings)
    check_hints(settings)
    check_nulls(settings)
    return Config(command, settings, given)
