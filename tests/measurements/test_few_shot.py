"""Few-shot classification, against numbers worked out by hand and plain loops."""

import pytest
import torch
from easyfsl.methods import PrototypicalNetworks
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.measurements import (
    Episodes,
    centroid_distances,
    check_episodes,
    draw_episodes,
    episode_accuracies,
    logistic_regression_classes,
    matching_probabilities,
    mean_and_interval,
    transform_features,
)
from plasticity_lab.measurements.few_shot import FeatureTransform
from plasticity_lab.measurements.few_shot_classifiers import Classifier
from plasticity_lab.randomness import generator

LABELS = torch.arange(160) % 8


def features(spread: float = 1.0) -> Tensor:
    """Return 160 features of eight classes that overlap, of dimension 6."""
    draws = generator(0, "features")
    centres = torch.randn(8, 6, generator=draws)
    return centres[LABELS] + spread * torch.randn(160, 6, generator=draws)


def episodes(shots: int, count: int = 130, seed: int = 0) -> Episodes:
    return draw_episodes(LABELS, 5, shots, 10, count, generator(seed, "FewShot", shots))


EXAMPLES = torch.tensor(
    [
        *([1, 0, 2], [3, 1, 0], [0, 2, 1], [1, 4, 1]),
        *([2, 1, 1], [0.2, 0.3, 0.1], [1.5, 1.6, 3], [5, 6, 0]),
    ]
)
BY_HAND = Episodes(torch.tensor([[[0, 1], [2, 3]]]), torch.tensor([[[4, 5], [6, 7]]]))
BASE_MEAN = torch.tensor([1, 1, 0.5])


@pytest.mark.parametrize(
    ("transform", "nearest", "distances"),
    [
        ("UN", [0, 0, 0, 1], [0.5, 2.022375, 2.336664, 6.344289]),
        ("L2N", [0, 1, 0, 1], [0.279534, 0.688042, 0.538968, 0.758662]),
        ("CL2N", [0, 0, 0, 1], [0.517434, 1.39577, 0.882199, 1.128106]),
    ],
)
def test_centroids_of_a_gallery(
    transform: FeatureTransform, nearest: list[int], distances: list[float]
) -> None:
    found = centroid_distances(transform_features(EXAMPLES, transform, BASE_MEAN), BY_HAND)
    assert found.argmin(-1).tolist() == [nearest]
    assert found[0, :, 0].tolist() == pytest.approx(distances, abs=1e-6)


def test_episodes_are_drawn_without_replacement_from_all_classes() -> None:
    shuffled = LABELS[torch.randperm(160, generator=generator(1, "order"))]
    support, queries = draw_episodes(shuffled, 5, 3, 10, 200, generator(0, "FewShot"))
    together = torch.cat([support, queries], -1)
    assert together.shape == (200, 5, 13)
    for episode in together:
        assert len(set(episode.flatten().tolist())) == 65
        classes = shuffled[episode]
        assert (classes == classes[:, :1]).all()
        assert len(set(classes[:, 0].tolist())) == 5
    assert set(together.flatten().tolist()) == set(range(160)), "no example is left out"
    firsts = torch.bincount(shuffled[support[:, 0, 0]], minlength=8) / 200
    assert firsts.min() > 0.06, "any class may come first"


def test_episodes_depend_on_their_key_alone() -> None:
    first, again, other = episodes(5), episodes(5), episodes(5, seed=1)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first.support, other.support)
    longer = episodes(5, count=140)
    assert torch.equal(longer.support[:130], first.support), "more episodes add to the first ones"


def by_loops(values: Tensor, drawn: Episodes, classifier: Classifier) -> list[float]:
    """Return accuracies by one query at a time."""
    accuracies = []
    for support, queries in zip(*drawn, strict=True):
        right = 0
        for label, row in enumerate(queries):
            for query in values[row]:
                if classifier == "centroid":
                    scores = [-(query - values[known].mean(0)).norm() for known in support]
                else:
                    cosines = torch.cosine_similarity(query, values[support.flatten()], dim=-1)
                    weights = (cosines.exp() / cosines.exp().sum()).view(support.shape)
                    scores = list(weights.sum(1))
                right += int(torch.stack(scores).argmax()) == label
        accuracies.append(right / queries.numel())
    return accuracies


@pytest.mark.parametrize("classifier", ["centroid", "matching"])
@pytest.mark.parametrize("shots", [1, 5])
def test_accuracies_are_those_of_plain_loops(classifier: Classifier, shots: int) -> None:
    values, drawn = features().double(), episodes(shots, count=8)
    expected = by_loops(values, drawn, classifier)
    assert episode_accuracies(values, drawn, classifier).tolist() == pytest.approx(expected)
    assert 0.3 < sum(expected) / 8 < 0.95


@pytest.mark.parametrize("transform", ["UN", "L2N", "CL2N"])
def test_distances_are_those_of_easyfsl(transform: FeatureTransform) -> None:
    values, drawn = features().double(), episodes(5, count=4)
    mean = values.mean(0)
    reference = PrototypicalNetworks(
        nn.Identity(),
        feature_centering=mean if transform == "CL2N" else None,
        feature_normalization=None if transform == "UN" else 2.0,
    )
    found = centroid_distances(transform_features(values, transform, mean), drawn)
    labels = torch.arange(5).repeat_interleave(5)
    for number in range(4):
        known, asked = drawn.support[number].flatten(), drawn.queries[number].flatten()
        reference.process_support_set(values[known], labels)
        torch.testing.assert_close(found[number], -reference(values[asked]))


