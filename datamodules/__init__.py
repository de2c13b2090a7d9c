"""Data as they are at each moment of a run."""

from datamodules.datasets.class_subset import ClassSubset
from datamodules.datasets.digits import Digits
from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.datasets.folder_images import FolderImages
from datamodules.datasets.gaussian_inputs import GaussianInputs
from datamodules.datasets.image_dataset import ImageDataset
from datamodules.datasets.split import Split, TensorSplit
from datamodules.datasets.teacher_targets import TeacherTargets
from datamodules.datasets.torchvision_images import TorchvisionImages
from datamodules.datasets.whitened import WhitenedImages
from datamodules.growth.base import Growth
from datamodules.growth.class_growth import ClassGrowth
from datamodules.growth.class_stream import ClassStream
from datamodules.growth.data_stages import DataStages
from datamodules.growth.example_stream import ExampleStream
from datamodules.growth.smooth_transition import SmoothTransition
from datamodules.growth.stage_criterion import StageCriterion
from datamodules.growth.stream import Stream
from datamodules.growth.task_stream import TaskStream
from datamodules.growth.uniform_growth import UniformGrowth
from datamodules.image_data import ImageDataModule
from datamodules.loading.batch import Batch
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.class_patch import ClassPatch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.crop_flip import CropFlip
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.image_deficits import Blur, VerticalFlip, WhiteNoise
from datamodules.transforms.label_deficits import LabelNoise, LabelPermutation
from datamodules.transforms.label_remap import LabelRemap
from datamodules.transforms.pixel_permutation import PixelPermutation
from datamodules.transforms.random_labels import RandomLabels
from datamodules.transforms.sensor_deficits import Dissociation, SensorDeficit
from datamodules.transforms.stage_transform import StageTransform
from datamodules.transforms.target_affine import TargetAffine

__all__ = [
    "Augmentation",
    "Batch",
    "BatchContext",
    "Blur",
    "ClassGrowth",
    "ClassPatch",
    "ClassStream",
    "ClassSubset",
    "CropFlip",
    "DataStages",
    "Deficit",
    "Digits",
    "Dissociation",
    "ExampleDataset",
    "ExampleStream",
    "FolderImages",
    "GaussianInputs",
    "Growth",
    "ImageDataModule",
    "ImageDataset",
    "LabelNoise",
    "LabelPermutation",
    "LabelRemap",
    "PixelPermutation",
    "RandomLabels",
    "SensorDeficit",
    "SmoothTransition",
    "Split",
    "StageCriterion",
    "StageTransform",
    "Stream",
    "TargetAffine",
    "TaskStream",
    "TeacherTargets",
    "TensorSplit",
    "TorchvisionImages",
    "UniformGrowth",
    "VerticalFlip",
    "WhiteNoise",
    "WhitenedImages",
]
