"""The error at the outputs in place of gradients at chosen layers."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.feedback_transport import check_called

FeedbackKind = Literal["uniform", "binary", "zero"]
"""How a feedback matrix is drawn."""

FeedbackOf = Callable[[str, int, Tensor], Tensor]
"""From a layer's name, the number of outputs of the network, and the layer's output (examples, …),
to a feedback matrix (outputs, numbers in an example of the layer's output)."""


def feedback_matrix(
    outputs: int, units: int, draws: torch.Generator, kind: FeedbackKind = "uniform"
) -> Tensor:
    """Return a random feedback matrix B, float32 (outputs, units).

    `uniform` in ±1/sqrt(units); `binary` ±1/sqrt(3 units), the signs of the same draw times its
    standard deviation (Han & Yoo 2019, https://arxiv.org/abs/1901.01986); or `zero`.

    Args:
        outputs: of the network, 1 or more.
        units: that receive the error, 1 or more.
        draws: on the CPU.
        kind: how it is drawn.

    Examples:
        >>> draws = torch.Generator().manual_seed(0)
        >>> feedback_matrix(2, 3, draws, "binary").abs()
        tensor([[0.3333, 0.3333, 0.3333],
                [0.3333, 0.3333, 0.3333]])
    """
    if kind == "zero":
        return torch.zeros(outputs, units, dtype=torch.float32)
    # Draws of another type, such as the default of 64-true, would be other numbers.
    matrix = torch.empty(outputs, units, dtype=torch.float32).uniform_(-1, 1, generator=draws)
    if kind == "binary":
        return (1 - 2 * (matrix < 0).float()).div(math.sqrt(3 * units))
    return matrix.div(math.sqrt(units))


@contextmanager
def direct_feedback(
    network: nn.Module, layers: Sequence[str], feedback: FeedbackOf
) -> Iterator[None]:
    """Let the forward pass inside make a graph that carries the error straight to some layers.

    Direct feedback alignment (Nøkland 2016, https://arxiv.org/abs/1609.01596): at the output of
    each of these layers the gradient is replaced by e B, where e is the gradient at the network's
    outputs, of each example. Between and below them, and above the last one, gradients are
    backpropagated as ever. Outputs keep their bits. Hooks are removed at the end.

    What bypasses a layer, such as a skip connection around it, is backpropagated through.

    Args:
        network: from inputs (examples, …) to outputs (examples, outputs).
        layers: names of layers whose output is one tensor (examples, …).
        feedback: gives B; it must not require gradients.

    Raises:
        UserError: in the forward pass, for a layer whose output is no tensor or is the network's;
            at the end, for one that was not called.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> with direct_feedback(network, ["1"], lambda name, outputs, hidden: torch.zeros(2, 4)):
        ...     outputs = network(torch.randn(5, 3))
        >>> outputs.sum().backward()
        >>> network[0].weight.grad.abs().sum(), network[2].bias.grad
        (tensor(0.), tensor([5., 5.]))
    """
    cut: list[tuple[str, Tensor, Tensor]] = []
    called: set[str] = set()

    def cut_at(name: str) -> Callable[[nn.Module, Any, Any], Tensor]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise UserError(
                    "layers",
                    value=name,
                    problem=f"gives out a {type(output).__name__}, no tensor",
                    fix="name a layer that gives out one tensor",
                )
            called.add(name)
            above = output.detach()
            cut.append((name, output, above))
            return above

        return hook

    def join(called: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        for name, _, above in cut:
            if outputs is above:
                raise UserError(
                    "layers",
                    value=name,
                    problem="gives out the outputs of the network, whose gradient is the error",
                    fix="leave the last layer out",
                )
        below = [(name, hidden) for name, hidden, _ in cut if hidden.requires_grad]
        cut.clear()
        if not below:
            return outputs
        matrices = [feedback(name, outputs.shape[1], hidden) for name, hidden in below]
        joined: Tensor = _Feedback.apply(outputs, matrices, *(hidden for _, hidden in below))
        return joined

    with ExitStack() as stack:
        for name in layers:
            handle = network.get_submodule(name).register_forward_hook(cut_at(name))
            stack.callback(handle.remove)
        stack.callback(network.register_forward_hook(join).remove)
        yield
    check_called(layers, called)


class _Feedback(torch.autograd.Function):
    """The identity on outputs, whose gradient also reaches hidden layers, by fixed matrices."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, matrices: list[Tensor], *hidden: Tensor) -> Tensor:
        ctx.matrices = matrices
        ctx.like = [(layer.shape, layer.dtype) for layer in hidden]
        return outputs.view_as(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        signals = [
            (error.to(matrix.dtype) @ matrix).view(shape).to(dtype)
            for matrix, (shape, dtype) in zip(ctx.matrices, ctx.like, strict=True)
        ]
        return error, None, *signals
