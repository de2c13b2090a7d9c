"""Where a run keeps its config, manifest, event files and checkpoints."""

import secrets
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from datamodules.datasets.file_names import printable
from plasticity_lab.checkpoint_files import (
    LAST,
    discard_unfinished,
    latest_valid_checkpoint,
    read_checkpoint,
)
from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.runs import manifest
from plasticity_lab.runs.file_names import CONFIG


class RunLocation(NamedTuple):
    """Where a command works.

    Attributes:
        directory: the run's directory.
        checkpoint: what the command starts from; None is a fresh network.
        resumed_at: optimizer steps already taken in this directory's run; None if the run begins
            here.
        note: a line about what the user may not expect; empty if there is nothing.
    """

    directory: Path
    checkpoint: Path | None
    resumed_at: int | None
    note: str = ""


def locate_run(
    root: Path, name: str, config: str, run_dir: str | None, ckpt_path: str | None
) -> RunLocation:
    """Decide where `fit` keeps its run.

    A new directory, named so that no other run has it; with `run_dir` that one. With `ckpt_path`
    the run resumes in the directory of the checkpoint if that holds this very config, else it
    branches into a new one. `last` is the last checkpoint of `run_dir`, or of the newest run of
    this very config; without any the run begins.

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
    chosen = Path(run_dir).absolute() if run_dir else None
    fresh = root / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    note = ""
    if ckpt_path == "last":
        directory = chosen or _last_run(root, name, config) or fresh
        checkpoint = latest_valid_checkpoint(directory / "checkpoints", trainable=True)
        resumed = _same_config(directory, config)
        if directory == fresh:
            note = _why_anew(root / name, config)
    elif ckpt_path:
        checkpoint = Path(ckpt_path)
        home = _home(checkpoint)
        resumed = _same_config(home, config) and chosen in (None, home)
        directory = chosen or (home if resumed else fresh)
    else:
        checkpoint = None
        resumed = False
        directory = chosen or fresh

    _check_directory(directory)
    if not resumed:
        _check_free(directory, config)
    steps = read_checkpoint(checkpoint, trainable=True)["global_step"] if checkpoint else 0
    return RunLocation(directory, checkpoint, steps if resumed else None, note)


def _check_directory(directory: Path) -> None:
    """Raise UserError for a directory that cannot hold a run."""
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        raise UserError(
            "run_dir",
            value=printable(directory),
            problem="TensorBoard needs a name in UTF-8",
            fix="set another --run_dir",
        ) from None
    if directory.exists() and not directory.is_dir():
        raise UserError("run_dir", value=directory, problem="is a file", fix="name a directory")
    check_writable("run_dir", directory)
    manifest.check(directory)


def _check_free(directory: Path, config: str) -> None:
    """Raise UserError for a directory that already holds a run, or other files."""
    if not directory.exists() or all(file.name.startswith(".") for file in directory.iterdir()):
        return
    if _same_config(directory, config):
        raise UserError(
            "run_dir",
            value=directory,
            problem="holds this run",
            fix="resume it with --ckpt_path last, or name a new directory",
        )
    last = directory / "checkpoints" / LAST
    branch = ""
    if last.exists():
        branch = f"; to branch off it, set --ckpt_path {last} and another --run_dir"
    raise UserError(
        "run_dir",
        value=directory,
        problem=f"holds another run{_difference(directory, config)}",
        fix=f"name a new directory{branch}",
    )


def locate_evaluation(
    root: Path, name: str, config: str, run_dir: str | None, ckpt_path: str | None
) -> RunLocation:
    """Find the trained network that `validate`, `test` and `predict` need.

    Arguments as `locate_run`.
    """
    if ckpt_path == "last":
        directory = Path(run_dir) if run_dir else _last_run(root, name, config)
        checkpoint = latest_valid_checkpoint(directory / "checkpoints") if directory else None
    else:
        checkpoint = Path(ckpt_path) if ckpt_path else None
    if checkpoint is None:
        raise UserError(
            "ckpt_path",
            value=ckpt_path,
            problem=f"no trained network of this config in {run_dir or root / name}",
            fix="name a checkpoint",
        )
    read_checkpoint(checkpoint)
    home = _home(checkpoint)
    return RunLocation(
        home if (home / CONFIG).is_file() else Path(run_dir or ".").absolute(), checkpoint, None
    )


def write_config(directory: Path, config: str) -> None:
    """Write a run's config into its directory, whole or not at all, unless it is there."""
    if not (directory / CONFIG).exists():
        with write_atomically(directory / CONFIG) as unfinished:
            unfinished.write_text(config)


