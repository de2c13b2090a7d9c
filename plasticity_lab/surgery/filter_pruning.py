"""Filters chosen from a wide network for a narrower one of the same architecture."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.units import Units, trace_units

FilterScore = Literal["l1", "norm_gain"]
"""Sum of the magnitudes of a filter's weights, or magnitude of its gain in batch norm."""


def narrow_weights(
    network: nn.Module,
    inputs: Tensor,
    weights: Mapping[str, Tensor],
    score: FilterScore = "l1",
) -> dict[str, Tensor]:
    """Return weights for a network, taken from those of a wider one of the same architecture.

    Where a layer has fewer units than the wide one, those with the highest scores are kept: the
    filters with the largest L1 norm (Li et al. 2017, https://arxiv.org/abs/1608.08710), or those
    with the largest gains in batch norm (network slimming, Liu et al. 2017,
    https://arxiv.org/abs/1708.06519). With them go their entries in normalisation layers and the
    weights that they feed, which are found by `trace_units`. All scores are of the wide network.
    Of equal scores the first are kept. Weights that fit already are returned as they are: for the
    same network that is the identity.

    Args:
        network: the narrow one; it is left alone.
        inputs: an example that it takes, (1, …); its values do not matter.
        weights: of the wide network, by name, as `read_weights` returns them.
        score: what the kept filters have most of.

    Raises:
        UserError: for a layer whose units cannot be chosen (as in a residual sum), or without batch
            norm behind it where gains decide.

    Examples:
        >>> wide = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1))
        >>> with torch.no_grad():
        ...     _ = wide[0].weight.copy_(torch.tensor([[1.0, 1.0], [0.1, 0.0], [0.0, 3.0]]))
        >>> narrow = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
        >>> narrow_weights(narrow, torch.zeros(1, 2), wide.state_dict())["0.weight"]
        tensor([[1., 1.],
                [0., 3.]])
    """
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    narrowed = dict(weights)
    if not _narrower(shapes, weights):
        return narrowed
    for layer, units in trace_units(network, inputs).units.items():
        wide = _entry(weights, layer, "weight")
        if wide is None or len(wide) <= units.count:
            continue
        scores = _scores(layer, units, weights, score)
        for consumer in units.consumers:
            if getattr(network.get_submodule(consumer), "groups", 1) > 1:
                raise UserError(
                    layer,
                    problem=f"feeds {consumer}, a convolution of groups",
                    fix="keep its width",
                )
        kept = scores.argsort(descending=True, stable=True)[: units.count].sort().values
        _keep(narrowed, layer, units, len(wide), kept)
    return narrowed


def slimmed_channels(gains: Mapping[str, Tensor], share: float) -> dict[str, int]:
    """Return how many channels network slimming leaves of each batch norm.

    Liu et al. 2017, https://arxiv.org/abs/1708.06519: one threshold for all layers, the entry
    int(share x channels) of all magnitudes in increasing order; channels above it are kept, and at
    least one of each layer.

    Args:
        gains: of batch-norm layers by name, (channels,) each.
        share: of all channels that goes, in [0, 1); 0 leaves out the smallest alone.

    Raises:
        UserError: for another share.

    Examples:
        >>> gains = {"a": torch.tensor([0.1, -0.5, 0.3, 0.2]),
        ...          "b": torch.tensor([0.05, 0.9, 0.4, 0.25])}
        >>> slimmed_channels(gains, 0.5)
        {'a': 1, 'b': 2}
    """
    if not 0 <= share < 1:
        raise UserError("share", value=share, fix="set a share in [0, 1)")
    magnitudes = torch.cat([gain.detach().abs() for gain in gains.values()]).sort().values
    threshold = magnitudes[int(share * len(magnitudes))]
    return {name: max(1, int((gain.abs() > threshold).sum())) for name, gain in gains.items()}


def _narrower(shapes: Mapping[str, torch.Size], weights: Mapping[str, Tensor]) -> bool:
    return any(name in weights and weights[name].shape != shape for name, shape in shapes.items())


def _entry(weights: Mapping[str, Tensor], layer: str, part: str) -> Tensor | None:
    return weights.get(f"{layer}.{part}")


def _scores(layer: str, units: Units, weights: Mapping[str, Tensor], score: FilterScore) -> Tensor:
    if score == "l1":
        return weights[f"{layer}.weight"].abs().flatten(1).sum(1)
    gains = [weights.get(f"{norm}.weight") for norm in units.norms]
    if len(gains) != 1 or gains[0] is None:
        raise UserError(
            layer, problem="has no batch norm with gains behind it", fix="choose filters by l1"
        )
    return gains[0].abs()


def _keep(weights: dict[str, Tensor], layer: str, units: Units, count: int, kept: Tensor) -> None:
    """Keep some units of a layer, with all that is theirs, in a state by name."""
    for part in ("weight", "bias"):
        value = _entry(weights, layer, part)
        if value is not None:
            weights[f"{layer}.{part}"] = value[kept]
    for norm, channels in units.norms.items():
        places = _places(layer, channels, units.count, count)[kept].flatten().sort().values
        for part in ("weight", "bias", "running_mean", "running_var"):
            value = _entry(weights, norm, part)
            if value is not None:
                weights[f"{norm}.{part}"] = value[places]
    for consumer, inputs in units.consumers.items():
        value = _entry(weights, consumer, "weight")
        if value is None or value.shape[1] != count * inputs.shape[1]:
            raise UserError(
                layer,
                problem=f"what it feeds, {consumer}, has other inputs in the wide network",
                fix="use weights of the same architecture, trained on images of the same size",
            )
        places = _places(layer, inputs, units.count, count)[kept].flatten().sort().values
        weights[f"{consumer}.weight"] = value[:, places]


def _places(layer: str, places: Tensor, narrow: int, wide: int) -> Tensor:
    """Return the places of the units of the wide network, from those of the narrow one.

    They lie side by side, as a flattened map has them, or one after the other, as CReLU.
    """
    each = places.shape[1]
    units, parts = torch.arange(narrow)[:, None], torch.arange(each)
    if torch.equal(places, units * each + parts):
        return torch.arange(wide)[:, None] * each + parts
    if torch.equal(places, units + parts * narrow):
        return torch.arange(wide)[:, None] + parts * wide
    raise UserError(
        layer,
        problem="where its units go in a wider network is not known",
        fix="keep its width",
    )
