"""Where a run keeps its config, manifest, event files and checkpoints."""

import secrets
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from checkpoint_files import LAST, discard_unfinished, find_last, read_checkpoint
from errors import UserError

KEYS = ("seed_everything", "trainer", "model", "data")
"""What makes a run what it is, of all the keys of a config."""

CONFIG = "config.yaml"


class Place(NamedTuple):
    """Where a command works.

    Attributes:
        directory: the run's directory.
        checkpoint: what the command starts from; None is a fresh network.
        resumed_at: optimizer steps already taken in this directory's run; None if the run begins here.
    """

    directory: Path
    checkpoint: Path | None
    resumed_at: int | None


def place_run(root: Path, name: str, config: str, run_dir: str | None, ckpt_path: str | None) -> Place:
    """Decide where `fit` keeps its run.

    A new directory, named so that no other run has it; with `run_dir` that one. With `ckpt_path` the run resumes in the directory
    of the checkpoint if that holds this very config, else it branches into a new one. `last` is the last checkpoint of `run_dir`,
    or of the newest run of this very config; without any the run begins.

    Args:
        root: where runs are kept.
        name: the kind of run, a folder in `root`.
        config: text of the resolved config.
        run_dir: as on the command line.
        ckpt_path: as on the command line.

    Raises:
        UserError: if the directory holds another run, or there is no such checkpoint.
    """
    root = root.absolute()
    fresh = root / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    if ckpt_path == "last":
        directory = Path(run_dir).absolute() if run_dir else _last_run(root, name, config) or fresh
        checkpoint = find_last(directory / "checkpoints", trainable=True)
        resumed = _holds(directory, config)
    else:
        checkpoint = Path(ckpt_path) if ckpt_path else None
        home = _home(checkpoint) if checkpoint else None
        resumed = home is not None and _holds(home, config) and (run_dir is None or home == Path(run_dir).absolute())
        directory = Path(run_dir).absolute() if run_dir else home if home and resumed else fresh
    if not resumed and directory.exists() and any(not file.name.startswith(".") for file in directory.iterdir()):
        way_out = "go on with it by --ckpt_path last, or " if _holds(directory, config) else ""
        raise UserError(f"run_dir: {directory}: holds another run; {way_out}name a new directory")
    steps = read_checkpoint(checkpoint, trainable=True)["global_step"] if checkpoint else 0
    return Place(directory, checkpoint, steps if resumed else None)


def place_evaluation(root: Path, name: str, config: str, run_dir: str | None, ckpt_path: str | None) -> Place:
    """Find the trained network that `validate`, `test` and `predict` need; arguments as `place_run`."""
    if ckpt_path == "last":
        directory = Path(run_dir) if run_dir else _last_run(root, name, config)
        checkpoint = find_last(directory / "checkpoints") if directory else None
    else:
        checkpoint = Path(ckpt_path) if ckpt_path else None
    if checkpoint is None:
        raise UserError(f"ckpt_path: {ckpt_path}: no trained network of this config in {run_dir or root / name}; name a checkpoint")
    read_checkpoint(checkpoint)
    home = _home(checkpoint)
    return Place(home if (home / CONFIG).is_file() else Path(run_dir or ".").absolute(), checkpoint, None)


def claim(directory: Path, config: str) -> None:
    """Write a run's config into its directory, whole or not at all, unless it is there."""
    if not (directory / CONFIG).exists():
        unfinished = directory / f".{CONFIG}.tmp"
        unfinished.write_text(config)
        unfinished.replace(directory / CONFIG)


def clean(place: Place) -> None:
    """Remove from a run's directory what a killed session left unfinished, where the run resumes from its last checkpoint."""
    for file in place.directory.glob(".*.tmp"):
        file.unlink()
    if place.resumed_at is not None and (place.checkpoint is None or place.checkpoint.name == LAST):
        discard_unfinished(place.directory / "checkpoints")


def _home(checkpoint: Path) -> Path:
    """Return the directory of the run that a checkpoint belongs to."""
    return checkpoint.absolute().parent.parent


def _last_run(root: Path, name: str, config: str) -> Path | None:
    runs = sorted((root / name).glob(f"*/{CONFIG}"), reverse=True)
    return next((file.parent for file in runs if _holds(file.parent, config)), None)


def _holds(directory: Path, config: str) -> bool:
    """Whether a directory holds the run of this very config."""
    file = directory / CONFIG
    try:
        return file.is_file() and yaml.safe_load(file.read_text()) == yaml.safe_load(config)
    except yaml.YAMLError:
        return False
