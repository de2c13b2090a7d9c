"""Time and memory of the kernels of infinitely wide networks, on random images of 32 x 32 x 3.

    OMP_NUM_THREADS=1 python benchmarks/infinite_kernels.py [--json FILE]

Both kernels of the training images among themselves, for networks of three hidden layers of ReLU.
Each is computed in a process of its own, whose peak memory is that of the process, less what it has
before it begins; seconds are those of the processor. Convolutions are measured on fewer images: the
time is that of pairs of images.
"""

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import torch

from plasticity_lab.measurements import InfiniteNetwork, nngp_and_ntk
from plasticity_lab.measurements.infinite_network import WideKind

CASES: list[tuple[WideKind, int, int]] = [
    ("dense", 1000, 32),
    ("dense", 5000, 32),
    ("flatten", 1000, 32),
    ("flatten", 1000, 16),
    ("average", 100, 8),
]
"""Kind, images, and their size."""


def _peak() -> float:
    """Return the most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(kind: WideKind, count: int, size: int) -> dict[str, Any]:
    """Return the seconds and the memory of one case."""
    torch.set_num_threads(1)
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    network = InfiniteNetwork(3, kind)
    nngp_and_ntk(network, images[:2])
    before, start = _peak(), time.process_time()
    nngp_and_ntk(network, images)
    seconds = time.process_time() - start
    found = {"seconds": round(seconds, 2), "MiB": round(_peak() - before)}
    return {"kind": kind, "images": count, "size": size, **found}


def main() -> None:
    """Measure all cases, each in a new process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    for case in CASES:
        with context.Pool(1) as pool:
            rows.append(pool.apply(measure, case))
        print(rows[-1], flush=True)
    if options.json:
        found = {"device": "cpu, one thread", "torch": torch.__version__, "kernels": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
