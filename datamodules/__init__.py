"""Data as they are at each moment of a run."""

from datamodules.augmentation import Augmentation, CropFlip
from datamodules.class_growth import ClassGrowth
from datamodules.datasets import Digits, ImageDataset
from datamodules.deficits import (
    Blur,
    Deficit,
    LabelNoise,
    LabelPermutation,
    Scene,
    VerticalFlip,
    WhiteNoise,
)
from datamodules.folder_images import FolderImages
from datamodules.growth import Growth, UniformGrowth, Until
from datamodules.image_data import ImageDataModule
from datamodules.loader import Batch
from datamodules.smooth_transition import SmoothTransition
from datamodules.torchvision_images import TorchvisionImages

__all__ = [
    "Augmentation",
    "Batch",
    "Blur",
    "ClassGrowth",
    "CropFlip",
    "Deficit",
    "Digits",
    "FolderImages",
    "Growth",
    "ImageDataModule",
    "ImageDataset",
    "LabelNoise",
    "LabelPermutation",
    "Scene",
    "SmoothTransition",
    "TorchvisionImages",
    "UniformGrowth",
    "Until",
    "VerticalFlip",
    "WhiteNoise",
]
