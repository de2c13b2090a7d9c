"""How large weights are, how far they have come from where they began, and how fast they move."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.look import Look
from callbacks.network import unwrap
from plasticity_lab.measurements.functional import norm
from plasticity_lab.measurements.parameter_groups import group_by_block, trained_parameters
from plasticity_lab.measurements.weight_distance import angle, distance, relative_distance

_WHAT = ("norm", "distance", "relative_distance", "angle", "path_length", "update_ratio")


@dataclass(repr=False, eq=False, kw_only=True)
class WeightDistance(Diagnostic):
    """Norm of the weights, distance and angle from the initial ones, path length and steps.

    For all trained parameters, and for each block as `weights/<what>/<block>`: `norm` ||w||;
    `distance` ||w - w0|| from the initial values; `relative_distance`, in units of ||w0||; `angle`
    between w and w0 in degrees (norm layers make weights scale-free: their distance may grow by
    length alone); `path_length`, the sum of ||w' - w|| over all optimizer steps so far;
    `update_ratio`, ||w' - w|| / ||w|| of the last step. What is not finite, as it began at zero, is
    left out.

    What interventions do between steps changes distance and angle, but is no part of the path. The
    initial values are those before the first batch, or those of the checkpoint that a run without
    this callback resumes from. It keeps two copies of the parameters on the device, one of them in
    every checkpoint; a step takes a copy and a difference more, and waits for nothing. The path is
    followed at every step, whatever `every` is.

    Example:
        ```yaml
        class_path: callbacks.WeightDistance
        init_args: {every: 1ep, early: true}
        ```
    """

    charts = tuple(f"weights/{quantity}" for quantity in _WHAT)
    tags = tuple(f"{name}{block}" for name in charts for block in ("", "/<block>"))

    def begin(self) -> None:
        """Follow nothing yet."""
        self._initial: dict[str, Tensor] = {}
        # Before the step of this batch; empty while there is none.
        self._before: dict[str, Tensor] = {}
        self._path: dict[str, Tensor] = {}

    @torch.no_grad()
    def measure(self, look: Look) -> Measured:
        """Return all of it for all parameters and each block."""
        values: dict[str, Tensor] = {}
        for suffix, parts in groups(look.network).items():
            initial = {name: self._initial[name] for name in parts}
            values[f"norm{suffix}"] = norm(parts.values())
            values[f"distance{suffix}"] = distance(parts, initial)
            values[f"relative_distance{suffix}"] = relative_distance(parts, initial)
            values[f"angle{suffix}"] = angle(parts, initial)
            values[f"path_length{suffix}"] = self._path.get(suffix, torch.tensor(0.0))
            if self._before:
                before = {name: self._before[name] for name in parts}
                values[f"update_ratio{suffix}"] = relative_distance(parts, before)
        numbers = {f"weights/{name}": float(value) for name, value in values.items()}
        return {name: number for name, number in numbers.items() if math.isfinite(number)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        device = pl_module.device
        initial = self._initial or dict(unwrap(pl_module).named_parameters())
        self._initial = {
            name: value.detach().to(device, copy=True) for name, value in initial.items()
        }
        self._path = {suffix: length.to(device) for suffix, length in self._path.items()}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._before = {}
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if not self._before:
            parameters = trained_parameters(unwrap(pl_module))
            self._before = {name: value.detach().clone() for name, value in parameters.items()}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self._before:
            with torch.no_grad():
                for suffix, parts in groups(unwrap(pl_module)).items():
                    length = distance(parts, self._before)
                    self._path[suffix] = self._path.get(suffix, 0) + length
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    @property
    def needs_history(self) -> bool:
        """Whether one moment is not enough: every step counts."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the initial values and the length of the path."""
        return {"initial": _on_cpu(self._initial), "path": _on_cpu(self._path)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's initial values and path."""
        self._initial = dict(state_dict["initial"])
        self._path = dict(state_dict["path"])


def _on_cpu(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy values by name to the CPU."""
    return {name: value.to("cpu", copy=True) for name, value in values.items()}


def groups(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return the trained parameters: all by ``, those of each block by `/<block>`."""
    parameters = {name: value.detach() for name, value in trained_parameters(network).items()}
    parts = {"": parameters}
    for block, names in group_by_block(network, parameters).items():
        parts[f"/{block}"] = {name: parameters[name] for name in names}
    return parts
