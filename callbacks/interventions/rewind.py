"""Layers returned to an earlier time."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.branch import configured
from callbacks.clock import Clock
from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.layers import check_kept, choose
from callbacks.interventions.optimizers import SCHEDULED, forget
from callbacks.network import network_of
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Epoch, Time


class Rewind(OneShot):
    """Returns layers to the run's own state at an earlier time (late rewinding; Frankle et al. 2020, https://arxiv.org/abs/1912.05671).

    The state is taken at `to`, before the first batch at or after it, and kept in every checkpoint from then on. Changes: the
    layers' parameters and normalisation statistics; if asked, what the optimizer remembers of them, and rates with their schedule.
    Keeps: all other layers; the run's clock.

    Args:
        at: moments.
        to: the earlier moment.
        last: so many blocks from the top of the network, …
        layers: … or names and patterns of layers; neither is all of them.
        optimizer_state: `rewind` what the optimizer remembers of these parameters too, or `keep`.
        learning_rate: `rewind` rates and schedule too, to what they were in the run that took the state, or `keep`.

    Raises:
        UserError: if a moment of `at` does not lie after `to`, or a checkpoint from after `to` does not hold the state.
    """

    def __init__(
        self,
        at: list[Time],
        to: Time,
        last: int | None = None,
        layers: list[str] | None = None,
        optimizer_state: Literal["rewind", "keep"] = "keep",
        learning_rate: Literal["rewind", "keep"] = "keep",
    ) -> None:
        super().__init__(at)
        if to.unit == "stages":
            raise UserError("to", value="stages", problem="are several moments", fix="write one of them, such as 'stage1'")
        for time in at:
            if time.unit == to.unit and time.number <= to.number:
                raise UserError("to", to, f"must lie before at: {time}")
        self.to, self.last, self.layers = to, last, layers
        self.optimizer_state, self.learning_rate = optimizer_state, learning_rate
        self._kept: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        """Tell several from each other."""
        return repr(self)

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept."""
        return {"kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._kept = state_dict["kept"]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that there are not, or whose parameters are replaced meanwhile."""
        check_kept("Rewind", trainer)
        self._chosen(module)

    def in_force(self, epoch: Epoch) -> str | None:
        """Return what is done in an epoch or kept for later."""
        act, named = super().in_force(epoch), f"{self!r} to {self.to} of {epoch.epochs} epochs"
        if not epoch.knows(self.to):
            return f"{named}, at {', '.join(map(str, self.at))}"
        taken = self.to.crossed(epoch.before, epoch.now, epoch.epochs)
        kept = self.to.reached(epoch.now, epoch.epochs)
        return f"{self!r}: {'taken' if taken else 'kept'}, {act}" if kept else act

    def check_kept(self, module: LightningModule, kept: dict[str, Any] | None) -> None:
        """Raise UserError unless a checkpoint from after `to` holds the state, with a schedule if there is one here."""
        if kept is None:
            raise UserError(
                "Rewind: to",
                value=self.to,
                problem="has passed at the checkpoint, which does not hold that state",
                fix="start afresh",
            )
        if self.learning_rate == "rewind" and bool(kept["schedules"]) != (configured(module)[1] is not None):
            raise UserError(
                "Rewind: learning_rate",
                value="rewind",
                problem="only one of checkpoint and run has an lr_scheduler",
                fix="write keep",
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        clock, where = Clock.of(trainer), list(Clock.of(trainer).now)
        taken = self._kept and self._kept["where"] == where  # in a checkpoint written after it, as its batch failed
        if self.to.crossed(clock.last, clock.now, trainer.max_epochs or 0) and not taken:
            self._kept = {"where": where, **take(self._chosen(pl_module), trainer)}
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Return to what is kept."""
        assert self._kept is not None
        give_back(self._kept, self._chosen(module), trainer, self.optimizer_state == "rewind", self.learning_rate == "rewind")

    def _chosen(self, module: LightningModule) -> dict[str, nn.Module]:
        network = network_of(module)
        return dict(network.named_modules()) if self.last is None and not self.layers else choose(network, self.last, self.layers)


def take(layers: Mapping[str, nn.Module], trainer: Trainer) -> dict[str, Any]:
    """Copy to the CPU what layers hold, what optimizers remember of their parameters, rates and schedules."""
    memory = {
        name: [_moved(optimizer.state.get(parameter, {}), "cpu", "cpu") for optimizer in trainer.optimizers]
        for name, parameter in _parameters(layers).items()
    }
    return {
        "tensors": {name: tensor.detach().cpu().clone() for name, tensor in _tensors(layers).items()},
        "memory": memory,
        "rates": [
            [{key: group[key] for key in SCHEDULED if key in group} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ],
        "schedules": [copy.deepcopy(config.scheduler.state_dict()) for config in trainer.lr_scheduler_configs],
    }


def give_back(
    kept: dict[str, Any], layers: Mapping[str, nn.Module], trainer: Trainer, optimizer_state: bool, learning_rate: bool
) -> None:
    """Copy back, in place, what `take` took."""
    for name, tensor in _tensors(layers).items():
        tensor.copy_(kept["tensors"][name])
    for name, parameter in _parameters(layers).items() if optimizer_state else ():
        for optimizer, memory in zip(trainer.optimizers, kept["memory"][name], strict=True):
            forget([optimizer], [parameter])
            if memory:
                scalars = parameter.device if optimizer.defaults.get("fused") or optimizer.defaults.get("capturable") else "cpu"
                optimizer.state[parameter] = _moved(memory, parameter.device, scalars)
    if learning_rate:
        for optimizer, rates in zip(trainer.optimizers, kept["rates"], strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group.update(rate)
        for config, state in zip(trainer.lr_scheduler_configs, kept["schedules"], strict=True):
            config.scheduler.load_state_dict(copy.deepcopy(state))


def _moved(memory: Mapping[str, Any], device: torch.device | str, scalars: torch.device | str) -> dict[str, Any]:
    """Copy to a device, and step counts (scalars) to another: optimizers keep them on the CPU unless they are fused."""
    return {
        key: value.to(device if value.ndim else scalars, copy=True) if isinstance(value, Tensor) else copy.deepcopy(value)
        for key, value in memory.items()
    }


def _parameters(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{part}": value for name, layer in layers.items() for part, value in layer.named_parameters(recurse=False)}


def _tensors(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    buffers = {f"{name}.{part}": value for name, layer in layers.items() for part, value in layer.named_buffers(recurse=False)}
    return {**_parameters(layers), **buffers}
