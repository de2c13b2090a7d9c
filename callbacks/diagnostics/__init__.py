"""What is measured of a network while it is trained; nothing here changes it."""

from callbacks.diagnostics.base import Diagnostic
from callbacks.diagnostics.curvature import Curvature
from callbacks.diagnostics.dashboard import Dashboard
from callbacks.diagnostics.fisher_information import FisherInformation
from callbacks.diagnostics.flatness import Flatness
from callbacks.diagnostics.forgetting import Forgetting
from callbacks.diagnostics.gradient_noise import GradientNoise
from callbacks.diagnostics.gradient_norms import GradientNorms
from callbacks.diagnostics.hessian_spectrum import HessianSpectrum
from callbacks.diagnostics.kernel_alignment import KernelAlignment
from callbacks.diagnostics.margins import Margins
from callbacks.diagnostics.neural_code import NeuralCode
from callbacks.diagnostics.norm_biases import NormBiases
from callbacks.diagnostics.ranks import Ranks
from callbacks.diagnostics.similarity import Similarity
from callbacks.diagnostics.time_to_accuracy import TimeToAccuracy
from callbacks.diagnostics.units import Units
from callbacks.diagnostics.weights import Weights

__all__ = [
    "Curvature",
    "Dashboard",
    "Diagnostic",
    "FisherInformation",
    "Flatness",
    "Forgetting",
    "GradientNoise",
    "GradientNorms",
    "HessianSpectrum",
    "KernelAlignment",
    "Margins",
    "NeuralCode",
    "NormBiases",
    "Ranks",
    "Similarity",
    "TimeToAccuracy",
    "Units",
    "Weights",
]