def test_chunks_are_joined_in_order() -> None:
    drawn = episodes(5)
    parts = [
        Episodes(drawn.support[part : part + 1], drawn.queries[part : part + 1])
        for part in (0, 99, 100, 129)
    ]
    expected = torch.cat([episode_accuracies(features(), part, "centroid") for part in parts])
    whole = episode_accuracies(features(), drawn, "centroid")
    assert torch.equal(whole[[0, 99, 100, 129]], expected)


def test_logistic_regression_is_that_of_features_of_length_one() -> None:
    values, drawn = features(), episodes(5, count=3)
    unit = (values / values.norm(dim=1, keepdim=True)).double().numpy()
    labels = [way for way in range(5) for _ in range(5)]
    found = logistic_regression_classes(values, drawn)
    for number in range(3):
        known, asked = drawn.support[number].flatten(), drawn.queries[number].flatten()
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit(unit[known.numpy()], labels)
        assert found[number].tolist() == fitted.predict(unit[asked.numpy()]).tolist()
    scaled = episode_accuracies(7 * values, drawn, "logistic_regression")
    assert torch.equal(scaled, episode_accuracies(values, drawn, "logistic_regression"))


@pytest.mark.parametrize("classifier", ["centroid", "matching", "logistic_regression"])
def test_features_without_labels_give_chance(classifier: Classifier) -> None:
    values = torch.randn(160, 6, generator=generator(0, "noise"))
    drawn = episodes(5, count=40)
    mean, half_width = mean_and_interval(episode_accuracies(values, drawn, classifier))
    assert mean == pytest.approx(0.2, abs=3 * half_width)
    assert half_width < 0.03


@pytest.mark.parametrize("classifier", ["centroid", "matching"])
@pytest.mark.parametrize("value", [0.0, 0.1, 3.7])
def test_features_that_are_the_same_give_exactly_chance(
    classifier: Classifier, value: float
) -> None:
    same = torch.full((160, 6), value) * torch.tensor([1, 0.3, 2, 5, 0.7, 0.01])
    for transform in ("UN", "L2N", "CL2N"):
        transformed = transform_features(same, transform, same.mean(0))
        accuracies = episode_accuracies(transformed, episodes(5), classifier)
        assert (accuracies == 0.2).all()


def test_lengths_and_shifts_that_transforms_take_away() -> None:
    values, mean = features().double(), features().double().mean(0)
    lengths = torch.rand(160, 1, generator=generator(0, "lengths")).double() + 0.1
    unit = transform_features(values, "L2N", mean)
    torch.testing.assert_close(transform_features(lengths * values, "L2N", mean), unit)
    centred = transform_features(values, "CL2N", mean)
    torch.testing.assert_close(transform_features(values + 3, "CL2N", mean + 3), centred)
    assert not torch.allclose(transform_features(values + 3, "L2N", mean + 3), unit)
    assert transform_features(values, "UN", mean) is values
    assert (transform_features(torch.zeros(2, 6), "L2N", torch.zeros(6)) == 0).all()


def test_with_one_shot_the_nearest_centroid_is_the_nearest_neighbour() -> None:
    values, drawn = features().double(), episodes(1)
    right = []
    for support, queries in zip(*drawn, strict=True):
        distances = (values[queries.flatten()][:, None] - values[support.flatten()]).norm(dim=-1)
        nearest = distances.argmin(1)
        right.append((nearest == torch.arange(5).repeat_interleave(10)).float().mean())
    assert torch.equal(episode_accuracies(values, drawn, "centroid"), torch.stack(right))
    unit = transform_features(values, "L2N", values.mean(0))
    by_angle = episode_accuracies(unit, drawn, "centroid")
    assert torch.equal(by_angle, episode_accuracies(values, drawn, "matching"))


def test_probabilities_of_matching_sum_to_one() -> None:
    probabilities = matching_probabilities(features(), episodes(5))
    assert probabilities.shape == (130, 50, 5)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(130, 50))


def test_the_interval_halves_with_four_times_the_episodes() -> None:
    accuracies = torch.tensor([0.2, 0.4, 0.9])
    mean, half_width = mean_and_interval(accuracies)
    assert mean == pytest.approx(0.5)
    assert half_width == pytest.approx(1.96 * (0.26 / 3) ** 0.5 / 3**0.5)
    same_mean, half_as_wide = mean_and_interval(accuracies.repeat(4))
    assert same_mean == pytest.approx(mean)
    assert half_as_wide == pytest.approx(half_width / 2)


def test_too_few_classes_or_examples_are_refused() -> None:
    with pytest.raises(UserError, match="ways: 9: there are examples of 8 classes only"):
        draw_episodes(LABELS, 9, 1, 1, 1, torch.Generator())
    check_episodes(LABELS, 8, 5, 15)
    with pytest.raises(UserError, match=r"queries: 15: with shots 6 a class needs 21 .* 0 has 20"):
        check_episodes(LABELS, 8, 6, 15)
    with pytest.raises(UserError, match="dog has 19"):
        check_episodes(LABELS[1:], 8, 5, 15, ["dog", *"1234567"])
