"""The neural code."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from callbacks.diagnostics.neural_code import NeuralCode
from callbacks.diagnostics.run_look import run_look
from callbacks.probe import test_probe as chosen_tests
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.neural_code import (
    Codes,
    Labels,
    categorise,
    cluster_accuracies,
    codes,
    redundancy,
    varying,
)
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, diagnostic, last, run


def random_codes(examples: int, columns: int, seed: int) -> Codes:
    return np.random.default_rng(seed).random((examples, columns)) < 0.4


def test_a_code_says_which_units_are_active() -> None:
    torch.manual_seed(0)
    network = (
        nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)
        )
        .double()
        .eval()
    )
    images = torch.randn(7, 1, 4, 4, dtype=torch.float64)
    expected = torch.cat([network[:1](images).flatten(1) > 0, network[:4](images) > 0], 1).numpy()
    all_units = codes(network, images, seed=0)
    assert all_units.shape == (7, 13)
    assert (all_units == expected).all()
    sampled = codes(network, images, seed=0, columns=6)
    chosen = [
        index
        for index in itertools.combinations(range(13), 6)
        if (expected[:, index] == sampled).all()
    ]
    assert chosen, "columns of the whole, in its order"
    assert not all(
        (codes(network, images, seed=seed, columns=6) == sampled).all() for seed in range(1, 4)
    )
    assert (codes(network, images[:3], seed=0, columns=6) == sampled[:3]).all()


def test_duplicates_raise_redundancy_by_exactly_themselves() -> None:
    code = np.unique(random_codes(40, 12, 0), axis=0)
    assert redundancy(code) == 0
    repeated = np.concatenate([code, code[:5], code[:2]])
    assert redundancy(repeated) == pytest.approx(7 / len(repeated), rel=1e-15)
    assert redundancy(np.zeros((4, 3), bool)) == 0.75


def test_columns_constant_over_both_splits_are_dropped() -> None:
    train, test = np.array([[1, 0, 1, 0, 1]] * 3, bool), np.array([[1, 0, 0, 1, 1]] * 2, bool)
    columns = varying(train, test)
    assert (columns[0].tolist(), columns[1].tolist()) == ([[True, False]] * 3, [[False, True]] * 2)
    first, second = varying(train, train)
    assert (first.shape, second.shape) == ((3, 1), (3, 1))
    assert redundancy(first) == pytest.approx(2 / 3)


def released(clusters: Labels, labels: Labels, count: int) -> float:
    """Return the accuracy by the authors' released code for MNIST and CIFAR-10.

    It relabels cluster after cluster.
    """
    relabelled = np.full_like(labels, -1)
    for cluster in range(count):
        errors = [np.count_nonzero(labels[clusters == cluster] != label) for label in range(count)]
        relabelled[clusters == cluster] = np.argmin(errors)
    return float(np.mean(relabelled == labels))


def test_clusters_have_their_most_frequent_label_as_in_the_released_code() -> None:
    stream = np.random.default_rng(0)
    for _ in range(20):
        clusters, labels = stream.integers(0, 4, 60), stream.integers(0, 4, 60)
        majority, one_to_one = cluster_accuracies(clusters, labels)
        assert majority == pytest.approx(released(clusters, labels, 4), rel=1e-12)
        best = max(
            np.mean(np.array(order)[clusters] == labels)
            for order in itertools.permutations(range(4))
        )
        assert one_to_one == pytest.approx(best, rel=1e-12)
        assert one_to_one <= majority
    assert cluster_accuracies((labels + 1) % 4, labels) == (1, 1)
    assert cluster_accuracies(np.zeros(60, int), labels) == (np.bincount(labels).max() / 60,) * 2
    halves = np.arange(60) % 2
    assert cluster_accuracies(np.arange(60) % 4, halves) == (1, 0.5), (
        "two clusters may have the same label"
    )


def test_the_charted_value_is_the_released_one() -> None:
    code, labels = random_codes(80, 12, 3), np.arange(80) % 4
    accuracies = categorise(code, labels, code, labels)
    clusters = KMeans(4, n_init=10, random_state=9).fit(code.astype(float)).labels_
    assert accuracies["kmeans"] == pytest.approx(released(clusters, labels, 4), rel=1e-12)
    assert accuracies["kmeans"] > accuracies["kmeans_one_to_one"]
    assert "code/kmeans" in NeuralCode.charts


def test_accuracies_are_those_of_the_classifiers_on_plain_codes() -> None:
    stream = np.random.default_rng(0)
    labels = np.arange(60) % 3
    prototypes = stream.random((3, 30)) < 0.5
    train, test = (prototypes[labels] ^ (stream.random((60, 30)) < 0.25) for _ in range(2))
    accuracies = categorise(train, labels, test, labels)
    near = KNeighborsClassifier(9, metric="hamming", algorithm="brute").fit(train, labels)
    lines = OneVsOneClassifier(LogisticRegression(random_state=9)).fit(train, labels)
    means = KMeans(3, n_init=10, random_state=9).fit(test.astype(float)).labels_
    assert accuracies["nearest_neighbours"] == near.score(test, labels)
    assert accuracies["logistic_regression"] == lines.score(test, labels)
    assert (accuracies["kmeans"], accuracies["kmeans_one_to_one"]) == cluster_accuracies(
        means, labels
    )
    assert all(0.5 < value < 1 for value in accuracies.values())


def test_a_code_of_dead_units_is_categorised_by_chance() -> None:
    labels = np.arange(40) % 4
    accuracies = categorise(np.zeros((40, 1), bool), labels, np.zeros((40, 1), bool), labels)
    assert set(accuracies.values()) == {0.25}


def test_a_run_logs_its_code() -> None:
    finished, values = run("neural_code.NeuralCode", examples=60)
    network, callback = finished.model.network.eval(), diagnostic(finished)
    estimate_norm_statistics(network, callback._probe.inputs)
    measured = callback.measure(run_look(finished.trainer, finished.model.eval(), callback._probe))
    assert last(values) == measured
    images, labels, _ = chosen_tests(finished.data, 0, 60)
    assert np.bincount(labels).tolist() == [6] * 10
    train = codes(network, callback._probe.inputs, 0)
    train, test = varying(train, codes(network, images, 0))
    assert measured["code/redundancy_train"] == redundancy(train)
    assert measured["code/redundancy_test"] == redundancy(test)
    assert measured["code/columns"] == train.shape[1] <= 256
    assert set(measured) == {
        f"code/{name}"
        for name in (
            "redundancy_train",
            "redundancy_test",
            "columns",
            "kmeans",
            "kmeans_one_to_one",
            "nearest_neighbours",
            "logistic_regression",
        )
    }
    check_invisible(finished, NeuralCode(Time("1ep"), examples=20))


def test_test_examples_are_those_of_the_test_split_as_the_network_gets_them() -> None:
    finished, _ = run("margins.Margins")
    images, labels, _ = chosen_tests(finished.data, 0, 10**6)
    (batches, targets) = zip(
        *[
            finished.data.on_after_batch_transfer(raw, 0)[:2]
            for raw in finished.data.test_dataloader()
        ],
        strict=True,
    )
    assert torch.equal(images, torch.cat(batches))
    assert torch.equal(labels, torch.cat(targets))


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(UserError, match="examples: 8: set 9 or more"):
        NeuralCode(Time("1ep"), examples=8)
