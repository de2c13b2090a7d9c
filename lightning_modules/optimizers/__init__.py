"""Optimizers that torch does not have, by class path."""

from lightning_modules.optimizers.muon import MuonAdamW
from lightning_modules.optimizers.per_weight_adam import PerWeightAdam
from lightning_modules.optimizers.upgd import UPGD

__all__ = ["UPGD", "MuonAdamW", "PerWeightAdam"]
