"""Data as they are at each moment of a run."""

from datamodules.datasets.digits import Digits
from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.datasets.folder_images import FolderImages
from datamodules.datasets.image_dataset import ImageDataset
from datamodules.datasets.split import Split, TensorSplit
from datamodules.datasets.torchvision_images import TorchvisionImages
from datamodules.growth.base import Growth
from datamodules.growth.class_growth import ClassGrowth
from datamodules.growth.smooth_transition import SmoothTransition
from datamodules.growth.stage_criterion import StageCriterion
from datamodules.growth.uniform_growth import UniformGrowth
from datamodules.image_data import ImageDataModule
from datamodules.loading.batch import Batch
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.crop_flip import CropFlip
from datamodules.transforms.deficit import BatchContext, Deficit
from datamodules.transforms.image_deficits import Blur, VerticalFlip, WhiteNoise
from datamodules.transforms.label_deficits import LabelNoise, LabelPermutation

__all__ = [
    "Augmentation",
    "Batch",
    "BatchContext",
    "Blur",
    "ClassGrowth",
    "CropFlip",
    "Deficit",
    "Digits",
    "ExampleDataset",
    "FolderImages",
    "Growth",
    "ImageDataModule",
    "ImageDataset",
    "LabelNoise",
    "LabelPermutation",
    "SmoothTransition",
    "Split",
    "StageCriterion",
    "TensorSplit",
    "TorchvisionImages",
    "UniformGrowth",
    "VerticalFlip",
    "WhiteNoise",
]
