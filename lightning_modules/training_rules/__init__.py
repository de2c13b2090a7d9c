"""How gradients come about."""

from lightning_modules.training_rules.direct_feedback_alignment import DirectFeedbackAlignment
from lightning_modules.training_rules.feedback_alignment import FeedbackAlignment
from lightning_modules.training_rules.sam import SAM
from lightning_modules.training_rules.training_rule import Backpropagation, TrainingRule

__all__ = [
    "SAM",
    "Backpropagation",
    "DirectFeedbackAlignment",
    "FeedbackAlignment",
    "TrainingRule",
]
