"""What is wrong with one of the two sensors for a while (Kleinman, Achille & Soatto 2023)."""

from typing import Any, Literal

import torch

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.label_deficits import LabelNoise, LabelPermutation
from datamodules.transforms.requirements import need_images
from plasticity_lab.class_options import read_options
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.image_halves import join_halves
from plasticity_lab.randomness import generator
from plasticity_lab.schedule import Answer
from plasticity_lab.timing import Position, Time


class SensorDeficit(Deficit):
    """A deficit of one sensor: of the left or the right half of every image.

    Kleinman, Achille & Soatto 2023, https://arxiv.org/abs/2210.04643, who blur what one pathway
    sees. The deficit acts on the whole image, of which one half is then taken, as in the authors'
    code. It acts after augmentation, so that a mirrored image is impaired on the same side. For
    networks in which each half has a pathway, such as `TwoPathNetwork`.

    Args:
        deficit: its class, which changes images alone.
        options: its other arguments, apart from `during` and `levels`.
        sensor: the half that is impaired.
        during: as `Deficit`.
        levels: in place of `during`, the strengths of the deficit, as it takes them.

    Raises:
        UserError: for a deficit that cannot be built so, or does not act on images, and for options
            of another type.

    Example:
        ```yaml
        class_path: datamodules.SensorDeficit
        init_args: {deficit: datamodules.Blur, options: {size: 8}, during: [0ep, 20ep]}
        ```
    """

    of_sensors = True

    def __init__(
        self,
        deficit: type[Deficit],
        options: dict[str, Any] | None = None,
        sensor: Literal["left", "right"] = "right",
        during: tuple[Time, Time] | None = None,
        levels: dict[str, int | float | None] | None = None,
    ) -> None:
        super().__init__(during, levels)
        given = {"during": during} if levels is None else read_options(deficit, {"levels": levels})
        others = read_options(deficit, options, taken=("during", "levels"))
        try:
            self.deficit = deficit(**given, **others)
        except TypeError as error:
            raise UserError(f"{deficit.__name__}: options", options, str(error)) from error
        if self.deficit.of_sensors or isinstance(self.deficit, LabelNoise | LabelPermutation):
            raise UserError(
                "deficit",
                value=deficit.__name__,
                problem="is not a deficit of whole images",
                fix="set one that is, such as datamodules.Blur",
            )
        self.sensor = sensor

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return what the deficit does."""
        return self.deficit.active(before, now, epochs)

    def check(self, train: Split) -> None:
        """Refuse what is not an image, and what the deficit refuses."""
        need_images(self, train)
        self.deficit.check(train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Impair one half of the images."""
        impaired = self.deficit(batch, context).inputs
        intact = batch.inputs.to(impaired.dtype)
        if self.sensor == "left":
            return batch._replace(inputs=join_halves(impaired, intact))
        return batch._replace(inputs=join_halves(intact, impaired))


class Dissociation(Deficit):
    """Sensors that see different objects: the right half is that of another example of the batch.

    Kleinman, Achille & Soatto 2023, https://arxiv.org/abs/2210.04643. Right halves are permuted
    within the batch, and each target is that of either half with probability 1/2. It acts after
    augmentation. The authors' network has two more heads for these epochs, one of which is trained
    on each batch; here the one head is trained throughout.

    Args:
        during: as `Deficit`.

    Example:
        ```yaml
        class_path: datamodules.Dissociation
        init_args: {during: [0ep, 20ep]}
        ```
    """

    of_sensors = True

    def __init__(self, during: tuple[Time, Time]) -> None:
        super().__init__(during)

    def check(self, train: Split) -> None:
        """Refuse what is not an image."""
        need_images(self, train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Permute the right halves, and half of the targets with them."""
        draws = generator(context.seed, "Dissociation", context.split, *context.stream_key)
        count, device = len(batch.inputs), batch.inputs.device
        others = torch.randperm(count, generator=draws).to(device)
        of_the_right = (torch.rand(count, generator=draws) < 0.5).to(device)

        # Targets have any shape: classes, or the values of a regression.
        chosen = torch.where(of_the_right, others, torch.arange(count, device=device))
        return batch._replace(
            inputs=join_halves(batch.inputs, batch.inputs[others]),
            targets=batch.targets[chosen.to(batch.targets.device)],
        )
