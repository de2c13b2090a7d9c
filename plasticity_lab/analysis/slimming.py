"""How many channels of each layer network slimming keeps.

Run by `python -m plasticity_lab.analysis.slimming RUN/checkpoints/last.ckpt --share 0.7`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from plasticity_lab.checkpoint_files import read_checkpoint
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.filter_pruning import slimmed_channels

_RUNNING = ".running_var"

_CONVOLUTION = re.compile(r"conv\d+\.norm")
"""Norms of `VGG`."""

_CONVOLUTIONS = (8, 10, 13, 16)
"""How many a `VGG` has, by its depth."""

_INNER = re.compile(r"layer[123]\.\d+\.norm1")
_OUTER = re.compile(r"stem\.norm|layer[123]\.\d+\.(norm2|shortcut\.1)")
"""Norms of `CifarResNet`, within its blocks and at their ends."""


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the weights of the network of a checkpoint by name, in order.

    Raises:
        UserError: for a missing file.
    """
    state = read_checkpoint(file)["state_dict"]
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


def norm_gains(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gains of the batch-norm layers of a network by the layers' names, in order."""
    names = [name.removesuffix(_RUNNING) for name in weights if name.endswith(_RUNNING)]
    return {name: weights[f"{name}.weight"] for name in names if f"{name}.weight" in weights}


def smaller_network(weights: Mapping[str, Tensor], channels: Mapping[str, int]) -> str:
    """Return the argument of the network with these channels, to be set in its config.

    Args:
        weights: of the whole network by name, which tell its class.
        channels: to keep of each batch norm, by name.

    Returns:
        `channels` of a `VGG`, `inner` of a `CifarResNet`; empty for other networks, which take no
        such argument.
    """
    head = weights.get("head.weight")
    if head is not None and head.ndim == 2:
        if len(channels) in _CONVOLUTIONS and all(map(_CONVOLUTION.fullmatch, channels)):
            return f"channels, with width 1: {list(channels.values())}"
        inner = [count for name, count in channels.items() if _INNER.fullmatch(name)]
        others = [name for name in channels if not _INNER.fullmatch(name)]
        if inner and all(map(_OUTER.fullmatch, others)):
            return f"inner: {inner}"
    return ""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    parser = CommandParser(prog="slimming", description=__doc__, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="of a network with batch norm")
    parser.add_argument("--share", type=float, default=0.7, help="of all channels, that goes")
    with errors_in_one_line("slimming"):
        options = parser.parse_args(args)
        weights = read_weights(options.checkpoint)
        gains = norm_gains(weights)
        if not gains:
            raise UserError(
                options.checkpoint,
                problem="holds no batch norm with gains",
                fix="name another network",
            )
        channels = slimmed_channels(gains, options.share)
    for name, count in channels.items():
        smallest = float(torch.as_tensor(gains[name]).abs().min())
        print(f"{count:6} of {len(gains[name]):5}  {name}  (smallest gain {smallest:.2g})")
    if argument := smaller_network(weights, channels):
        print(argument)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
