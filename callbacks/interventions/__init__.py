"""What is done to a network over time."""

from callbacks.interventions.base import EachStep, Level, OneShot
from callbacks.interventions.churn_penalty import ChurnPenalty
from callbacks.interventions.continual_backprop import ContinualBackprop
from callbacks.interventions.dash import DASH
from callbacks.interventions.feature_norm_penalty import FeatureNormPenalty
from callbacks.interventions.fire import FIRE
from callbacks.interventions.fisher_penalty import FisherPenalty
from callbacks.interventions.hare_tortoise import HareTortoise
from callbacks.interventions.infer import InFeR
from callbacks.interventions.l2_init import L2Init
from callbacks.interventions.layer_reset import LayerReset
from callbacks.interventions.layerwise_reset import LayerwiseReset
from callbacks.interventions.learning_rate_factor import LearningRateFactor
from callbacks.interventions.learning_rate_restart import LearningRateRestart
from callbacks.interventions.loss_penalty import LossPenalty
from callbacks.interventions.norm_gain_penalty import NormGainPenalty
from callbacks.interventions.norm_recalibration import NormRecalibration
from callbacks.interventions.normalise_and_project import NormaliseAndProject
from callbacks.interventions.optimizer_reset import OptimizerReset
from callbacks.interventions.parseval_regularisation import ParsevalRegularisation
from callbacks.interventions.partial_reset import PartialReset
from callbacks.interventions.plasticity_injection import PlasticityInjection
from callbacks.interventions.pre_activation_noise import PreActivationNoise
from callbacks.interventions.prune import Prune
from callbacks.interventions.prune_unmatched_units import PruneUnmatchedUnits
from callbacks.interventions.redo import ReDo
from callbacks.interventions.rewind import Rewind
from callbacks.interventions.selective_weight_reset import SelectiveWeightReset
from callbacks.interventions.self_distillation import SelfDistillation
from callbacks.interventions.self_normalized_reset import SelfNormalizedReset
from callbacks.interventions.shrink_perturb import ShrinkPerturb
from callbacks.interventions.shuffle_masks import ShuffleMasks
from callbacks.interventions.spectral_regularisation import SpectralRegularisation
from callbacks.interventions.stepwise_shrink_perturb import StepwiseShrinkPerturb
from callbacks.interventions.weight_decay_schedule import WeightDecaySchedule
from callbacks.interventions.weight_penalty import WeightPenalty

__all__ = [
    "DASH",
    "FIRE",
    "ChurnPenalty",
    "ContinualBackprop",
    "EachStep",
    "FeatureNormPenalty",
    "FisherPenalty",
    "HareTortoise",
    "InFeR",
    "L2Init",
    "LayerReset",
    "LayerwiseReset",
    "LearningRateFactor",
    "LearningRateRestart",
    "Level",
    "LossPenalty",
    "NormGainPenalty",
    "NormRecalibration",
    "NormaliseAndProject",
    "OneShot",
    "OptimizerReset",
    "ParsevalRegularisation",
    "PartialReset",
    "PlasticityInjection",
    "PreActivationNoise",
    "Prune",
    "PruneUnmatchedUnits",
    "ReDo",
    "Rewind",
    "SelectiveWeightReset",
    "SelfDistillation",
    "SelfNormalizedReset",
    "ShrinkPerturb",
    "ShuffleMasks",
    "SpectralRegularisation",
    "StepwiseShrinkPerturb",
    "WeightDecaySchedule",
    "WeightPenalty",
]
