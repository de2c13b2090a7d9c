"""Measurements of networks: pure functions of tensors, modules and losses, for any training loop.

None needs Lightning. What runs a network expects it in evaluation mode; `preserve_state` puts it
there and back, and leaves gradients, statistics and random streams as they were:

    with preserve_state(network):
        trace = fisher_trace(network, inputs, torch.Generator().manual_seed(0))
"""

from plasticity_lab.measurements.activations import activated, rectified
from plasticity_lab.measurements.alignment_angles import alignment_angles
from plasticity_lab.measurements.churn import churn_penalty, output_change, prediction_churn
from plasticity_lab.measurements.cka import linear_cka
from plasticity_lab.measurements.deep_linear import path_modes, two_layer_mode
from plasticity_lab.measurements.dormant_units import dead, dormant, magnitudes, redo_scores, shares
from plasticity_lab.measurements.dual_activations import Dual, dual_activation
from plasticity_lab.measurements.error_norms import error_norms
from plasticity_lab.measurements.feature_rank import effective_rank, srank, stable_rank
from plasticity_lab.measurements.features import (
    block_outputs,
    last_features,
    mean_squared_norm,
    record_last_features,
)
from plasticity_lab.measurements.few_shot import (
    Episodes,
    check_episodes,
    draw_episodes,
    mean_and_interval,
    transform_features,
)
from plasticity_lab.measurements.few_shot_classifiers import (
    centroid_distances,
    episode_accuracies,
    logistic_regression_classes,
    matching_probabilities,
)
from plasticity_lab.measurements.fisher_penalty import fisher_penalty
from plasticity_lab.measurements.fisher_trace import (
    Trace,
    exact_fisher_trace,
    fisher_trace,
    fisher_trace_per_example,
)
from plasticity_lab.measurements.flops import count_flops
from plasticity_lab.measurements.forgetting_statistics import (
    NEVER,
    UNIT,
    ForgettingStatistics,
    whole_units,
)
from plasticity_lab.measurements.forgetting_summary import forgetting_summary
from plasticity_lab.measurements.full_tangent_kernel import (
    full_kernel_product,
    largest_full_eigenvalue,
    stability,
)
from plasticity_lab.measurements.functional import (
    detached_parameters,
    flatten,
    forward,
    gradients,
    mean_loss,
    norm,
    unflatten,
)
from plasticity_lab.measurements.gradient_covariance import Covariance, gradient_covariance
from plasticity_lab.measurements.gradient_norms import mean_gradient_norm
from plasticity_lab.measurements.gram import cosine, gram
from plasticity_lab.measurements.hvp import gradient, hessian_vector_product
from plasticity_lab.measurements.image_halves import join_halves
from plasticity_lab.measurements.infer_penalty import infer_penalty
from plasticity_lab.measurements.infinite_kernels import InfiniteKernels, nngp_and_ntk
from plasticity_lab.measurements.infinite_network import InfiniteNetwork
from plasticity_lab.measurements.infinite_reference import (
    InfiniteReference,
    Regularised,
    infinite_reference,
)
from plasticity_lab.measurements.kernel_regression import (
    KernelDescent,
    Steps,
    choose_regularisation,
    kernel_regression,
)
from plasticity_lab.measurements.lanczos import (
    Eigenpairs,
    Lanczos,
    Tridiagonal,
    lanczos,
    largest_eigenpairs,
)
from plasticity_lab.measurements.lanczos_quadrature import (
    Nodes,
    hutchinson,
    lanczos_quadrature,
    smoothed_density,
    spectral_density,
)
from plasticity_lab.measurements.margins import lowest_tenth, margins, weight_norm
from plasticity_lab.measurements.memorisation_gradients import (
    SquaredNorms,
    memorisation_gradients,
)
from plasticity_lab.measurements.neural_code import (
    categorise,
    cluster_accuracies,
    codes,
    redundancy,
    varying,
)
from plasticity_lab.measurements.node_correlation import (
    Matches,
    best_matches,
    match_ranks,
    matched_units,
    node_correlation,
    outgoing_norms,
    unspecialised,
)
from plasticity_lab.measurements.norm_biases import negative_share, norm_biases
from plasticity_lab.measurements.parameter_groups import (
    block_names,
    group_by_block,
    trained_parameters,
)
from plasticity_lab.measurements.predictive import Categorical, Gaussian, Predictive
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.measurements.redundant_units import (
    activations,
    duplicate_units,
    linearised_units,
    saturated_units,
    slope_shares,
    slopes,
    unit_products,
)
from plasticity_lab.measurements.sharpness import (
    filter_normalised,
    gaussian_direction,
    loss_near,
    sam_sharpness,
)
from plasticity_lab.measurements.source_variance import (
    half_image_variances,
    relative_source_variance,
    source_variance,
)
from plasticity_lab.measurements.sparsity import (
    chance_overlap,
    mask_overlap,
    prunable_weights,
    surviving_share,
)
from plasticity_lab.measurements.subspace import curvature_overlap, share_within, subspace_overlap
from plasticity_lab.measurements.tangent_kernel import (
    alignment,
    eigh_descending,
    energy,
    tangent_kernels,
)
from plasticity_lab.measurements.teacher_layers import (
    TaughtLayer,
    check_teacher,
    taught_layers,
)
from plasticity_lab.measurements.trainability import (
    TrainabilityComparison,
    TrainingBudget,
    TrainingOutcome,
    steps_to_level,
    trainability,
)
from plasticity_lab.measurements.unit_activity import unit_activity
from plasticity_lab.measurements.weight_distance import angle, distance, relative_distance
from plasticity_lab.measurements.wrong_labels import auc, precision
from plasticity_lab.measurements.zca import zca_matrix

