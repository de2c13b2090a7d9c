"""Whether a network fits the data that it is to be trained on."""

import copy
import traceback
from contextlib import suppress

import torch
from torch import nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import Shape

_LARGER = (32, 48, 64, 96, 128, 224, 299)
"""Sides in pixels to be proposed where images are too small for a network."""


def check_fit(
    network: nn.Module, shape: Shape, outputs: int, dtype: torch.dtype | None = None
) -> None:
    """Raise UserError unless a network returns (batch, outputs), in both of its modes.

    A copy is run on two inputs of zeros, so that the network and all random streams stay as they
    are.

    Args:
        network: of floating-point parameters.
        shape: of an input; of an image (channels, height, width).
        outputs: classes, or numbers in a target.
        dtype: of inputs; None is that of the parameters.
    """
    name = type(network).__name__
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(
            "network",
            value=name,
            problem="has no parameter to train",
            fix="let some require gradients",
        )
    noun = "images" if len(shape) == 3 else "inputs"
    for training in (True, False):
        output = output_of_zeros(network, shape, dtype, training)
        if not isinstance(output, torch.Tensor) or output.shape != (2, outputs):
            actual = (
                tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            )
            raise UserError(
                "network",
                value=name,
                problem=f"makes {actual} of 2 {noun}",
                fix=f"it must return (batch, outputs) = (2, {outputs})",
            )


def output_of_zeros(
    network: nn.Module,
    shape: Shape,
    dtype: torch.dtype | None = None,
    training: bool = False,
    key: str = "network",
) -> object:
    """Return what a copy of a network makes of two inputs of zeros.

    Args:
        network: of floating-point parameters.
        shape: of an input; of an image (channels, height, width).
        dtype: of inputs; None is that of the parameters.
        training: in which mode.
        key: of the network in the config, for the message.

    Raises:
        UserError: if it cannot take them.
    """
    noun, axes = ("images", " (channels, height, width) =") if len(shape) == 3 else ("inputs", "")
    twin = copy.deepcopy(network).cpu()
    own = next((tensor.dtype for tensor in twin.parameters()), torch.float32)
    inputs = torch.zeros(2, *shape, dtype=dtype or own)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return twin.train(training)(inputs)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}, line {frame.lineno}"
        reason = " ".join(f"{type(error).__name__}: {error} ({place})".split())
        larger = _larger_images(twin, shape, inputs.dtype)
        raise UserError(
            key,
            type(network).__name__,
            f"cannot take {noun}{axes} {shape}: {reason}",
            f"use images of {larger} x {larger} pixels, or another network" if larger else "",
        ) from error


@torch.no_grad()
def _larger_images(network: nn.Module, shape: Shape, dtype: torch.dtype) -> int | None:
    """Return the side of larger squares that a network can take; None if there is none."""
    if len(shape) != 3:
        return None
    for side in _LARGER:
        if side > max(shape[1:]):
            with suppress(Exception), torch.random.fork_rng(devices=[]):
                network.eval()(torch.zeros(1, shape[0], side, side, dtype=dtype))
                return side
    return None
