"""What is trained."""

from lightning_modules.classifier import ImageClassifier

__all__ = ["ImageClassifier"]
