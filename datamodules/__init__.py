"""Data as they are at each moment of a run."""

from datamodules.augmentation import Augmentation, CropFlip
from datamodules.datasets import Digits, ImageDataset
from datamodules.folder_images import FolderImages
from datamodules.image_data import ImageDataModule
from datamodules.loader import Batch
from datamodules.torchvision_images import TorchvisionImages

__all__ = ["Augmentation", "Batch", "CropFlip", "Digits", "FolderImages", "ImageDataModule", "ImageDataset", "TorchvisionImages"]
