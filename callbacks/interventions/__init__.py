"""What is done to a network over time."""

from callbacks.interventions.base import EachStep, Level, OneShot
from callbacks.interventions.churn_penalty import ChurnPenalty
from callbacks.interventions.feature_norm_penalty import FeatureNormPenalty
from callbacks.interventions.fisher_penalty import FisherPenalty
from callbacks.interventions.infer import InFeR
from callbacks.interventions.l2_init import L2Init
from callbacks.interventions.layer_reset import LayerReset
from callbacks.interventions.learning_rate_factor import LearningRateFactor
from callbacks.interventions.learning_rate_restart import LearningRateRestart
from callbacks.interventions.loss_penalty import LossPenalty
from callbacks.interventions.norm_recalibration import NormRecalibration
from callbacks.interventions.normalise_and_project import NormaliseAndProject
from callbacks.interventions.optimizer_reset import OptimizerReset
from callbacks.interventions.parseval_regularisation import ParsevalRegularisation
from callbacks.interventions.rewind import Rewind
from callbacks.interventions.shrink_perturb import ShrinkPerturb
from callbacks.interventions.spectral_regularisation import SpectralRegularisation
from callbacks.interventions.stepwise_shrink_perturb import StepwiseShrinkPerturb
from callbacks.interventions.weight_decay_schedule import WeightDecaySchedule
from callbacks.interventions.weight_penalty import WeightPenalty

__all__ = [
    "ChurnPenalty",
    "EachStep",
    "FeatureNormPenalty",
    "FisherPenalty",
    "InFeR",
    "L2Init",
    "LayerReset",
    "LearningRateFactor",
    "LearningRateRestart",
    "Level",
    "LossPenalty",
    "NormRecalibration",
    "NormaliseAndProject",
    "OneShot",
    "OptimizerReset",
    "ParsevalRegularisation",
    "Rewind",
    "ShrinkPerturb",
    "SpectralRegularisation",
    "StepwiseShrinkPerturb",
    "WeightDecaySchedule",
    "WeightPenalty",
]
