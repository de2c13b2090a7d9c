"""The neural code: which units are active on an example."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningModule, Trainer
from scipy import optimize
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.cluster import contingency_matrix
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.features import check_rectified, rectified
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from datamodules import ImageDataModule
from datamodules.images import stratified
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time

COLUMNS = 20_000
NEIGHBOURS = 9
RANDOM_STATE = 9  # the authors' of K-Means and logistic regression

Codes = NDArray[np.bool_]
Labels = NDArray[np.int64]


def codes(network: nn.Module, images: Tensor, seed: int, columns: int = COLUMNS) -> Codes:
    """Return whether each unit, at each position, is above 0 after its ReLU: bool (examples, columns), bottom to top.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).
        seed: keys the choice, the same for all weights, if there are more units than columns.
        columns: at most so many.
    """
    layers = [one for block in rectified(network, images[:1], lambda number, output: output.flatten(1)).values() for one in block]
    ends = np.cumsum([layer.shape[1] for layer in layers])
    chosen = torch.randperm(int(ends[-1]), generator=generator(seed, "NeuralCode"))[:columns].sort().values
    parts = [
        chosen[(chosen >= end - layer.shape[1]) & (chosen < end)] - (end - layer.shape[1])
        for end, layer in zip(ends, layers, strict=True)
    ]
    found = rectified(network, images, lambda number, output: output.flatten(1)[:, parts[number].to(output.device)] > 0)
    return torch.cat([one for block in found.values() for one in block], 1).cpu().numpy()


def varying(train: Codes, test: Codes) -> tuple[Codes, Codes]:
    """Drop the columns that are constant over both; one is left if all are."""
    both = np.concatenate([train, test])
    kept = np.flatnonzero(np.ptp(both.astype(np.uint8), axis=0))
    kept = kept if len(kept) else np.array([0])
    return train[:, kept], test[:, kept]


def redundancy(code: Codes) -> float:
    """Return the share of examples beyond the first with their code, in [0, 1): 0 if all codes differ."""
    return 1 - len(np.unique(np.packbits(code, axis=1), axis=0)) / len(code)


def cluster_accuracies(clusters: Labels, labels: Labels) -> tuple[float, float]:
    """Return the accuracy with each cluster's most frequent label, and with the best one-to-one mapping of clusters to labels.

    Both are called `compute_clustering_accuracy` in the code released with the paper: the first in
    what it ran on MNIST and CIFAR-10, the second in what it ran on SVHN and ImageNet. The second is
    never larger.
    """
    counts = contingency_matrix(labels, clusters)
    rows, columns = optimize.linear_sum_assignment(-counts)
    return float(counts.max(0).sum() / len(labels)), float(counts[rows, columns].sum() / len(labels))


def categorise(train: Codes, train_labels: Labels, test: Codes, test_labels: Labels) -> dict[str, float]:
    """Return how well labels can be read off the codes of test examples: accuracies in [0, 1] by method.

    K-Means on the test codes themselves, as many clusters as labels; nine nearest training codes in Hamming distance; logistic
    regression between pairs of classes on the training codes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer codes than clusters, or a hundred steps
        means = KMeans(len(np.unique(test_labels)), n_init=10, random_state=RANDOM_STATE).fit(test.astype(np.float64))
        lines = OneVsOneClassifier(LogisticRegression(random_state=RANDOM_STATE)).fit(train.astype(np.float64), train_labels)
    majority, one_to_one = cluster_accuracies(means.labels_, test_labels)
    near = KNeighborsClassifier(NEIGHBOURS, metric="precomputed").fit(_distances(train, train), train_labels)
    return {
        "kmeans": majority,
        "kmeans_one_to_one": one_to_one,
        "nearest_neighbours": float(near.score(_distances(test, train), test_labels)),
        "logistic_regression": float(lines.score(test.astype(np.float64), test_labels)),
    }


def _distances(one: Codes, other: Codes) -> NDArray[np.float32]:
    """Return Hamming distances, (examples, other examples): whole numbers, which float32 holds exactly."""
    left, right = one.astype(np.float32), other.astype(np.float32)
    distances: NDArray[np.float32] = left.sum(1)[:, None] + right.sum(1) - 2 * left @ right.T
    return distances


class NeuralCode(Diagnostic):
    """Properties of the neural code (He et al. 2021, https://arxiv.org/abs/2101.05490): which units an example activates.

    A code has one bit for each unit and position after a ReLU; of more than 20,000 it has a random choice, kept throughout a run.
    Columns that are constant over training and test examples are dropped. Values:
    `code/redundancy_train` and `code/redundancy_test`, the share of examples that repeat another's
    code; accuracies on the test examples by K-Means (`code/kmeans`, each cluster having its most
    frequent label, as the code released for MNIST and CIFAR-10 has it; `code/kmeans_one_to_one`,
    with the best one-to-one mapping, as that released for SVHN and ImageNet), by
    `code/nearest_neighbours` and by `code/logistic_regression`; `code/columns` left. Two forward
    passes and a minute or so.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's code
    reads its networks in their inference phase, as far as it shows with running statistics.

    Args:
        every: how often: `1ep` after each epoch, `100st` after so many optimizer steps.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: training examples, and as many of the test split, none impaired; all if there are no more.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for fewer than 9 examples, or a network without ReLU.
    """

    charts = ("code/redundancy_train", "code/redundancy_test", "code/kmeans", "code/nearest_neighbours")
    tags = (*charts, "code/columns", "code/kmeans_one_to_one", "code/logistic_regression")

    def __init__(
        self,
        every: Time,
        early: bool = False,
        examples: int = 2000,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, norm_statistics=norm_statistics)
        if examples < NEIGHBOURS:
            raise UserError("examples", value=examples, fix=f"write {NEIGHBOURS} or more, for as many neighbours")

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without ReLU."""
        super().check(trainer, module)
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        check_rectified(type(self).__name__, module, data.splits.train.shape)

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return redundancy ratios and accuracies."""
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        images, labels = chosen_tests(data, self.examples)
        network = network_of(module)
        train, test = varying(codes(network, probe.images, data.seed), codes(network, images, data.seed))
        found = {"redundancy_train": redundancy(train), "redundancy_test": redundancy(test), "columns": train.shape[1]}
        found |= categorise(train, probe.labels.cpu().numpy(), test, labels.numpy())
        return {f"code/{name}": value for name, value in found.items()}


def chosen_tests(data: ImageDataModule, examples: int) -> tuple[Tensor, Tensor]:
    """Choose examples of the test split, the same share of every class: images as the network gets them, and labels."""
    test = data.splits.test
    chosen = stratified(test.labels, min(examples, len(test)), generator(data.seed, "probe", "test"))
    shift, scale = data.normalisation
    return (test.__getitems__(chosen.tolist()).to(data.device) - shift) * scale, test.labels[chosen]
