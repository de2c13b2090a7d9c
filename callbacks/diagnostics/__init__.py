"""What is measured of a network while it is trained; nothing here changes it."""

from callbacks.diagnostics.base import Diagnostic, ProbeDiagnostic
from callbacks.diagnostics.churn import Churn
from callbacks.diagnostics.cka import CKA
from callbacks.diagnostics.dashboard import Dashboard
from callbacks.diagnostics.dormant_units import DormantUnits
from callbacks.diagnostics.feature_rank import FeatureRank
from callbacks.diagnostics.few_shot import FewShot
from callbacks.diagnostics.fisher_information import FisherInformation
from callbacks.diagnostics.flatness import Flatness
from callbacks.diagnostics.forgetting import Forgetting
from callbacks.diagnostics.fresh_reference import FreshReference
from callbacks.diagnostics.gradient_alignment import GradientAlignment
from callbacks.diagnostics.gradient_noise import GradientNoise
from callbacks.diagnostics.gradient_norms import GradientNorms
from callbacks.diagnostics.hessian_eigenvalues import HessianEigenvalues
from callbacks.diagnostics.hessian_spectrum import HessianSpectrum
from callbacks.diagnostics.infinite_width import InfiniteWidthReference
from callbacks.diagnostics.kernel_alignment import KernelAlignment
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.margins import Margins
from callbacks.diagnostics.memorisation_gradients import MemorisationGradients
from callbacks.diagnostics.neural_code import NeuralCode
from callbacks.diagnostics.node_correlation import NodeCorrelation
from callbacks.diagnostics.norm_biases import NormBiases
from callbacks.diagnostics.redundant_units import RedundantUnits
from callbacks.diagnostics.source_variance import SourceVariance
from callbacks.diagnostics.sparsity import Sparsity
from callbacks.diagnostics.stage_accuracy import StageAccuracy
from callbacks.diagnostics.time_to_accuracy import TimeToAccuracy
from callbacks.diagnostics.trainability import Trainability
from callbacks.diagnostics.weight_distance import WeightDistance
from callbacks.probe import Probe

__all__ = [
    "CKA",
    "Churn",
    "Dashboard",
    "Diagnostic",
    "DormantUnits",
    "FeatureRank",
    "FewShot",
    "FisherInformation",
    "Flatness",
    "Forgetting",
    "FreshReference",
    "GradientAlignment",
    "GradientNoise",
    "GradientNorms",
    "HessianEigenvalues",
    "HessianSpectrum",
    "InfiniteWidthReference",
    "KernelAlignment",
    "Look",
    "Margins",
    "MemorisationGradients",
    "NeuralCode",
    "NodeCorrelation",
    "NormBiases",
    "Probe",
    "ProbeDiagnostic",
    "RedundantUnits",
    "SourceVariance",
    "Sparsity",
    "StageAccuracy",
    "TimeToAccuracy",
    "Trainability",
    "WeightDistance",
]
