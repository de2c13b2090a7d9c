"""The command line: LightningCLI's, with one-line errors and with config files found wherever the project is installed."""

import logging
import re
import warnings
from pathlib import Path
from typing import Any, NoReturn

from pytorch_lightning.cli import LightningArgumentParser

from errors import UserError

HERE = Path(__file__).parent
_NOISE = re.compile(r"^\s*(- |Problem with given|Parser key|Errors:|Given value|Does not validate against|Expected a <class|Not a valid sub)")


class Parser(LightningArgumentParser):
    """A parser whose errors are one line: the key, the value and what is wrong with it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as a `UserError`."""
        raise UserError(one_line(message))


def one_line(message: str) -> str:
    """Keep of a parser's nested message the keys on the way to the problem and the innermost line that says what it is."""
    lines = [line for line in message.splitlines() if line.strip()]
    keys = re.findall(r"(?:Parser key|parser key|Key) ['\"]([\w.\[\]+]+)['\"]", message)
    reasons = [line.strip(" -") for line in lines if not _NOISE.match(line)]
    reason = reasons[-1] if reasons else lines[0].strip()
    return f"{'.'.join(keys)}: {reason}" if keys else reason


def find_configs(args: list[str]) -> list[str]:
    """Replace config files that are not below the working directory by those that the project was installed with."""
    found = list(args)
    for index, (flag, value) in enumerate(zip(args, args[1:], strict=False), 1):
        if flag in ("--config", "-c") and not Path(value).exists() and (HERE / value).exists():
            found[index] = str(HERE / value)
    return found


def run_name(configs: list[Any]) -> str:
    """Name a kind of run after its config files: `digits+blur`; a run's own config.yaml gives the name of that kind again."""
    paths = [Path(str(config)).absolute() for config in configs]
    return "+".join(path.parent.parent.name if path.name == "config.yaml" else path.stem for path in paths) or "run"


def quiet() -> None:
    """Hide what Lightning says about itself, and warnings that do not concern a run."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(lambda record: "Tip:" not in str(record.msg))
    warnings.filterwarnings("ignore", r"\s*By default only one JsonargparseDeprecationWarning")  # LightningCLI calls deprecated names
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")  # Lightning's own
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")  # logged per epoch
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # on a resume
