"""Compare the cost of measurements with what is usually done instead, in one process.

About 4 minutes on one core.

    OMP_NUM_THREADS=1 python benchmarks/diagnostics.py [--json FILE]

On digits, at width 16, after a few epochs: Fisher trace, seconds to a standard error, which is time
x variance of a draw; largest eigenvalues, products until they are within 1e-3 of the converged
ones.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from callbacks.network import unwrap
from callbacks.probe import Probe, training_probe
from datamodules import ImageDataModule
from plasticity_lab.measurements.fisher_trace import (
    exact_fisher_trace,
    fisher_trace,
    fisher_trace_per_example,
)
from plasticity_lab.measurements.functional import detached_parameters, flatten, forward, mean_loss
from plasticity_lab.measurements.hvp import LinearOperator, gradient, hessian_vector_product
from plasticity_lab.measurements.lanczos import largest_eigenpairs
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.project import ROOT
from plasticity_lab.runs.main import main
from plasticity_lab.runs.manifest import session
from plasticity_lab.runs.run import Run

EXAMPLES, COUNT, TOLERANCE = 500, 10, 1e-3


def trained() -> Run:
    """Train on digits at width 16 for three epochs."""
    wide = ["--model.init_args.network.init_args.width", "16", "--trainer.max_epochs", "3"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return main(
            [
                "fit",
                "--config",
                str(ROOT / "configs/digits.yaml"),
                *wide,
                *quiet,
                "--trainer.default_root_dir",
                folder,
            ]
        )


def one_by_one(network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
    """Return |grad log p(y|x)|² of each example, one backward pass each, as public code does."""
    parameters, found = detached_parameters(network), []
    for image in images:
        shares = forward(network, parameters, image[None]).log_softmax(1)[0]
        label = int(shares.detach().exp().multinomial(1, generator=generator))
        grads = torch.autograd.grad(shares[label], list(parameters.values()))
        found.append(sum(float(part.pow(2).sum()) for part in grads))
    return torch.tensor(found)


def fisher(network: nn.Module, chosen: Probe) -> dict[str, float]:
    """Return how much faster each estimator reaches a standard error than single examples do."""
    images, draws = chosen.inputs, torch.Generator().manual_seed(0)
    found: dict[str, float] = {}
    costs: dict[str, list[float]] = {}
    for _ in range(3):
        started = time.perf_counter()
        each = one_by_one(network, images, draws)
        costs.setdefault("one by one", []).append(
            (time.perf_counter() - started) * float(each.var()) / len(each)
        )
        estimators: dict[str, Callable[[], float]] = {
            "vmap": lambda: fisher_trace_per_example(network, images, draws).error,
            **{
                f"one backward a batch of {size}": lambda size=size: (
                    fisher_trace(network, images, draws, size).error
                )  # type: ignore[misc]
                for size in (5, 10, 20, 50)
            },
        }
        for name, run in estimators.items():
            started = time.perf_counter()
            error = run()
            costs.setdefault(name, []).append((time.perf_counter() - started) * error**2)
    for name, cost in costs.items():
        found[name] = round(sum(costs["one by one"]) / sum(cost), 2)
    found["relative error of 500 examples in batches of 10"] = round(
        fisher_trace(network, images, draws).error
        / exact_fisher_trace(network, images[:100]).total,
        3,
    )
    return found


def power_iteration(product: LinearOperator, size: int, count: int) -> tuple[list[float], int]:
    """Return eigenvalues by power iteration with deflation, and the number of products.

    As PyHessian does it: 100 steps each, relative change 1e-3.
    """
    draws, vectors, values, products = (
        torch.Generator().manual_seed(0),
        list[Tensor](),
        list[float](),
        0,
    )
    for _ in range(count):
        vector = torch.randn(size, generator=draws, dtype=torch.float64)
        value: float | None = None
        for _ in range(100):
            for other in vectors:
                vector = vector - (vector @ other) * other
            vector = vector / vector.norm()
            moved = product(vector)
            products += 1
            before = value
            value, vector = float(vector @ moved), moved
            if before is not None and abs(value - before) / (abs(value) + 1e-6) < 1e-3:
                break
        vectors.append(vector / vector.norm())
        values.append(float(value or 0))
    return values, products


def eigenvalues(network: nn.Module, chosen: Probe) -> dict[str, float]:
    """Return what the ten largest eigenvalues of the Hessian cost."""
    parameters, loss = (
        detached_parameters(network),
        mean_loss(network, chosen.inputs, chosen.targets),
    )
    product = hessian_vector_product(loss, parameters)
    size = flatten(parameters).numel()
    start = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = largest_eigenpairs(product, start, COUNT, 1e-9, max_steps=300).values
    ours = largest_eigenpairs(product, start, COUNT, TOLERANCE)
    values, products = power_iteration(product, size, COUNT)
    seconds = {}
    timed: dict[str, Callable[[], Tensor]] = {
        "gradient": lambda: gradient(loss, parameters),
        "product": lambda: product(start),
    }
    for name, run in timed.items():
        started = time.perf_counter()
        for _ in range(3):
            run()
        seconds[name] = time.perf_counter() - started
    return {
        "Lanczos: products": ours.products,
        "Lanczos: within 1e-3": int(((ours.values - exact).abs() <= TOLERANCE * exact.abs()).sum()),
        "Lanczos: largest relative error": float(
            f"{((ours.values - exact) / exact).abs().max():.1e}"
        ),
        "power iteration with deflation: products": products,
        "power iteration with deflation: within 1e-3": int(
            ((torch.tensor(values) - exact).abs() <= TOLERANCE * exact.abs()).sum()
        ),
        "gradients a product costs": round(seconds["product"] / seconds["gradient"], 2),
        "parameters": size,
    }


def main_() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    finished = trained()
    data = finished.data
    assert isinstance(data, ImageDataModule)
    network = unwrap(finished.model)
    with preserve_state(finished.model):
        chosen = training_probe(data, EXAMPLES, False, data.now)
        results: dict[str, Any] = {
            "Fisher trace: times faster to a standard error": fisher(network, chosen),
            "ten largest eigenvalues": eigenvalues(network, chosen),
        }
    found = session(torch.device("cpu"), [], None)
    results["manifest"] = {
        key: value for key, value in found.items() if key in ("versions", "device", "git")
    }
    print(json.dumps(results, indent=1))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main_()
