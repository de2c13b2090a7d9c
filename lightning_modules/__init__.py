"""What is trained."""

from lightning_modules.classifier import ImageClassifier
from lightning_modules.objectives import Classification, Objective, Regression
from lightning_modules.supervised import Supervised

__all__ = ["Classification", "ImageClassifier", "Objective", "Regression", "Supervised"]
