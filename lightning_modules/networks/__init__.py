"""Plain networks, whose `blocks` name their parts from bottom to top.

Each layer owns `reset_parameters()`.

Your own: a module whose constructor takes `in_channels` and `num_classes` (and `image_size` if it
wants it: pixels of a square, or height and width), named in YAML.
"""

from lightning_modules.networks.auxiliary_heads import AuxiliaryHeadsNetwork
from lightning_modules.networks.boundary_norm import BoundaryNormNetwork
from lightning_modules.networks.centred import CentredNetwork
from lightning_modules.networks.cifar_resnet import CifarResNet
from lightning_modules.networks.convolutional import AllCNN, DepthCNN
from lightning_modules.networks.injectable import InjectableNetwork
from lightning_modules.networks.lottery import ConvN, LeNet300
from lightning_modules.networks.mlp import MLP, Linear
from lightning_modules.networks.resnet import ResNet
from lightning_modules.networks.teacher import TeacherMLP
from lightning_modules.networks.timm_network import TimmNetwork
from lightning_modules.networks.torchvision_network import TorchvisionNetwork
from lightning_modules.networks.two_path import TwoPathNetwork
from lightning_modules.networks.vgg import VGG
from lightning_modules.networks.vit import ViT
from lightning_modules.networks.wide import WideNetwork

__all__ = [
    "MLP",
    "VGG",
    "AllCNN",
    "AuxiliaryHeadsNetwork",
    "BoundaryNormNetwork",
    "CentredNetwork",
    "CifarResNet",
    "ConvN",
    "DepthCNN",
    "InjectableNetwork",
    "LeNet300",
    "Linear",
    "ResNet",
    "TeacherMLP",
    "TimmNetwork",
    "TorchvisionNetwork",
    "TwoPathNetwork",
    "ViT",
    "WideNetwork",
]
