"""Operations on networks and optimizers: functions of torch objects, for any training loop.

Each works in place and says what it changes: parameters, normalisation statistics, optimizer state.
"""

from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.continual_backprop import (
    UnitUtility,
    choose_replaced,
    corrected_utility,
    mean_activation,
    update_utility,
)
from plasticity_lab.surgery.dash import direction_aware_shrink
from plasticity_lab.surgery.direct_feedback import direct_feedback, feedback_matrix
from plasticity_lab.surgery.feedback_transport import carriers, feedback_transport
from plasticity_lab.surgery.filter_pruning import narrow_weights, slimmed_channels
from plasticity_lab.surgery.fire import isometry, orthogonalise
from plasticity_lab.surgery.fixed_norm import FixedNorm
from plasticity_lab.surgery.fresh_copy import copy_network, fresh_copy
from plasticity_lab.surgery.initial_weights import (
    check_weights,
    load_weights,
    read_weights,
    weights_hash,
)
from plasticity_lab.surgery.initialisation import check_redraw, init_parameters, redraw
from plasticity_lab.surgery.injectable_head import InjectableHead, inject_head
from plasticity_lab.surgery.kept_units import hidden_units, unit_masks
from plasticity_lab.surgery.l2_init import add_l2_init_gradient
from plasticity_lab.surgery.layer_reset import reset_layers
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters, select_layers
from plasticity_lab.surgery.masks import (
    hold_masks,
    mask_gradients,
    prune_masks,
    shuffle_masks,
    zero_pruned,
)
from plasticity_lab.surgery.norm_gains import norm_gains
from plasticity_lab.surgery.norm_statistics import (
    batch_norm_layers,
    estimate_norm_statistics,
    frozen_batch_norms,
    update_bn,
)
from plasticity_lab.surgery.optimizer_state import (
    clear_moments,
    clear_optimizer_state,
    clear_step_counts,
    reset_optimizer_state,
)
from plasticity_lab.surgery.parseval_penalty import parseval_penalty
from plasticity_lab.surgery.partial_reset import (
    largest_mask,
    leading_mask,
    partial_reset,
    random_mask,
)
from plasticity_lab.surgery.penalty_gradient import add_penalty_gradient
from plasticity_lab.surgery.pre_activation_noise import noise_before_activations
from plasticity_lab.surgery.project_norms import project_norms
from plasticity_lab.surgery.rescale import rescale
from plasticity_lab.surgery.return_to_average import return_to_average
from plasticity_lab.surgery.selective_reset import (
    below_mean,
    initial_means,
    lowest_share,
    reset_weights,
)
from plasticity_lab.surgery.self_normalized_reset import (
    record_silences,
    update_silences,
    update_thresholds,
)
from plasticity_lab.surgery.shrink_perturb import shrink_perturb
from plasticity_lab.surgery.snapshot import restore, snapshot
from plasticity_lab.surgery.spectral_penalty import power_iteration, spectral_penalty
from plasticity_lab.surgery.split_network import split_network
from plasticity_lab.surgery.unit_magnitudes import incoming_magnitudes, outgoing_magnitudes
from plasticity_lab.surgery.unit_marks import Site
from plasticity_lab.surgery.unit_reset import outgoing, reset_units
from plasticity_lab.surgery.units import Units, UnitTrace, select_units, trace_units
from plasticity_lab.surgery.weight_matrices import (
    as_matrix,
    linear_layers,
    matrices,
    matrix_layers,
)

__all__ = [
    "FixedNorm",
    "InjectableHead",
    "Site",
    "UnitTrace",
    "UnitUtility",
    "Units",
    "add_l2_init_gradient",
    "add_penalty_gradient",
    "as_matrix",
    "batch_norm_layers",
    "below_mean",
    "carriers",
    "check_redraw",
    "check_weights",
    "choose_replaced",
    "clear_moments",
    "clear_optimizer_state",
    "clear_step_counts",
    "construct",
    "copy_network",
    "corrected_utility",
    "direct_feedback",
    "direction_aware_shrink",
    "estimate_norm_statistics",
    "feedback_matrix",
    "feedback_transport",
    "fresh_copy",
    "frozen_batch_norms",
    "hidden_units",
    "hold_masks",
    "incoming_magnitudes",
    "init_parameters",
    "initial_means",
    "inject_head",
    "isometry",
    "largest_mask",
    "layers_with_state",
    "leading_mask",
    "linear_layers",
    "load_weights",
    "lowest_share",
    "mask_gradients",
    "matrices",
    "matrix_layers",
    "mean_activation",
    "narrow_weights",
    "noise_before_activations",
    "norm_gains",
    "orthogonalise",
    "outgoing",
    "outgoing_magnitudes",
    "own_parameters",
    "parseval_penalty",
    "partial_reset",
    "power_iteration",
    "project_norms",
    "prune_masks",
    "random_mask",
    "read_weights",
    "record_silences",
    "redraw",
    "rescale",
    "reset_layers",
    "reset_optimizer_state",
    "reset_units",
    "reset_weights",
    "restore",
    "return_to_average",
    "select_layers",
    "select_units",
    "shrink_perturb",
    "shuffle_masks",
    "slimmed_channels",
    "snapshot",
    "spectral_penalty",
    "split_network",
    "trace_units",
    "unit_masks",
    "update_bn",
    "update_silences",
    "update_thresholds",
    "update_utility",
    "weights_hash",
    "zero_pruned",
]
