"""The neural code: which units are active on an example (He et al. 2021)."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.cluster import contingency_matrix
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from plasticity_lab.measurements.activations import rectified
from plasticity_lab.randomness import generator

COLUMNS = 20_000
NEIGHBOURS = 9
RANDOM_STATE = 9
"""The authors', of K-Means and logistic regression."""

Codes = NDArray[np.bool_]
Labels = NDArray[np.int64]


def codes(network: nn.Module, images: Tensor, seed: int, columns: int = COLUMNS) -> Codes:
    """Return which units are above 0 after their ReLU, bool (examples, columns).

    Every position is a unit; layers stand from bottom to top.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).
        seed: keys the choice, the same for all weights, if there are more units than columns.
        columns: largest number of columns, 20,000 by default.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> codes(network, torch.randn(5, 3), seed=0).shape
        (5, 4)
    """
    # Choose units among those of all layers.
    blocks = rectified(network, images[:1], lambda number, output: output.flatten(1))
    layers = [layer for block in blocks.values() for layer in block]
    ends = np.cumsum([layer.shape[1] for layer in layers])
    order = torch.randperm(int(ends[-1]), generator=generator(seed, "NeuralCode"))
    chosen = order[:columns].sort().values
    parts = []
    for end, layer in zip(ends, layers, strict=True):
        start = end - layer.shape[1]
        parts.append(chosen[(chosen >= start) & (chosen < end)] - start)

    # Whether they are active.
    active = rectified(
        network,
        images,
        lambda number, output: output.flatten(1)[:, parts[number].to(output.device)] > 0,
    )
    return torch.cat([layer for block in active.values() for layer in block], 1).cpu().numpy()


def varying(train: Codes, test: Codes) -> tuple[Codes, Codes]:
    """Drop the columns that are constant over both; one is left if all are.

    Examples:
        >>> train, test = torch.tensor([[1, 0], [1, 1]]).bool(), torch.tensor([[1, 0]]).bool()
        >>> [code.shape for code in varying(train.numpy(), test.numpy())]
        [(2, 1), (1, 1)]
    """
    all_codes = np.concatenate([train, test])
    columns = np.flatnonzero(np.ptp(all_codes.astype(np.uint8), axis=0))
    if not len(columns):
        columns = np.array([0])
    return train[:, columns], test[:, columns]


def redundancy(code: Codes) -> float:
    """Return the fraction of examples that repeat an earlier code, in [0, 1).

    Examples:
        >>> redundancy(torch.tensor([[1, 0], [1, 0], [0, 1], [1, 1]]).bool().numpy())
        0.25
    """
    return 1 - len(np.unique(np.packbits(code, axis=1), axis=0)) / len(code)


def cluster_accuracies(clusters: Labels, labels: Labels) -> tuple[float, float]:
    """Return accuracies of clusters, by majority label and by the best one-to-one mapping.

    Both are called `compute_clustering_accuracy` in the code released with the paper: the first in
    what it ran on MNIST and CIFAR-10, the second in what it ran on SVHN and ImageNet. The second is
    never larger.

    Examples:
        >>> clusters, labels = torch.tensor([0, 0, 1, 2]), torch.tensor([5, 5, 5, 3])
        >>> cluster_accuracies(clusters.numpy(), labels.numpy())
        (1.0, 0.75)
    """
    counts = contingency_matrix(labels, clusters)
    rows, columns = optimize.linear_sum_assignment(-counts)
    majority = counts.max(0).sum() / len(labels)
    one_to_one = counts[rows, columns].sum() / len(labels)
    return float(majority), float(one_to_one)


def categorise(
    train: Codes, train_labels: Labels, test: Codes, test_labels: Labels
) -> dict[str, float]:
    """Return how well labels can be read off the codes of test examples.

    Accuracies in [0, 1] by method:

    K-Means on the test codes themselves, as many clusters as labels; nine nearest training codes in
    Hamming distance; logistic regression between pairs of classes on the training codes.

    Examples:
        >>> labels = torch.arange(40) % 2
        >>> code = (torch.rand(40, 30) < 0.1 + 0.8 * labels[:, None]).numpy()
        >>> accuracies = categorise(code, labels.numpy(), code, labels.numpy())
        >>> accuracies["logistic_regression"]
        1.0
    """
    with warnings.catch_warnings():
        # Of fewer codes than clusters, or after a hundred steps.
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans = KMeans(len(np.unique(test_labels)), n_init=10, random_state=RANDOM_STATE).fit(
            test.astype(np.float64)
        )
        regression = OneVsOneClassifier(LogisticRegression(random_state=RANDOM_STATE)).fit(
            train.astype(np.float64), train_labels
        )
    majority, one_to_one = cluster_accuracies(kmeans.labels_, test_labels)
    neighbours = KNeighborsClassifier(NEIGHBOURS, metric="precomputed").fit(
        _distances(train, train), train_labels
    )
    return {
        "kmeans": majority,
        "kmeans_one_to_one": one_to_one,
        "nearest_neighbours": float(neighbours.score(_distances(test, train), test_labels)),
        "logistic_regression": float(regression.score(test.astype(np.float64), test_labels)),
    }


def _distances(first: Codes, second: Codes) -> NDArray[np.float32]:
    """Return Hamming distances, whole numbers that float32 holds exactly."""
    left, right = first.astype(np.float32), second.astype(np.float32)
    distances: NDArray[np.float32] = left.sum(1)[:, None] + right.sum(1) - 2 * left @ right.T
    return distances
