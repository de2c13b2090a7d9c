"""How many weights are left, and whether two networks have the same ones."""

from collections.abc import Mapping

from torch import Tensor, nn

from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters
from plasticity_lab.surgery.weight_matrices import linear_layers


def prunable_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of linear and convolutional layers by name: those that pruning counts.

    Examples:
        >>> list(prunable_weights(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))))
        ['0.weight']
    """
    parameters = own_parameters(linear_layers(layers_with_state(network)))
    return {
        name: value for name, value in parameters.items() if name.rpartition(".")[2] == "weight"
    }


def surviving_share(weights: Mapping[str, Tensor]) -> float:
    """Return the share of weights that are not exactly 0, the density: 1 of a dense network.

    Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635, call it P_m.

    Args:
        weights: by name, one or more.

    Examples:
        >>> surviving_share({"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([2.0, 3.0])})
        0.75
    """
    surviving = sum(int(weight.count_nonzero()) for weight in weights.values())
    return surviving / sum(weight.numel() for weight in weights.values())


def mask_overlap(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Return the Jaccard index of two masks: survivors of both over survivors of either.

    1 for equal masks. Two random masks that keep a share p have p / (2 - p) on average.

    Args:
        first: weights by name, 0 where they are pruned, or masks.
        second: of the same names and shapes.

    Raises:
        ValueError: for other names or shapes, or if nothing survives in either.

    Examples:
        >>> mask_overlap({"a": torch.tensor([0.0, 1.0, 1.0])}, {"a": torch.tensor([1.0, 1.0, 0.0])})
        0.3333333333333333
    """
    shapes = [{name: weight.shape for name, weight in side.items()} for side in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError("two masks are of weights of other names or shapes")
    both = sum(int(((first[name] != 0) & (second[name] != 0)).sum()) for name in first)
    either = sum(int(((first[name] != 0) | (second[name] != 0)).sum()) for name in first)
    if not either:
        raise ValueError("no weight survives in either mask")
    return both / either


def chance_overlap(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Return the `mask_overlap` of random masks that keep as many weights of each layer.

    The expected survivors of both over those of either.

    Examples:
        >>> round(chance_overlap({"a": torch.eye(2)}, {"a": torch.ones(2, 2)}), 3)
        0.5
    """
    both, either = 0.0, 0.0
    for name, weight in first.items():
        counts = [int(side[name].count_nonzero()) for side in (first, second)]
        common = counts[0] * counts[1] / weight.numel()
        both += common
        either += sum(counts) - common
    return both / either
