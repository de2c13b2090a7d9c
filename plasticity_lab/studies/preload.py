"""What every worker of a study needs, made once: the forkserver imports this before it forks.

A worker then starts with all modules, the parser, and the caches that building a run fills, and its
garbage collector passes over none of that: half a million objects, a third of a second each time.
"""

import gc
import logging
import os
import tempfile
import warnings
from pathlib import Path

import torch

from plasticity_lab.project import CONFIGS
from plasticity_lab.runs.build import build
from plasticity_lab.runs.event_files import read_scalars
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run_directory import RunLocation


def warm_up() -> None:
    """Build and check a run of digits, without training or keeping anything.

    Nothing here may start threads or use CUDA, which no fork survives; so no gradient is computed.
    (Lightning lets torch count devices without initialising CUDA. Where it looks for a cluster, and
    mpi4py is installed, it starts MPI, whose look at the machine initialises CUDA.)
    """
    torch.set_num_threads(1)
    environment = dict(os.environ)
    logging.disable(logging.INFO)
    arguments = ["fit", "--config", str(CONFIGS / "digits.yaml"), "--trainer.accelerator", "cpu"]
    arguments += ["--trainer.plugins", "[{class_path: LightningEnvironment}]"]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        build(parse(arguments), RunLocation(Path(folder), None, None)).check()
        read_scalars(Path(folder))
    logging.disable(logging.NOTSET)
    # A run leaves its seed there.
    os.environ.clear()
    os.environ.update(environment)


warm_up()
gc.collect()
gc.freeze()
