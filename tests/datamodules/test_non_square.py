"""Images that are wider than they are high."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from datamodules import Digits
from datamodules.datasets.split import Split, TensorSplit
from datamodules.transforms.blur import blur, blurred_size
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from tests.networks import SmallNet
from tests.runs import fit, logged, pictures, tiny


class WideDigits(Digits):
    """Digits of which the upper and the lower quarter are cut off: 8 pixels high, 16 wide."""

    def read(self, split: Literal["train", "test"]) -> Split:
        digits = super().read(split)
        return TensorSplit(digits.tensor()[:, :, 4:12].clone(), digits.targets, digits.classes)


class Squares(SmallNet):
    """A network that takes square images only."""

    def __init__(self, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__(in_channels, num_classes)
        self.place = nn.Parameter(torch.zeros(image_size, image_size))


def wide(network: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": network, "init_args": arguments}
    dataset = {"class_path": f"{__name__}.WideDigits", "init_args": {"subset": 100}}
    during = {"size": 4, "during": ["0ep", "2ep"]}
    return {
        "model": {"init_args": {"network": node}},
        "data": {
            "init_args": {
                "dataset": dataset,
                "deficits": [{"class_path": "datamodules.Blur", "init_args": during}],
                "augmentation": {"class_path": "datamodules.CropFlip", "init_args": {"padding": 2}},
            }
        },
    }


NETWORKS: dict[str, dict[str, Any]] = {
    "MLP": wide("lightning_modules.networks.MLP", widths=[16]),
    "Linear": wide("lightning_modules.networks.Linear"),
    "ResNet": wide("lightning_modules.networks.ResNet", width=4, depth=1),
    "torchvision": wide("lightning_modules.networks.TorchvisionNetwork", name="resnet18"),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "torchvision")) for name in NETWORKS],
)
def test_they_train_blurred_and_augmented(name: str) -> None:
    finished = fit(*tiny(NETWORKS[name]))
    assert finished.data.image_size == (8, 16)
    assert len(logged(finished.place.directory)["train/loss"]) == 3
    assert len(pictures(finished.place.directory)["data/as_seen"]) == 2, "blurred, and not"
    with (finished.place.directory / "config.yaml").open() as file:
        assert "image_size: 16" not in file.read()


REFUSED = {
    "a network that takes one number": (
        wide(f"{__name__}.Squares"),
        r"network: Squares: image_size is one number, and images are 8 x 16 \(height x width\)",
    ),
    "a vision transformer": (
        wide("lightning_modules.networks.TorchvisionNetwork", name="vit_b_32"),
        r"vit_b_32: image size \(8, 16\): takes square images only",
    ),
    "too much blur": (
        {
            **wide("lightning_modules.networks.Linear"),
            "trainer": {"max_epochs": 2},
        },
        "size: 9: images of 8 pixels can be blurred",
    ),
}
REFUSED["too much blur"][0]["data"]["init_args"]["deficits"][0]["init_args"]["size"] = 9


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_take_them_is_refused_in_one_line(name: str) -> None:
    fragment, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as error:
        build(parse(["fit", *tiny(fragment)])).check()
    assert "\n" not in str(error.value)


def test_a_blur_leaves_the_proportions() -> None:
    assert blurred_size(32, 32, 8) == (8, 8)
    assert blurred_size(8, 16, 4) == (4, 8)
    assert blurred_size(30, 20, 7) == (11, 7), "10.5 is rounded up"
    images = torch.randint(0, 256, (3, 3, 12, 20), dtype=torch.uint8)
    assert torch.equal(blur(images, 12), images)
    blurred = blur(images, 6).int()
    for image, mine in zip(images, blurred, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        small = picture.resize((10, 6), Image.Resampling.BILINEAR)
        theirs = torch.from_numpy(
            np.asarray(small.resize((20, 12), Image.Resampling.BILINEAR), int)
        )
        assert (mine.permute(1, 2, 0) - theirs).abs().max() <= 1
