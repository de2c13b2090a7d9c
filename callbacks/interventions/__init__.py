"""What is done to a network over time."""

from callbacks.interventions.base import EachStep, Level, OneShot
from callbacks.interventions.continual_backprop import ContinualBackprop
from callbacks.interventions.l2_init import L2Init
from callbacks.interventions.layer_reset import LayerReset
from callbacks.interventions.learning_rate_factor import LearningRateFactor
from callbacks.interventions.learning_rate_restart import LearningRateRestart
from callbacks.interventions.norm_recalibration import NormRecalibration
from callbacks.interventions.optimizer_reset import OptimizerReset
from callbacks.interventions.redo import ReDo
from callbacks.interventions.rewind import Rewind
from callbacks.interventions.selective_weight_reset import SelectiveWeightReset
from callbacks.interventions.self_normalized_reset import SelfNormalizedReset
from callbacks.interventions.shrink_perturb import ShrinkPerturb
from callbacks.interventions.weight_decay_schedule import WeightDecaySchedule

__all__ = [
    "ContinualBackprop",
    "EachStep",
    "L2Init",
    "LayerReset",
    "LearningRateFactor",
    "LearningRateRestart",
    "Level",
    "NormRecalibration",
    "OneShot",
    "OptimizerReset",
    "ReDo",
    "Rewind",
    "SelectiveWeightReset",
    "SelfNormalizedReset",
    "ShrinkPerturb",
    "WeightDecaySchedule",
]
