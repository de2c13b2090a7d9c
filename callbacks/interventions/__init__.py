"""What is done to a network over time."""

from callbacks.interventions.base import EachStep, Level, OneShot
from callbacks.interventions.dash import DASH
from callbacks.interventions.fire import FIRE
from callbacks.interventions.hare_tortoise import HareTortoise
from callbacks.interventions.l2_init import L2Init
from callbacks.interventions.layer_reset import LayerReset
from callbacks.interventions.layerwise_reset import LayerwiseReset
from callbacks.interventions.learning_rate_factor import LearningRateFactor
from callbacks.interventions.learning_rate_restart import LearningRateRestart
from callbacks.interventions.norm_recalibration import NormRecalibration
from callbacks.interventions.optimizer_reset import OptimizerReset
from callbacks.interventions.partial_reset import PartialReset
from callbacks.interventions.plasticity_injection import PlasticityInjection
from callbacks.interventions.rewind import Rewind
from callbacks.interventions.shrink_perturb import ShrinkPerturb
from callbacks.interventions.weight_decay_schedule import WeightDecaySchedule

__all__ = [
    "DASH",
    "FIRE",
    "EachStep",
    "HareTortoise",
    "L2Init",
    "LayerReset",
    "LayerwiseReset",
    "LearningRateFactor",
    "LearningRateRestart",
    "Level",
    "NormRecalibration",
    "OneShot",
    "OptimizerReset",
    "PartialReset",
    "PlasticityInjection",
    "Rewind",
    "ShrinkPerturb",
    "WeightDecaySchedule",
]
