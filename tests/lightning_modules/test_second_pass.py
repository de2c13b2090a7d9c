"""A second pass leaves no trace."""

import torch
from torch import Tensor, nn

from tests.lightning_modules.test_training_rules import SAM
from tests.runs import fit, tiny


class Counting(nn.Module):
    """Counts its passes, in a new tensor each time, as many a module does."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels, num_classes)
        self.passes: Tensor
        self.register_buffer("passes", torch.tensor(0))

    def forward(self, images: Tensor) -> Tensor:
        self.passes = self.passes + 1
        outputs: Tensor = self.head(images.mean((2, 3)))
        return outputs


def test_it_counts_no_second_pass_of_sam() -> None:
    network = {"model": {"init_args": {"network": {"class_path": f"{__name__}.Counting"}}}}
    once = fit(*tiny(network), "--trainer.max_epochs", "1").model.network.passes
    assert fit(*tiny(SAM, network), "--trainer.max_epochs", "1").model.network.passes == once
