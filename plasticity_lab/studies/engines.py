"""Where `study.py run` trains segments, and the options that say so."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from plasticity_lab.errors import UserError
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import PATIENCE, Progress, TaskFactory
from plasticity_lab.studies.store import Store


class Engine(Protocol):
    """What trains segments; see `local_engine.run`."""

    def __call__(
        self, todo: Sequence[Segment], make: TaskFactory, store: Store, jobs: int, tell: Progress
    ) -> None:
        """Train them."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say where and how segments are trained."""
    group = command.add_argument_group("where segments are trained")
    group.add_argument("--jobs", type=int, default=1, help="segments trained at once (default: 1)")
    group.add_argument(
        "--engine",
        choices=["local", "ray", "slurm"],
        default="local",
        help="this machine, a Ray cluster, or a Slurm cluster",
    )
    group.add_argument(
        "--gpus",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of a GPU for each segment, up to 1; local: spreads segments over this "
        "machine's GPUs",
    )
    group.add_argument(
        "--patience",
        type=float,
        default=PATIENCE / 60,
        metavar="MINUTES",
        help="time without any sign of life after which a segment's process is ended "
        "(default: %(default).0f)",
    )
    group.add_argument(
        "--address",
        default=None,
        help="ray: the cluster's, by default a new one on this machine",
    )
    group.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="slurm: a parameter of the jobs, such as partition=gpu or timeout_min=240",
    )


def check_options(options: argparse.Namespace) -> None:
    """Raise UserError for an option out of range, or of another engine."""
    if options.jobs < 1:
        raise UserError("jobs", value=options.jobs, fix="set 1 or more")
    if not 0 <= options.gpus <= 1:
        raise UserError(
            "gpus",
            value=options.gpus,
            problem="a segment is trained on one device",
            fix="set a share up to 1",
        )
    if not options.patience > 0:
        raise UserError("patience", value=options.patience, fix="set minutes above 0")
    for name, engine in (("address", "ray"), ("slurm", "slurm")):
        if getattr(options, name) and options.engine != engine:
            raise UserError(name, problem=f"is for --engine {engine}", fix="leave it out")


def chosen_engine(options: argparse.Namespace) -> Engine:
    """Return the engine that options name, which `check_options` has checked.

    Raises:
        UserError: for an engine that cannot be used here.
    """
    # Only here, as they import torch and Lightning.
    from plasticity_lab.studies import local_engine, ray_engine, slurm_engine
    from plasticity_lab.studies.gpu_shares import check_room, visible_gpus
    from plasticity_lab.studies.slurm_options import job_executor, read_options

    # What is missing shows now, before anything is written.
    limits = {"patience": 60 * options.patience, "gpus": options.gpus}
    if options.engine == "ray":
        ray_engine.check_installed()
        return partial(ray_engine.run, **limits, address=options.address)
    if options.engine == "slurm":
        parameters = read_options(options.slurm)
        with TemporaryDirectory() as folder:
            job_executor(Path(folder), parameters, options.threads, options.gpus)
        return partial(slurm_engine.run, **limits, options=parameters, threads=options.threads)
    if options.gpus:
        check_room(options.jobs, options.gpus, visible_gpus())
    return partial(local_engine.run, **limits)
