"""A network's initial values, drawn from the run's seed and re-derived from it whenever needed."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.randomness import seeded_global_rng
from plasticity_lab.surgery.construction import Construction, full_name, held, tensors_of
from plasticity_lab.surgery.schemes import Scheme, apply

Key = Callable[[str], tuple[Any, ...]]
"""From a layer's name to what keys its draws, as `seeded_global_rng` takes it."""

WHOLE = "."
"""Stands where a layer is named for the whole network; no layer has this name."""


@torch.no_grad()
def init_parameters(network: nn.Module, seed: int, scheme: Scheme = "own") -> None:
    """Draw the initial values of a network in place, under keys (seed, "init", …).

    What its constructor set is what counts. Where every layer holds what its own
    `reset_parameters()` drew, each is drawn from a stream keyed by its name, so that changing one
    layer (a wider head, say) leaves the draws of the others as they were. Where the constructor has
    set values itself (a head of zeros, attention, weight norm, a copy of another layer), the
    network is built again on one stream, and starts from that.

    Args:
        network: as `construct` builds it; an instance made otherwise keeps the values that it
            holds.
        seed: the run's seed.
        scheme: how its layers are initialised.

    Raises:
        UserError: for an unknown scheme; for another than `own` if the network is an instance made
            otherwise; by name, for a layer whose values are drawn from elsewhere than torch's
            global stream.

    Examples:
        >>> first, second = construct(nn.Linear, 3, 2), construct(nn.Linear, 3, 2)
        >>> init_parameters(first, seed=0)
        >>> init_parameters(second, seed=0)
        >>> torch.equal(first.weight, second.weight)
        True
    """
    if scheme not in get_args(Scheme):
        raise UserError(
            "initialisation", value=scheme, fix=f"set one of {', '.join(get_args(Scheme))}"
        )
    construction = Construction.of(network)
    if construction is None:
        if scheme != "own":
            raise _unknown(network).within(f"initialisation: {scheme}")
        return
    replace(construction, scheme=scheme).belongs_to(network)
    names = [name for name, _ in network.named_modules()]
    check_redraw(network, names)
    fresh = redraw(network, names, lambda name: (seed, "init", name))
    for name, tensor in tensors_of(network).items():
        tensor.copy_(fresh[name])


def redraw(
    network: nn.Module, names: Iterable[str], key: Key, holder: nn.Module | None = None
) -> dict[str, Tensor]:
    """Return new values of layers, on the CPU, by the rule that drew them first.

    Parameters and buffers by full name.

    Keyed by (seed, "init", name) these are a run's initial values.

    Args:
        network: a network.
        names: layers of the network; each stands for what it holds itself.
        key: keys of the draws.
        holder: what holds it as `network`, where that is what `construct` has built.

    Raises:
        UserError: by name, for a layer whose rule is not known, or whose parameters have been
            replaced since the network was built.

    Examples:
        >>> network = construct(nn.Linear, 3, 2)
        >>> init_parameters(network, seed=0)
        >>> initial = redraw(network, [""], key=lambda name: (0, "init", name))
        >>> torch.equal(initial["weight"], network.weight)
        True
    """
    rule = _Rule.of(network, holder)
    names = [name for name in names if held(rule.layer(name))]
    for name in names:
        rule.check(name)
    scheme = rule.construction.scheme
    fresh: dict[str, nn.Module] = {}
    if rule.construction.plain:
        for name in names:
            fresh[name] = copy.deepcopy(rule.layer(name)).cpu()
            with seeded_global_rng(*key(name)):
                reset: Any = fresh[name].reset_parameters
                reset()
                apply(scheme, fresh[name])
    elif names:
        with seeded_global_rng(*key(WHOLE)):
            rebuilt = rule.construction.make()
            for layer in rebuilt.modules():
                apply(scheme, layer)
        fresh = {name: rebuilt.get_submodule((rule.start + name).rstrip(".")) for name in names}
    return {
        full_name(name, part): tensor.detach()
        for name, layer in fresh.items()
        for part, tensor in held(layer).items()
    }


def check_redraw(network: nn.Module, names: Iterable[str], holder: nn.Module | None = None) -> None:
    """Raise UserError, by name, for a layer that cannot be drawn again; arguments as `redraw`.

    Examples:
        >>> network = construct(nn.Linear, 3, 2)
        >>> check_redraw(network, [""])
    """
    rule, names = _Rule.of(network, holder), list(names)
    for name in names:
        rule.check(name)
    first, second = (
        redraw(network, names, lambda name: (0, "check", name), holder) for _ in range(2)
    )
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            raise UserError(
                name,
                problem=(
                    "cannot be drawn again, as it is drawn from elsewhere than torch's global "
                    "stream"
                ),
                fix="use that, without a generator of its own or numpy's",
            )


def detach_computed(network: nn.Module) -> None:
    """Detach, in place, weights that layers compute from others (`weight_norm`, `prune`).

    They are computed again in each forward pass; until then a module that holds one with its graph
    cannot be copied, as averages of weights do.
    """
    for layer in network.modules():
        for name, value in vars(layer).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                vars(layer)[name] = value.detach()


class _Rule(NamedTuple):
    """What draws the layers of a network.

    Attributes:
        network: the network.
        construction: how it, or the module that holds it, was built.
        start: what stands before the names of its layers in the construction.
    """

    network: nn.Module
    construction: Construction
    start: str

    @staticmethod
    def of(network: nn.Module, holder: nn.Module | None) -> "_Rule":
        """Find the rule of a network, or of what holds it; UserError if it is not known."""
        if construction := Construction.of(network):
            return _Rule(network, construction, "")
        if holder is not None and (construction := Construction.of(holder)):
            return _Rule(network, construction, "network.")
        raise _unknown(network)

    def layer(self, name: str) -> nn.Module:
        """Return a layer of the network by name."""
        return self.network.get_submodule(name)

    def check(self, name: str) -> None:
        """Raise UserError unless a layer still holds what the constructor gave it."""
        now = {
            full_name(name, part): tensor.shape for part, tensor in held(self.layer(name)).items()
        }
        built = {
            full: shape
            for full, shape in self.construction.shapes.items()
            if full.rpartition(".")[0] == (self.start + name).rstrip(".")
        }
        built = {full.removeprefix(self.start): shape for full, shape in built.items()}
        if now != built:
            changed = ", ".join(sorted(now.keys() ^ built.keys()) or sorted(now))
            raise UserError(
                name or "the network itself",
                problem=f"cannot be drawn again, as {changed} changed after the network was built",
                fix="change it in the network's constructor, or choose other layers",
            )


def _unknown(network: nn.Module) -> UserError:
    return UserError(
        type(network).__name__,
        problem="how its values were drawn is not known, as it was made by hand",
        fix="build it by plasticity_lab.surgery.construct",
    )
