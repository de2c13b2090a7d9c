"""Weights of a file, from which the training of a network begins."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from plasticity_lab.checkpoint_files import read_data
from plasticity_lab.errors import UserError

_PREFIX = "network."
"""What names begin with in a checkpoint of `Supervised`."""

_SHOWN = 3
"""Differences that a message names."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a network's parameters and buffers by name, from a checkpoint or a file of weights.

    Args:
        path: a checkpoint of Lightning (of which the `network` counts, if its module has one, and
            averaged weights where weights are averaged), or a `state_dict` that `torch.save` wrote.

    Raises:
        UserError: for a file that is missing, damaged, or holds no weights.

    Examples:
        >>> torch.save(nn.Linear(3, 2).state_dict(), "weights.pt")
        >>> sorted(read_weights("weights.pt"))
        ['bias', 'weight']
    """
    content = read_data(Path(path), "initial_weights", "name a checkpoint, or a file of weights")
    weights: Any = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = isinstance(weights, dict) and all(isinstance(one, Tensor) for one in weights.values())
    if not weights or not tensors:
        raise UserError(
            "initial_weights",
            value=path,
            problem="holds no weights by name",
            fix="name a checkpoint, or a state_dict that torch.save wrote",
        )
    own = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in weights.items()
        if name.startswith(_PREFIX)
    }
    return own or weights


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of weights: names, types, shapes and values.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> before = weights_hash(network.state_dict())
        >>> with torch.no_grad(): _ = network.bias.add_(1)
        >>> weights_hash(network.state_dict()) == before
        False
    """
    content = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        content.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def check_weights(
    network: nn.Module, weights: Mapping[str, Tensor], keep: Sequence[str], path: object
) -> None:
    """Raise UserError unless a network can begin from weights.

    Args:
        network: the network.
        weights: by name.
        keep: layers that keep their own values, with all that they are made of.
        path: where the weights are from, as the message names it.

    Raises:
        UserError: naming what differs, for weights of another network, and for a layer to keep that
            the network does not have.

    Examples:
        >>> weights = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 10)).state_dict()
        >>> check_weights(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5)), weights, ["1"], "x")
    """
    own = network.state_dict()
    for layer in keep:
        if not any(_within(name, [layer]) for name in own):
            layers = ", ".join(dict(network.named_children()))
            raise UserError(
                "initial_weights_except",
                value=layer,
                problem=f"is no layer of {type(network).__name__}",
                fix=f"its blocks are {layers}",
            )
    wanted = {name: tuple(one.shape) for name, one in own.items() if not _within(name, keep)}
    found = {name: tuple(one.shape) for name, one in weights.items() if not _within(name, keep)}
    different = [name for name in (wanted | found) if wanted.get(name) != found.get(name)]
    if not different:
        return
    words = [_difference(name, found.get(name), wanted.get(name)) for name in different[:_SHOWN]]
    if len(different) > _SHOWN:
        words.append(f"{len(different) - _SHOWN} more")
    blocks = sorted({name.partition(".")[0] for name in different})
    fix = f"set initial_weights_except: [{', '.join(blocks)}] to draw what differs"
    if len(different) > len(wanted) // 2:
        fix = "use the network that they are of"
    raise UserError(
        "initial_weights", value=path, problem=f"of another network: {', '.join(words)}", fix=fix
    )


def _difference(name: str, found: tuple[int, ...] | None, wanted: tuple[int, ...] | None) -> str:
    if found is None or wanted is None:
        return f"{name} is missing {'there' if found is None else 'here'}"
    return f"{name} has shape {found} there and {wanted} here"


@torch.no_grad()
def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], keep: Sequence[str] = ()
) -> None:
    """Copy weights into a network, in place.

    Args:
        network: the network; its parameters stay the same objects.
        weights: parameters and buffers by name, as `check_weights` allows them.
        keep: layers that keep their own values, with all that they are made of.

    Examples:
        >>> first, second = nn.Linear(3, 2), nn.Linear(3, 2)
        >>> load_weights(second, first.state_dict(), keep=["bias"])
        >>> torch.equal(first.weight, second.weight), torch.equal(first.bias, second.bias)
        (True, False)
    """
    for name, tensor in network.state_dict().items():
        if not _within(name, keep):
            tensor.copy_(weights[name])


def _within(name: str, layers: Sequence[str]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)
