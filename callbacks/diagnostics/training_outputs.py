"""What the training step's own pass has answered."""

from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from plasticity_lab.errors import UserError


class TrainingOutputs:
    """Keeps the outputs of a batch's training pass, by a hook on the module; no pass is added."""

    def __init__(self) -> None:
        self._outputs: Tensor | None = None
        self._hook: RemovableHandle | None = None

    def watch(self, module: nn.Module) -> None:
        """Forget the batch before, and look at passes from now on: at a batch's start."""
        self._outputs = None
        # Not on its network, where a compiler would meet it.
        self._hook = module.register_forward_hook(self._keep)

    def stop(self) -> None:
        """Look at no more passes: before the backward pass, or after an exception."""
        if self._hook is not None:
            self._hook.remove()

    def take(self, name: str, examples: int) -> Tensor:
        """Return the outputs, (examples, outputs): at a batch's end.

        Raises:
            UserError: under a name, if no pass had such outputs.
        """
        self.stop()
        if self._outputs is None or len(self._outputs) != examples:
            raise UserError(
                name,
                problem="the training step does not call the module",
                fix="let it compute logits by self(images)",
            )
        return self._outputs

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        # Under DDP, the output is the training step's loss once, too.
        if isinstance(output, Tensor) and output.ndim == 2:
            # Copied, as what follows may change it.
            self._outputs = output.detach().clone()
