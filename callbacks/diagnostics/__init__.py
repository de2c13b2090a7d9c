"""What is measured of a network while it is trained; nothing here changes it."""

from callbacks.diagnostics.base import Diagnostic
from callbacks.diagnostics.curvature import Curvature
from callbacks.diagnostics.fisher_information import FisherInformation
from callbacks.diagnostics.gradient_noise import GradientNoise
from callbacks.diagnostics.hessian_spectrum import HessianSpectrum
from callbacks.diagnostics.kernel_alignment import KernelAlignment

__all__ = ["Curvature", "Diagnostic", "FisherInformation", "GradientNoise", "HessianSpectrum", "KernelAlignment"]
