"""Functions that count as the activations of units, as torch calls them."""

import torch
from torch import Tensor
from torch.nn import functional as F

RELUS = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
"""What counts as a rectifier: `nn.ReLU` calls the first."""

_TANHS = {torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_}
_OTHERS = {F.relu6, F.hardtanh, F.leaky_relu, F.prelu, F.elu, F.selu, F.celu, F.gelu, F.silu}
ACTIVATIONS = {*RELUS, *_TANHS, *_OTHERS, F.mish, F.softplus, F.hardswish}
"""What counts as the activation of hidden units; sigmoids are gates, a softmax is attention."""
