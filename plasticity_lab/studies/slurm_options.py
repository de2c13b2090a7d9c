"""Parameters of Slurm jobs, as `study.py run --slurm NAME=VALUE` sets them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from plasticity_lab.errors import UserError

TIMEOUT_MINUTES = 60
"""Time limit of a job unless `timeout_min` is set."""

GENERIC = ("name", "timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "stderr_to_stdout")
"""Parameters that submitit has for all kinds of clusters."""

FIXED = ("nodes", "tasks_per_node", "ntasks_per_node", "array_parallelism")
"""Parameters that are not free: a segment is trained by one process."""


def read_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return options by name, their values read as YAML.

    Raises:
        UserError: for what is not `name=value`.

    Example:
        ```python
        read_options(["partition=gpu", "timeout_min=240"])
        # {'partition': 'gpu', 'timeout_min': 240}
        ```
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UserError("slurm", value=text, fix="set name=value, as partition=gpu")
        if name in FIXED:
            raise UserError(
                "slurm", value=text, problem="a segment is one process", fix="leave it out"
            )
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError("slurm", value=text, problem="is not YAML", fix="quote it") from None
    return options


def job_executor(folder: Path, options: Mapping[str, Any], threads: int, gpus: float) -> Any:
    """Return an executor of submitit.

    Args:
        folder: for its files; all nodes see it.
        options: by name: submitit's `timeout_min`, `mem_gb`, `cpus_per_task`, `name`, parameters of
            sbatch such as `partition`, `account`, `qos`, `gres`, `constraint`, others in
            `additional_parameters`, and lines of shell in `setup`. `cluster: local` starts the jobs
            on this machine instead.
        threads: threads of torch of each job.
        gpus: GPUs of each job, 0 or 1.

    Raises:
        UserError: if submitit is not installed, this machine has no Slurm, or an option is wrong.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise UserError(
            "engine",
            value="slurm",
            problem="submitit is not installed",
            fix='pip install -e ".[slurm]", or use --engine local',
        ) from None
    if gpus not in (0, 1):
        raise UserError(
            "gpus",
            value=gpus,
            problem="Slurm gives whole GPUs",
            fix="set 1, or where it shares them --slurm gres=shard:1",
        )

    parameters = dict(options)
    cluster = parameters.pop("cluster", "slurm")
    defaults = {
        "name": "plasticity-lab",
        "timeout_min": TIMEOUT_MINUTES,
        "cpus_per_task": threads,
        "gpus_per_node": int(gpus) or None,
    }
    named = {
        name if name in GENERIC else f"slurm_{name}": value
        for name, value in {**defaults, **parameters}.items()
    }
    # submitit imports the task's function by name; `-P` keeps the working directory's packages
    # behind this project's.
    python = f"{quote(sys.executable)} -P"
    try:
        jobs = submitit.AutoExecutor(
            folder, cluster=cluster, slurm_python=python, local_python=python
        )
        jobs.update_parameters(**named)
    except RuntimeError:
        raise UserError(
            "engine",
            value="slurm",
            problem="this machine has no srun",
            fix="start study.py on a login node of the cluster, or use --engine local",
        ) from None
    # What is wrong with a parameter is a NameError, an AssertionError, a ValueError or a TypeError.
    except (NameError, AssertionError, ValueError, TypeError) as error:
        raise UserError("slurm", problem=" ".join(str(error).split()), fix="change it") from None
    return jobs
