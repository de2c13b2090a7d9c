"""How large weights are, how far they have come from where they began, and how fast they move."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.function import norm
from callbacks.diagnostics.layers import by_block, trained
from callbacks.diagnostics.probe import Probe
from plasticity_lab.timing import Time

Parts = Mapping[str, Tensor]
"""Parameters by name, taken together as one vector w."""


def distance(one: Parts, other: Parts) -> Tensor:
    """Return ||w - w'||: the distance from initialisation, or what a step adds to the length of the path."""
    return norm([part - other[name] for name, part in one.items()])


def relative_distance(one: Parts, other: Parts) -> Tensor:
    """Return ||w - w'|| / ||w'||: relative to the initial values, or what a step changes; not finite where w' is zero."""
    return distance(one, other) / norm(other.values())


def angle(one: Parts, other: Parts) -> Tensor:
    """Return the angle between w and w' in degrees, in [0, 180], exact also for small ones (Kahan); NaN where one is zero."""
    sizes = norm(one.values()), norm(other.values())
    units = [(part.double() / sizes[0], other[name].double() / sizes[1]) for name, part in one.items()]
    across, along = norm([first - second for first, second in units]), norm([first + second for first, second in units])
    return 2 * torch.atan2(across, along).rad2deg()


class Weights(Diagnostic):
    """Norm of the weights, their distance and angle from the initial values, the length of their path and the size of their steps.

    For all trained parameters, and for each block as `weights/<what>/<block>`: `norm` ||w||; `distance` ||w - w0|| from the initial
    values; `relative_distance`, in units of ||w0||; `angle` between w and w0 in degrees (norm layers make weights scale-free: their
    distance may grow by length alone); `path_length`, the sum of ||w' - w|| over all optimizer steps so far; `update_ratio`,
    ||w' - w|| / ||w|| of the last step. What is not finite, as it began at zero, is left out.

    What interventions do between steps changes distance and angle, but is no part of the path. The initial values are those before
    the first batch, or where a run begins that goes on from a checkpoint without this callback. It keeps two copies of the
    parameters on the device, one of them in every checkpoint; a step takes a copy and a difference more, and waits for nothing.

    Args:
        every: as `Diagnostic`; the path is followed at every step.
        early: as `Diagnostic`.
    """

    charts = tuple(f"weights/{what}" for what in ("norm", "distance", "relative_distance", "angle", "path_length", "update_ratio"))
    runs_network = False
    tags = tuple(f"{name}{block}" for name in charts for block in ("", "/<block>"))

    def __init__(self, every: Time, early: bool = False) -> None:
        super().__init__(every, early, examples=1)
        self._initial: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}  # the step of this batch; empty while there is none
        self._path: dict[str, Tensor] = {}

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return all of it for all parameters and each block."""
        values: dict[str, Tensor] = {}
        with torch.no_grad():
            for suffix, parts in groups(module).items():
                initial = {name: self._initial[name] for name in parts}
                values[f"norm{suffix}"] = norm(parts.values())
                values[f"distance{suffix}"] = distance(parts, initial)
                values[f"relative_distance{suffix}"] = relative_distance(parts, initial)
                values[f"angle{suffix}"] = angle(parts, initial)
                values[f"path_length{suffix}"] = self._path.get(suffix, torch.tensor(0.0))
                if self._before:
                    values[f"update_ratio{suffix}"] = relative_distance(parts, {name: self._before[name] for name in parts})
        numbers = {f"weights/{name}": float(value) for name, value in values.items()}
        return {name: number for name, number in numbers.items() if math.isfinite(number)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        initial = self._initial or dict(pl_module.named_parameters())
        self._initial = {name: value.detach().to(pl_module.device, copy=True) for name, value in initial.items()}
        self._path = {suffix: length.to(pl_module.device) for suffix, length in self._path.items()}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._before = {}
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if not self._before:
            self._before = {name: value.detach().clone() for name, value in trained(pl_module).items()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        with torch.no_grad():
            for suffix, parts in groups(pl_module).items() if self._before else ():
                self._path[suffix] = self._path.get(suffix, 0) + distance(parts, self._before)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def state_dict(self) -> dict[str, Any]:
        """Return the initial values and the length of the path."""
        kept = {"initial": self._initial, "path": self._path}
        return {part: {name: value.to("cpu", copy=True) for name, value in values.items()} for part, values in kept.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._initial, self._path = dict(state_dict["initial"]), dict(state_dict["path"])


def groups(module: LightningModule) -> dict[str, dict[str, Tensor]]:
    """Return the trained parameters: all by ``, those of each block by `/<block>`."""
    parameters: dict[str, Tensor] = {name: value.detach() for name, value in trained(module).items()}
    blocks = by_block(module, parameters)
    return {"": parameters, **{f"/{block}": {name: parameters[name] for name in names} for block, names in blocks.items()}}
