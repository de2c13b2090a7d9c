"""What is trained."""

from lightning_modules.classifier import ImageClassifier
from lightning_modules.loss_terms import LossTerm
from lightning_modules.objectives import Classification, Objective, Regression, SquaredError
from lightning_modules.pass_contexts import PassContext
from lightning_modules.supervised import Supervised
from lightning_modules.training_rules import (
    SAM,
    Backpropagation,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    TrainingRule,
)

__all__ = [
    "SAM",
    "Backpropagation",
    "Classification",
    "DirectFeedbackAlignment",
    "FeedbackAlignment",
    "ImageClassifier",
    "LossTerm",
    "Objective",
    "PassContext",
    "Regression",
    "SquaredError",
    "Supervised",
    "TrainingRule",
]
