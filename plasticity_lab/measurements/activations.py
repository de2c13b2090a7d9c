"""What the activations of a network, modules or functions, make of images."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from plasticity_lab.errors import UserError
from plasticity_lab.measurements import features
from plasticity_lab.measurements.parameter_groups import block_names

RELUS = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
"""What counts as a rectifier: `nn.ReLU` calls the first."""

_TANHS = {torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_}
_OTHERS = {F.relu6, F.hardtanh, F.leaky_relu, F.prelu, F.elu, F.selu, F.celu, F.gelu, F.silu}
ACTIVATIONS = {*RELUS, *_TANHS, *_OTHERS, F.mish, F.softplus, F.hardswish}
"""What counts as the activation of hidden units; sigmoids are gates, a softmax is attention."""

BEFORE = "input"
"""Stands for the block of what is activated before any block."""

Take = Callable[[int, Tensor], Tensor]

_OF_FEATURES = {F.linear}
"""Whose outputs have features last."""

_OF_MAPS = {F.conv1d, F.conv2d, F.conv3d, F.batch_norm, F.group_norm}
"""Whose outputs have channels second."""


def activated(network: nn.Module, images: Tensor, take: Take) -> dict[str, list[Tensor]]:
    """Return `take` of the output of every activation of the network, by block, in order.

    As `rectified`, of all activations of hidden units: ReLU and its kin, GELU, SiLU, tanh and
    others. Sigmoids, which are gates, and the softmax of attention are none.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
        >>> sizes = activated(network, torch.ones(5, 3), lambda number, output: output.abs())
        >>> {block: [tuple(one.shape) for one in outputs] for block, outputs in sizes.items()}
        {'1': [(5, 4)]}
    """
    return _record(network, images, take, ACTIVATIONS)


def rectified(network: nn.Module, images: Tensor, take: Take) -> dict[str, list[Tensor]]:
    """Return `take` of the output of every ReLU of the network, by block, in order.

    A ReLU may be a module or a function.

    A ReLU belongs to the block that runs, or that ran last before it. Only rectifiers count: no
    other activation, no `clamp`.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).
        take: from the ReLU's number and its output to a new tensor with as many rows. The output is
            (examples, units), (examples, tokens, units) or (examples, units, height, width), also
            where the network stores maps with their units last.

    Returns:
        for each block a list of (examples, …), one for each of its ReLUs; nothing if there is none.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> active = rectified(network, torch.ones(5, 3), lambda number, output: output > 0)
        >>> {block: [tuple(one.shape) for one in outputs] for block, outputs in active.items()}
        {'1': [(5, 4)]}
    """
    return _record(network, images, take, RELUS)


def check_activated(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if no activation of hidden units acts on inputs."""
    if not activated(network, inputs, lambda number, output: output.flatten(1)):
        problem = "has no activation (ReLU, GELU, tanh …), whose units it looks at"
        raise UserError("network", problem=problem, fix="remove it")


def check_rectified(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if no ReLU acts on inputs."""
    if not rectified(network, inputs, lambda number, output: output.flatten(1)):
        raise UserError("network", problem="has no ReLU, whose units it looks at", fix="remove it")


@torch.no_grad()
def _record(
    network: nn.Module, images: Tensor, take: Take, functions: Collection[Any]
) -> dict[str, list[Tensor]]:
    outputs: list[tuple[str, Tensor]] = []
    blocks = [BEFORE]

    def enter(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(layer: nn.Module, inputs: Any) -> None:
            blocks.append(name)

        return hook

    rows: list[Sequence[tuple[str, Tensor]]] = []
    recorder = _Recorder(
        functions, lambda output: outputs.append((blocks[-1], take(len(outputs), output)))
    )
    with features.hooks(
        *(
            network.get_submodule(name).register_forward_pre_hook(enter(name))
            for name in block_names(network)
        )
    ):
        for part in torch.split(images, features.CHUNK):
            with recorder:
                network(part)
            rows.append(tuple(outputs))
            outputs.clear()
    by_block: dict[str, list[Tensor]] = {}
    for parts in zip(*rows, strict=True):
        by_block.setdefault(parts[0][0], []).append(torch.cat([part for _, part in parts]))
    return by_block


class _Recorder(TorchFunctionMode):
    """Shows each activation's output to a function.

    Args:
        functions: what counts as an activation.
        record: is given outputs, maps with their units second, tokens with their units last.
    """

    def __init__(self, functions: Collection[Any], record: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.functions, self.record = functions, record
        self._of_maps: bool | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _OF_FEATURES or func in _OF_MAPS:
            self._of_maps = func in _OF_MAPS
        if func in self.functions:
            self.record(self._arranged(result))
        return result

    def _arranged(self, output: Tensor) -> Tensor:
        """Return an output with its units where they are by convention."""
        if output.ndim == 4 and self._of_maps is False:
            return output.movedim(3, 1)
        if output.ndim == 3 and self._of_maps is True:
            return output.movedim(1, 2)
        return output
