"""Whether a network fits the images that it is to be trained on."""

import copy
import traceback

import torch
from torch import nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import Shape


def check_fit(network: nn.Module, image_shape: Shape, classes: int) -> None:
    """Raise UserError unless a network makes logits (batch, classes) of images, in training and in evaluation.

    A copy is run on two black images, so that the network and all random streams stay as they are.

    Args:
        network: of floating-point parameters.
        image_shape: channels, height, width.
        classes: number of classes.
    """
    name = type(network).__name__
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(
            "network",
            value=name,
            problem="has no parameter to train",
            fix="let some require gradients",
        )
    twin = copy.deepcopy(network).cpu()
    dtype = next((tensor.dtype for tensor in twin.parameters()), torch.float32)
    images = torch.zeros(2, *image_shape, dtype=dtype)
    for training in (True, False):
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                logits = twin.train(training)(images)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename.rpartition('/')[2]}, line {frame.lineno}"
            raise UserError(
                "network",
                name,
                f"cannot take images (channels, height, width) = {image_shape}: {type(error).__name__}: {error} ({place})",
            ) from error
        if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
            made = (
                tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            )
            raise UserError(
                "network",
                value=name,
                problem=f"makes {made} of 2 images",
                fix=f"it must return logits (batch, classes) = (2, {classes})",
            )