__all__ = [
    "NEVER",
    "UNIT",
    "Categorical",
    "Covariance",
    "Dual",
    "Eigenpairs",
    "Episodes",
    "ForgettingStatistics",
    "Gaussian",
    "InfiniteKernels",
    "InfiniteNetwork",
    "InfiniteReference",
    "KernelDescent",
    "Lanczos",
    "Matches",
    "Nodes",
    "Predictive",
    "Regularised",
    "SquaredNorms",
    "Steps",
    "TaughtLayer",
    "Trace",
    "TrainabilityComparison",
    "TrainingBudget",
    "TrainingOutcome",
    "Tridiagonal",
    "activated",
    "activations",
    "alignment",
    "alignment_angles",
    "angle",
    "auc",
    "best_matches",
    "block_names",
    "block_outputs",
    "categorise",
    "centroid_distances",
    "chance_overlap",
    "check_episodes",
    "check_teacher",
    "choose_regularisation",
    "churn_penalty",
    "cluster_accuracies",
    "codes",
    "cosine",
    "count_flops",
    "curvature_overlap",
    "dead",
    "detached_parameters",
    "distance",
    "dormant",
    "draw_episodes",
    "dual_activation",
    "duplicate_units",
    "effective_rank",
    "eigh_descending",
    "energy",
    "episode_accuracies",
    "error_norms",
    "exact_fisher_trace",
    "filter_normalised",
    "fisher_penalty",
    "fisher_trace",
    "fisher_trace_per_example",
    "flatten",
    "forgetting_summary",
    "forward",
    "full_kernel_product",
    "gaussian_direction",
    "gradient",
    "gradient_covariance",
    "gradients",
    "gram",
    "group_by_block",
    "half_image_variances",
    "hessian_vector_product",
    "hutchinson",
    "infer_penalty",
    "infinite_reference",
    "join_halves",
    "kernel_regression",
    "lanczos",
    "lanczos_quadrature",
    "largest_eigenpairs",
    "largest_full_eigenvalue",
    "last_features",
    "linear_cka",
    "linearised_units",
    "logistic_regression_classes",
    "loss_near",
    "lowest_tenth",
    "magnitudes",
    "margins",
    "mask_overlap",
    "match_ranks",
    "matched_units",
    "matching_probabilities",
    "mean_and_interval",
    "mean_gradient_norm",
    "mean_loss",
    "mean_squared_norm",
    "memorisation_gradients",
    "negative_share",
    "nngp_and_ntk",
    "node_correlation",
    "norm",
    "norm_biases",
    "outgoing_norms",
    "output_change",
    "path_modes",
    "precision",
    "prediction_churn",
    "preserve_state",
    "prunable_weights",
    "record_last_features",
    "rectified",
    "redo_scores",
    "redundancy",
    "relative_distance",
    "relative_source_variance",
    "sam_sharpness",
    "saturated_units",
    "share_within",
    "shares",
    "slope_shares",
    "slopes",
    "smoothed_density",
    "source_variance",
    "spectral_density",
    "srank",
    "stability",
    "stable_rank",
    "steps_to_level",
    "subspace_overlap",
    "surviving_share",
    "tangent_kernels",
    "taught_layers",
    "trainability",
    "trained_parameters",
    "transform_features",
    "two_layer_mode",
    "unflatten",
    "unit_activity",
    "unit_products",
    "unspecialised",
    "varying",
    "weight_norm",
    "whole_units",
    "zca_matrix",
]
