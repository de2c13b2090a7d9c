"""One optimizer step with terms of the loss, and the same step in a few lines."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from tests.runs import tiny

RATE = 0.5
RHO = 0.1
SMALL: dict[str, Any] = {"class_path": "tests.networks.SmallNet", "init_args": {"dropout": 0.0}}
STEEPEST = {"lr": RATE, "weight_decay": 0.0, "momentum": 0.0}
SAM: dict[str, Any] = {
    "model": {
        "class_path": "lightning_modules.Supervised",
        "init_args": {
            "objective": {"class_path": "lightning_modules.Classification"},
            "rule": {"class_path": "lightning_modules.SAM", "init_args": {"rho": RHO}},
        },
    }
}


class Batches(Callback):
    """Keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append(batch)


def first_step(
    intervention: dict[str, Any],
    accumulate: int = 1,
    sam: bool = False,
    steps: int = 1,
    network: dict[str, Any] = SMALL,
    optimizer: dict[str, Any] = STEEPEST,
) -> tuple[Any, list[Any], Tensor]:
    """Return the initial network, the batches of the first steps, and what weights they end in."""
    settings: dict[str, Any] = {
        "trainer": {
            "accumulate_grad_batches": accumulate,
            "max_steps": steps,
            "callbacks+": [intervention],
        },
        "model": {
            "init_args": {
                "network": network,
                "optimizer": {"class_path": "torch.optim.SGD", "init_args": optimizer},
            }
        },
    }
    record = Batches()
    run = build(parse(["fit", *tiny(*([SAM] if sam else []), settings)]), extra=[record])
    run.check()
    model: Any = run.model
    initial = copy.deepcopy(model.network).train()
    run.fit()
    return initial, record.batches, vector(model.network)


def vector(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach()


def step(
    network: nn.Module,
    batches: list[Any],
    loss: Callable[[nn.Module, Any], Tensor],
    sam: bool = False,
) -> Tensor:
    """Return the weights after a step of (SAM on) the mean loss of some batches."""
    start, total = vector(network), torch.zeros(())
    for batch in batches:
        for last in [False, True] if sam else [True]:
            slopes = torch.autograd.grad(loss(network, batch), list(network.parameters()))
            slope = nn.utils.parameters_to_vector(slopes)
            if last:
                total = total + slope / len(batches)
            else:
                moved = start + RHO * slope / slope.norm()
                nn.utils.vector_to_parameters(moved, network.parameters())
        nn.utils.vector_to_parameters(start, network.parameters())
    return start - RATE * total


def task_alone(network: nn.Module, batch: Any) -> Tensor:
    """Return the loss without a term."""
    return F.cross_entropy(network(batch.inputs), batch.targets)
