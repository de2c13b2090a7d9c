"""Every class that can be switched on, with settings under which it acts and settings under which it is nothing."""

from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A class of this project as YAML switches it on.

    Attributes:
        acting: a config fragment that changes what is trained.
        identity: a config fragment that leaves it bitwise as it is.
    """

    acting: dict[str, Any]
    identity: dict[str, Any]


def _data(**arguments: Any) -> dict[str, Any]:
    return {"data": {"init_args": arguments}}


def _crop_flip(**arguments: Any) -> dict[str, Any]:
    return _data(augmentation={"class_path": "datamodules.CropFlip", "init_args": arguments})


NETWORKS = {"ResNet", "AllCNN", "DepthCNN", "MLP", "Linear"}
"""What is trained; tested in tests/lightning_modules/test_networks.py."""

REGISTRY: dict[str, Entry] = {
    "CropFlip": Entry(acting=_crop_flip(padding=2), identity=_crop_flip(padding=0, flip=False)),
}

NOT_SWITCHED = {
    "Augmentation",
    "Branch",
    "Batch",
    "ImageDataModule",
    "ImageDataset",
    "EpochLines",
    "ExactResume",
    "FiniteLoss",
    "PredictionFile",
    "RunRecord",
}
"""Exported, but nothing that YAML switches on in a run."""

DATASETS = {"Digits", "FolderImages", "TorchvisionImages"}
"""Where images come from; tested in tests/datamodules."""

VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"trainer": {"precision": "bf16-mixed"}},
    "accumulation": {"trainer": {"accumulate_grad_batches": 3}},
    "plateau": {
        "model": {
            "init_args": {
                "lr_scheduler": {
                    "class_path": "pytorch_lightning.cli.ReduceLROnPlateau",
                    "init_args": {"monitor": "train/loss", "patience": 0, "threshold": 0.5},
                }
            }
        }
    },
    "adam": {"model": {"init_args": {"optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}}}},
    "no validation": {"trainer": {"limit_val_batches": 0}},
    "streaming": _data(resident=False, workers=2),
}
"""Ways to train under which every contract holds."""
