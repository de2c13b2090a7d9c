"""Direct feedback alignment."""

from contextlib import AbstractContextManager
from math import prod

from torch import Tensor, nn

from lightning_modules.training_rules.feedback_rule import FeedbackRule
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.surgery.direct_feedback import FeedbackKind, direct_feedback, feedback_matrix
from plasticity_lab.surgery.layer_selection import outermost


class DirectFeedbackAlignment(FeedbackRule):
    """Fixed random matrices carry the error from the outputs straight to hidden layers.

    Nøkland 2016, https://arxiv.org/abs/1609.01596; with convolutions below that are trained by
    backpropagation of the signal, and with binary matrices, Han & Yoo 2019,
    https://arxiv.org/abs/1901.01986.

    With e the gradient at the network's outputs, of each example, the output of a chosen layer
    receives e B in place of its gradient, where B (outputs, numbers in the layer's output) never
    changes. Between chosen layers and below the lowest, signals are backpropagated; what lies above
    the highest has its true gradient. So on `ConvN`, `layers: [hidden*]` is the hybrid of Han &
    Yoo, and without `layers` each block's output receives the error.

    A skip connection around a chosen layer is backpropagated through, so that one chooses whole
    residual blocks. Normalisation and activation belong to the block, and pass signals back as
    ever.

    Args:
        layers: names and patterns of layers whose outputs receive the error; of a layer and its
            parts the layer does. None is all blocks of the network but the last.
        feedback: of B: `uniform` in ±1/sqrt(n), n numbers in the layer's output, `binary`
            ±1/sqrt(3 n), the signs of the same draw, or `zero`, for the control in which nothing
            below the highest chosen layer learns.

    Raises:
        UserError: before training, for layers that are not there, give out no tensor or the
            outputs, or are not called; a compiled network; or a callback whose term of the loss
            needs more than the outputs.

    Example:
        ```yaml
        rule:
          class_path: lightning_modules.DirectFeedbackAlignment
          init_args: {layers: [hidden*], feedback: binary}
        ```
    """

    def __init__(self, layers: list[str] | None = None, feedback: FeedbackKind = "uniform") -> None:
        super().__init__(layers)
        self.feedback = feedback

    def forward_pass(self, network: nn.Module) -> AbstractContextManager[None]:
        """Cut the graph at the chosen layers."""
        return direct_feedback(network, self._chosen(network), self._matrix)

    def _chosen(self, network: nn.Module) -> list[str]:
        if self.layers is not None:
            return outermost(network, self.layers)
        blocks: list[str] = list(getattr(network, "blocks", ()))
        if len(blocks) < 2:
            raise UserError(
                "layers",
                problem=f"{type(network).__name__} does not list its blocks",
                fix="set names or patterns of layers",
            )
        return blocks[:-1]

    def _matrix(self, name: str, outputs: int, hidden: Tensor) -> Tensor:
        shape = outputs, prod(hidden.shape[1:])

        def draw() -> Tensor:
            draws = generator(self.seed, "DirectFeedbackAlignment", name)
            return feedback_matrix(*shape, draws, self.feedback)

        return self.fixed(name, shape, hidden, draw)
