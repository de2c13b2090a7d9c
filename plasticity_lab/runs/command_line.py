"""LightningCLI's command line, with errors in one line and configs found anywhere.

Configs are found wherever the project is installed.
"""

import hashlib
import re
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from jsonargparse.typing import register_type
from lightning_utilities.core.enums import StrEnum
from pytorch_lightning.cli import LightningArgumentParser

from plasticity_lab.errors import UserError
from plasticity_lab.project import ROOT
from plasticity_lab.timing import Time

_LONGEST_NAME = 200
"""Bytes in the name of a folder of runs."""

_KEY = re.compile(r"Parser key \"([^\"]+)\"")
_NOISE = re.compile(
    r"Does not validate|Subtypes:|Errors$|Given value|Expected a path but"
    r"|Problem with given class_path|Expected a <class 'NoneType'>|Not a valid subclass of"
    r"|Subclass types expect|a class path \(str\)|a dict with"
)
_TIME = "Not of type Time: "

# Types that arguments have, and how YAML writes them: a moment as text, the default of Lightning's
# Timer, and an argument of StochasticWeightAveraging.
register_type(Time, deserializer_exceptions=UserError)
yaml.SafeDumper.add_multi_representer(
    StrEnum, lambda dumper, member: dumper.represent_str(member.value)
)
register_type(torch.device)


class ParseError(Exception):
    """What the parser says, in many lines; `one_line` makes one of them."""


class Parser(LightningArgumentParser):
    """A parser that raises its errors and takes no abbreviated options.

    A mistyped key would pass for an abbreviation.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message instead of printing usage and exiting."""
        raise ParseError(message)


def one_line(message: str) -> str:
    """Shorten a parser's nested message to the keys, the reasons and the value.

    Args:
        message: lines `Parser key "…":`, each level indented, with the alternatives of a type as `-
            …` below them.
    """
    # A key stands there once for each alternative.
    keys = ".".join(key for key, _ in groupby(_KEY.findall(message)))
    reason = _reason(message)
    if unknown := re.search(r"Expected a dot import path string: (\S+)", reason):
        reason = f"no class is named {unknown[1]}; use its full path, as in the configs"
    if missing := re.search(r"the following arguments are required: ((\w+).*)", reason):
        # Of the classes in the message, the one in which the argument is still empty.
        kind = re.search(
            rf"class_path='[\w.]*?(\w+)', init_args=Namespace\([^()]*\b{missing[2]}=None", message
        )
        if kind:
            reason = f"{kind[1]}: {missing[1]}: has no default; set a value"
    if "add_function_arguments" in message:
        adapter = (
            "class_path: lightning_modules.networks.TorchvisionNetwork, init_args: {name: resnet18}"
        )
        reason = (
            f"a function; set the path of a class, for torchvision's networks {adapter}, "
            "for timm's likewise TimmNetwork"
        )
    if "surrogates not allowed" in reason:
        reason = (
            "a name that is not UTF-8, which a config cannot hold; use the name of a link to it"
        )
    if "is abstract" in reason and "Expected an instantiatable" in reason:
        reason = "there is none whose arguments these could be; set its class_path too"
    reason = re.sub(
        r"Group '(.+)' does not accept option '(.+)'", r"there is no option '\1.\2'", reason
    )
    if "not accept" in reason or "there is no option" in reason:
        reason += "; --print_config shows the keys there are"
    values = re.findall(r"Given value: ([^{(\n]+)$", message, re.MULTILINE)
    if values and "Got value" not in reason:
        reason += f". Got value: {values[-1]}"
    return f"{keys}: {reason}" if keys else reason


def _reason(message: str) -> str:
    """Return what a parser's message gives as reasons, or else what it expected."""
    lines = [_KEY.sub("", line).strip(" -:") for line in message.splitlines()]
    reasons = [line.removeprefix(_TIME) for line in lines if line and not _NOISE.match(line)]
    if any(reasons):
        return " or ".join(dict.fromkeys(reasons))
    if kind := re.search(r"Not a valid subclass of (\w+)", message):
        return (
            f"not a {kind[1]}: set the class path of one, or its keys and values, as in the configs"
        )
    return "not a value of the kind expected"


def find_configs(args: list[str]) -> list[str]:
    """Replace config files that do not exist here by those of the installed project.

    "Here" is below the working directory.
    """
    parts: list[str] = []
    for arg in args:
        parts += arg.split("=", 1) if arg.startswith("--config=") else [arg]
    resolved = list(parts)
    for index, (flag, value) in enumerate(pairwise(parts), 1):
        if flag in ("--config", "-c") and not Path(value).exists() and (ROOT / value).exists():
            resolved[index] = str(ROOT / value)
    return resolved


def run_name(configs: list[Any]) -> str:
    """Name a kind of run after its config files: `digits+blur`.

    A run's own config.yaml gives the name of its kind.
    """
    paths = [Path(str(config)).absolute() for config in configs]
    names = [path.parent.parent.name if path.name == "config.yaml" else path.stem for path in paths]
    name = "+".join(names) or "run"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    # File systems take 255 bytes; a hash keeps names apart that begin alike.
    beginning = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore")
    return f"{beginning}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def run_dir_of(configs: list[Any]) -> str | None:
    """Return the run directory whose own config.yaml was given last, None if another file was."""
    path = Path(str(configs[-1])).absolute() if configs else Path()
    if path.name == "config.yaml" and path.with_name("manifest.json").exists():
        return str(path.parent)
    return None
