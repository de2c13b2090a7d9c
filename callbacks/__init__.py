"""What is done to a network over time and what is measured of it, and what keeps runs exact."""

from callbacks.branch import Branch
from callbacks.clock import Clock
from callbacks.data_log import DataLog
from callbacks.diagnostics import (
    Curvature,
    Dashboard,
    Diagnostic,
    FisherInformation,
    Flatness,
    Forgetting,
    GradientNoise,
    GradientNorms,
    HessianSpectrum,
    KernelAlignment,
    Margins,
    NeuralCode,
    NormBiases,
    Ranks,
    Similarity,
    TimeToAccuracy,
    Units,
    Weights,
)
from callbacks.epoch_checkpoint import EpochCheckpoint
from callbacks.epoch_end import EpochEnd
from callbacks.epoch_lines import EpochLines
from callbacks.exact_resume import ExactResume
from callbacks.finite_loss import FiniteLoss
from callbacks.interruption import Interruption
from callbacks.interventions import (
    AugmentationSchedule,
    L2Init,
    LayerReset,
    LearningRateFactor,
    LearningRateRestart,
    Level,
    NormRecalibration,
    OneShot,
    OptimizerReset,
    Rewind,
    ShrinkPerturb,
    WeightDecaySchedule,
)
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.prediction_file import PredictionFile
from callbacks.stage_end import StageEnd

__all__ = [
    "AugmentationSchedule",
    "Branch",
    "Clock",
    "Curvature",
    "Dashboard",
    "DataLog",
    "Diagnostic",
    "EpochCheckpoint",
    "EpochEnd",
    "EpochLines",
    "ExactResume",
    "FiniteLoss",
    "FisherInformation",
    "Flatness",
    "Forgetting",
    "GradientNoise",
    "GradientNorms",
    "HessianSpectrum",
    "Interruption",
    "KernelAlignment",
    "L2Init",
    "LastCheckpoint",
    "LayerReset",
    "LearningRateFactor",
    "LearningRateRestart",
    "Level",
    "Margins",
    "NeuralCode",
    "NormBiases",
    "NormRecalibration",
    "OneShot",
    "OptimizerReset",
    "PredictionFile",
    "Ranks",
    "Rewind",
    "ShrinkPerturb",
    "Similarity",
    "StageEnd",
    "TimeToAccuracy",
    "Units",
    "WeightDecaySchedule",
    "Weights",
]
