"""Loss and accuracy over many batches, kept on the device."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Tally(Metric):
    """Mean loss and accuracy since the last reset; updating waits for nothing and logs nothing.

    `compute()` returns `{"loss": …, "accuracy": …}`, over all ranks.
    """

    full_state_update = False
    loss: Tensor
    correct: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss (scalar), logits (batch, classes) and labels (batch,)."""
        self.loss += loss.detach() * len(labels)
        self.correct += (logits.detach().argmax(1) == labels).sum()
        self.count += len(labels)

    def compute(self) -> dict[str, Tensor]:
        """Return mean loss and accuracy in [0, 1]."""
        return {"loss": self.loss / self.count, "accuracy": self.correct / self.count}

    def state(self) -> Tensor:
        """Return this rank's sums as one float64 tensor (3,) on the CPU, which holds them exactly.

        On the CPU, since Apple's GPUs have no float64.
        """
        return torch.stack(
            [value.cpu().double() for value in (self.loss, self.correct, self.count)]
        )

    def restore(self, state: Tensor) -> None:
        """Set this rank's sums from `state()`."""
        loss, correct, count = state.cpu()
        device = self.loss.device
        self.loss = loss.float().to(device)
        self.correct, self.count = correct.long().to(device), count.long().to(device)
        self._update_count = int(count > 0)  # else compute() warns that nothing was added
