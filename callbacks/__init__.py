"""What is done to a network over time and what is measured of it, and what keeps runs exact."""

from callbacks.branch import Branch
from callbacks.clock import Clock
from callbacks.data_log import DataLog
from callbacks.diagnostics import Curvature, Diagnostic, FisherInformation, GradientNoise, HessianSpectrum, KernelAlignment
from callbacks.epoch_lines import EpochLines
from callbacks.exact_resume import ExactResume
from callbacks.finite_loss import FiniteLoss
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
from callbacks.prediction_file import PredictionFile
from callbacks.run_record import RunRecord

__all__ = [
    "AugmentationSchedule",
    "Branch",
    "Clock",
    "Curvature",
    "DataLog",
    "Diagnostic",
    "EpochLines",
    "ExactResume",
    "FiniteLoss",
    "FisherInformation",
    "GradientNoise",
    "HessianSpectrum",
    "KernelAlignment",
    "L2Init",
    "LayerReset",
    "LearningRateFactor",
    "LearningRateRestart",
    "Level",
    "NormRecalibration",
    "OneShot",
    "OptimizerReset",
    "PredictionFile",
    "Rewind",
    "RunRecord",
    "ShrinkPerturb",
    "WeightDecaySchedule",
]
