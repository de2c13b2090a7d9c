"""Fresh weights in a head, without a change of what the network computes."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.normalise_and_project import NormaliseAndProject
from callbacks.interventions.pre_activation_noise import PreActivationNoise
from callbacks.interventions.prune_unmatched_units import PruneUnmatchedUnits
from callbacks.interventions.redraw_checks import check_can_redraw
from callbacks.interventions.unit_recycling import UnitRecycling
from callbacks.network import unwrap
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.injectable_head import InjectableHead, inject_head
from plasticity_lab.surgery.layer_selection import layers_with_state
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from plasticity_lab.timing import Time


class PlasticityInjection(OneShot):
    """Gives the head fresh weights, and changes nothing that it computes (Nikishin et al. 2023).

    https://arxiv.org/abs/2305.15555

    From h(x) the head becomes h(x) + h'(x) - h''(x), where h' and h'' are the same fresh draw. Only
    h' is trained from then on, besides the layers below, into which gradients flow through all
    three. If training gets better after it, a lack of plasticity was the limit. The network must
    be an `InjectableNetwork`, which holds all three from the beginning, and whose `last` says how
    many blocks the head has: two layers or more, since of one linear layer it would be an optimizer
    reset.

    What draws the head again later draws all three, and h' alone stays trained. It is for one
    process: DDP averages the gradients of those parameters that are trained when it is set up.

    Changes: parameters of h' and h'', of which h' alone is trained, while h stays as it is;
    normalisation statistics of h' and h'' begin anew, and those of all three follow the data;
    optimizer state of the head's parameters begins anew. Keeps: normalisation statistics of h and
    below it, the learning-rate clock.

    Args:
        at: one moment.

    Raises:
        UserError: for several moments; without an `InjectableNetwork`; beside what recycles units,
            prunes them, adds noise to them or holds norms; with several processes; with an
            optimizer that sorts parameters by which are trained, as `MuonAdamW` does.

    Example:
        ```yaml
        class_path: callbacks.PlasticityInjection
        init_args: {at: [50%]}
        ```
    """

    def __init__(self, at: list[Time]) -> None:
        super().__init__(at)
        if len(at) > 1 or Time("stages") in map(Time, at):
            raise UserError(
                "at",
                value=", ".join(Time(time).text for time in at),
                problem="a head is injected once",
                fix="name one moment",
            )

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without such a head, and several processes."""
        network = unwrap(module)
        if not _heads(network):
            raise UserError(
                "PlasticityInjection",
                problem=f"{type(network).__name__} has no head that can be injected",
                fix="use lightning_modules.networks.InjectableNetwork",
            )
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        for callback in callbacks:
            recycles = isinstance(getattr(callback, "recycling", None), UnitRecycling)
            if recycles or isinstance(callback, PruneUnmatchedUnits):
                raise UserError(
                    type(callback).__name__,
                    problem="looks for units once, and PlasticityInjection changes where they go",
                    fix="remove one of the two",
                )
            if isinstance(callback, NormaliseAndProject):
                raise UserError(
                    "NormaliseAndProject",
                    problem="scales the two fresh copies of PlasticityInjection apart",
                    fix="remove one of the two",
                )
            if isinstance(callback, PreActivationNoise):
                raise UserError(
                    type(callback).__name__,
                    problem="adds other noise to each copy of the head of PlasticityInjection",
                    fix="remove one of the two",
                )
        if trainer.world_size > 1:
            raise UserError(
                "devices",
                value=trainer.world_size,
                problem="PlasticityInjection is for one process",
                fix="use --trainer.devices 1",
            )
        check_can_redraw("PlasticityInjection", trainer, module, layers_with_state(network))
        _check_groups(module)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Inject."""
        network = unwrap(module)
        for name, head in _heads(network).items():
            start = f"{name}.base."
            layers = [start + part for part in layers_with_state(head.base)]
            fresh = redraw(network, layers, draws.key, holder=module)
            inject_head(head, {full.removeprefix(start): value for full, value in fresh.items()})
            reset_optimizer_state(trainer.optimizers, head.parameters())


def _check_groups(module: LightningModule) -> None:
    """Refuse an optimizer with other groups after the injection: a resume would mix their state."""
    heads = _heads(unwrap(module)).values()
    kind, before = _groups(module)
    for head in heads:
        head.injected.logical_not_()
        head.choose_trained()
    _, after = _groups(module)
    for head in heads:
        head.injected.logical_not_()
        head.choose_trained()
    if before != after:
        raise UserError(
            "optimizer",
            value=kind,
            problem="sorts parameters by which are trained, which PlasticityInjection changes",
            fix="use another",
        )


def _groups(module: LightningModule) -> tuple[str, list[list[int]]]:
    """Return the name of a module's optimizer, and which parameters its groups have."""
    optimizer = build_optimizer(module).optimizer
    groups = [] if optimizer is None else optimizer.param_groups
    return type(optimizer).__name__, [[id(value) for value in group["params"]] for group in groups]


def _heads(network: torch.nn.Module) -> dict[str, InjectableHead]:
    return {
        name: layer for name, layer in network.named_modules() if isinstance(layer, InjectableHead)
    }
