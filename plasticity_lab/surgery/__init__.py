"""Operations on networks and optimizers: functions of torch objects, for any training loop.

Each works in place and says what it changes: parameters, normalisation statistics, optimizer state.
"""

from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.fresh_copy import copy_network, fresh_copy
from plasticity_lab.surgery.initial_weights import (
    check_weights,
    load_weights,
    read_weights,
    weights_hash,
)
from plasticity_lab.surgery.initialisation import check_redraw, init_parameters, redraw
from plasticity_lab.surgery.l2_init import add_l2_init_gradient
from plasticity_lab.surgery.layer_reset import reset_layers
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters, select_layers
from plasticity_lab.surgery.norm_statistics import (
    batch_norm_layers,
    estimate_norm_statistics,
    frozen_batch_norms,
    update_bn,
)
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from plasticity_lab.surgery.parseval_penalty import parseval_penalty
from plasticity_lab.surgery.penalty_gradient import add_penalty_gradient
from plasticity_lab.surgery.project_norms import project_norms
from plasticity_lab.surgery.shrink_perturb import shrink_perturb
from plasticity_lab.surgery.snapshot import restore, snapshot
from plasticity_lab.surgery.spectral_penalty import power_iteration, spectral_penalty
from plasticity_lab.surgery.weight_matrices import as_matrix, matrix_layers

__all__ = [
    "add_l2_init_gradient",
    "add_penalty_gradient",
    "as_matrix",
    "batch_norm_layers",
    "check_redraw",
    "check_weights",
    "construct",
    "copy_network",
    "estimate_norm_statistics",
    "fresh_copy",
    "frozen_batch_norms",
    "init_parameters",
    "layers_with_state",
    "load_weights",
    "matrix_layers",
    "own_parameters",
    "parseval_penalty",
    "power_iteration",
    "project_norms",
    "read_weights",
    "redraw",
    "reset_layers",
    "reset_optimizer_state",
    "restore",
    "select_layers",
    "shrink_perturb",
    "snapshot",
    "spectral_penalty",
    "update_bn",
    "weights_hash",
]
