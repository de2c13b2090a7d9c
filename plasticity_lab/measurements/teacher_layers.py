"""Hidden layers of a student beside those of its teacher."""

from typing import NamedTuple

from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import Call, recorded
from plasticity_lab.measurements.node_correlation import node_correlation
from plasticity_lab.surgery.activation_functions import ACTIVATIONS
from plasticity_lab.surgery.fresh_copy import copy_network


class TaughtLayer(NamedTuple):
    """A hidden layer of a student and the one of its teacher in the same place.

    Attributes:
        block: of the student.
        correlation: of their units, (teachers, students).
    """

    block: str
    correlation: Tensor


def taught_layers(network: nn.Module, teacher: nn.Module, inputs: Tensor) -> list[TaughtLayer]:
    """Return the correlations of units of each hidden layer, after the activation, in order.

    Tian et al. 2019, https://arxiv.org/abs/1905.13405.

    Args:
        network: the student, in evaluation mode.
        teacher: with as many activations, as `check_teacher` says. A copy is called.
        inputs: (examples, …).

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> teacher = nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 2))
        >>> layers = taught_layers(network, teacher, torch.randn(10, 3))
        >>> [(layer.block, layer.correlation.shape) for layer in layers]
        [('1', torch.Size([1, 4]))]
    """
    learned, taught = (_hidden(one, inputs) for one in (network, _called(teacher, inputs)))
    return [
        TaughtLayer(block, node_correlation(there, here))
        for (block, here), (_, there) in zip(learned, taught, strict=True)
    ]


def check_teacher(network: nn.Module, teacher: nn.Module | None, inputs: Tensor) -> None:
    """Raise UserError unless a student's layers are as its teacher's.

    There is a teacher, it has as many activations, each block of the student has one, and their
    outputs have the same heights and widths.

    Args:
        network: the student, in evaluation mode.
        teacher: None if there is none.
        inputs: an example or more, whose values do not matter.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> check_teacher(network, network, torch.zeros(1, 3))
    """
    if teacher is None:
        raise UserError(
            "data",
            problem="have no teacher",
            fix="use datamodules.TeacherTargets, or remove it",
        )
    learned, taught = (_hidden(one, inputs[:1]) for one in (network, _called(teacher, inputs)))
    if len(learned) != len(taught) or not learned:
        raise UserError(
            "network",
            problem=f"has {len(learned)} activations and its teacher {len(taught)}",
            fix="use as many layers for both",
        )
    if len({block for block, _ in learned}) < len(learned):
        raise UserError(
            "network",
            problem="a block of it has several activations",
            fix="use a network with one in each, such as MLP",
        )
    pairs = zip(learned, taught, strict=True)
    if any(here.shape[2:] != there.shape[2:] for (_, here), (_, there) in pairs):
        raise UserError(
            "network",
            problem="its activations and its teacher's have other heights and widths",
            fix="use networks of the same kind",
        )


def _called(teacher: nn.Module, inputs: Tensor) -> nn.Module:
    return copy_network(teacher).to(inputs.device, inputs.dtype).eval()


def _hidden(network: nn.Module, inputs: Tensor) -> list[tuple[str, Tensor]]:
    """Return the output of each activation with its block."""
    return recorded(network, inputs, ACTIVATIONS, _units)


def _units(number: int, call: Call) -> Tensor:
    return call.units