def clean(place: RunLocation) -> None:
    """Remove from a run's directory what a killed session left unfinished.

    Only where the run resumes from its last checkpoint.
    """
    for file in place.directory.glob(".*.tmp"):
        file.unlink()
    if place.resumed_at is not None and (place.checkpoint is None or place.checkpoint.name == LAST):
        discard_unfinished(place.directory / "checkpoints")


def _home(checkpoint: Path) -> Path:
    """Return the directory of the run that a checkpoint belongs to."""
    return checkpoint.absolute().parent.parent


def _last_run(root: Path, name: str, config: str) -> Path | None:
    runs = sorted((root / name).glob(f"*/{CONFIG}"), reverse=True)
    return next((file.parent for file in runs if _same_config(file.parent, config)), None)


def check_writable(key: str, directory: Path) -> None:
    """Raise UserError, naming a key, for a directory that cannot be made or written to."""
    folders = (directory, *directory.absolute().parents)
    existing = next((folder for folder in folders if folder.exists()), Path("/"))
    if not existing.is_dir():
        raise UserError(
            key, value=directory, problem=f"{existing} is a file", fix="name another directory"
        )
    try:
        # Permissions alone do not suffice: a file system may be full, read-only, or take no files.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            key,
            value=directory,
            problem=f"cannot be written to ({error.strerror})",
            fix="name another directory",
        ) from None


def _why_anew(kind: Path, config: str) -> str:
    """Return why `last` begins a new run beside others of its kind; empty if there are none."""
    configs = sorted(kind.glob(f"*/{CONFIG}"), reverse=True)
    for file in configs:
        if difference := _difference(file.parent, config):
            return (
                "ckpt_path: last: no run here has this config, so a new one begins; the newest, "
                f"{file.parent.name},{difference.removeprefix(', which')}; to branch off it, "
                f"set --ckpt_path {file.parent}/checkpoints/last.ckpt"
            )
    return ""


def _difference(directory: Path, config: str) -> str:
    """Return in which settings the run of a directory differs; empty if that is unknown."""
    try:
        old = _flat(yaml.safe_load((directory / CONFIG).read_text()))
    except (OSError, yaml.YAMLError):
        return ""
    new = _flat(yaml.safe_load(config))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    differences = [f"{key} ({old.get(key)} there, {new.get(key)} here)" for key in keys[:3]]
    remainder = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f", which differs in {', '.join(differences)}{remainder}"


def _flat(node: Any, key: str = "") -> dict[str, Any]:
    """Return the settings of a config by dotted keys, without `init_args`."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    elif not node or not isinstance(node, dict):
        return {key: node}
    flat: dict[str, Any] = {}
    for name, value in node.items():
        flat |= _flat(value, key if name == "init_args" else f"{key}.{name}".strip("."))
    return flat


def _same_config(directory: Path, config: str) -> bool:
    """Whether a directory holds the run of this very config."""
    file = directory / CONFIG
    try:
        return file.is_file() and yaml.safe_load(file.read_text()) == yaml.safe_load(config)
    except yaml.YAMLError:
        return False


def home_of(checkpoint: Path) -> Path:
    """Return the directory of a checkpoint's run.

    Raises:
        UserError: if it holds no config.
    """
    home = checkpoint.absolute().parent.parent
    if not (home / CONFIG).is_file():
        raise UserError(
            checkpoint,
            problem=f"no {CONFIG} in {home}",
            fix="name a checkpoint in the directory of its run",
        )
    return home
