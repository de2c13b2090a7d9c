"""The teachers of Tian et al. 2019."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize, check_sizes, height_and_width
from plasticity_lab.errors import UserError

VALUES = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""What entries of a row are drawn from."""


class TeacherLinear(nn.Linear):
    """A linear layer whose rows are distinct draws from a few values, each scaled to length 1.

    Entries are drawn from -1/2, -1/4, 0, 1/4 and 1/2, biases uniformly from [-1/2, 1/2]; each row
    and its bias are divided by the row's length (Tian et al. 2019, in their code).
    """

    def __init__(self, inputs: int, units: int) -> None:
        if units >= len(VALUES) ** inputs:
            raise UserError(
                "widths",
                value=units,
                problem=f"of {inputs} inputs there are {len(VALUES) ** inputs - 1} distinct rows",
                fix="set fewer units, or more below them",
            )
        super().__init__(inputs, units)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw rows until no two are equal, and none is zero."""
        values = self.weight.new_tensor(VALUES)
        rows = torch.zeros_like(self.weight)
        taken: set[tuple[float, ...]] = {tuple(rows[0].tolist())}
        for row in rows:
            while tuple(row.tolist()) in taken:
                row.copy_(values[torch.randint(len(values), row.shape)])
            taken.add(tuple(row.tolist()))
        lengths = rows.norm(dim=1) + 1e-5
        self.weight.copy_(rows / lengths[:, None])
        self.bias.uniform_(-0.5, 0.5).div_(lengths)


class TeacherMLP(nn.Module):
    """A fully connected ReLU network whose units are far apart: a teacher to be recovered.

    Tian et al. 2019, https://arxiv.org/abs/1905.13405, whose hidden layers have 10, 15, 20 and 25
    units, with 20 inputs and 100 outputs. For `datamodules.TeacherTargets`; a student is an `MLP`
    with as many layers, each several times as wide.

    Args:
        in_channels: image channels, or features of vectors.
        num_classes: outputs.
        image_size: height and width of the images; 1 for vectors.
        widths: units of the hidden layers.

    Example:
        ```yaml
        class_path: lightning_modules.networks.TeacherMLP
        init_args: {in_channels: 20, num_classes: 100, image_size: 1}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        widths: Sequence[int] = (10, 15, 20, 25),
    ) -> None:
        super().__init__()
        features = in_channels * prod(height_and_width(image_size))
        for number, units in enumerate(widths, 1):
            check_sizes(widths=units)
            layer = nn.Sequential(TeacherLinear(features, units), nn.ReLU())
            self.add_module(f"hidden{number}", layer)
            features = units
        self.head = TeacherLinear(features, num_classes)
        self.blocks = (*(f"hidden{number}" for number in range(1, len(widths) + 1)), "head")

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (batch, …) to outputs (batch, outputs)."""
        x = x.flatten(1)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return x
