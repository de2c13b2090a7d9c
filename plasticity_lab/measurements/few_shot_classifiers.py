"""Classifiers of few examples, each of which is fitted to every episode anew."""

from typing import Literal, TypeAlias

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from plasticity_lab.measurements.few_shot import Episodes

Classifier: TypeAlias = Literal["centroid", "matching", "logistic_regression"]

CHUNK = 100
"""Episodes that are classified at once."""


def centroid_distances(features: Tensor, episodes: Episodes) -> Tensor:
    """Return Euclidean distances of queries from the centroids of the classes of their episode.

    A centroid is the mean of its class's known features, whatever their length; the one that is
    nearest classifies (SimpleShot, Wang et al. 2019, https://arxiv.org/abs/1911.04623).

    Args:
        features: (examples, features), as `transform_features` returns them.
        episodes: of these examples.

    Returns:
        (episodes, ways x queries, ways); queries stand class by class.

    Examples:
        >>> features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [3.0, 3.0]])
        >>> episodes = Episodes(torch.tensor([[[0], [1]]]), torch.tensor([[[2], [3]]]))
        >>> centroid_distances(features, episodes)
        tensor([[[1.0000, 4.2426],
                 [4.2426, 1.0000]]])
    """
    centroids = features[episodes.support].mean(2)
    # Matrix products would lose digits, by which ties could come apart.
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(features[episodes.queries.flatten(1)], centroids, compute_mode=exact)


def matching_probabilities(features: Tensor, episodes: Episodes) -> Tensor:
    """Return probabilities of classes by a softmax over cosines with all known examples.

    Matching networks (Vinyals et al. 2016, https://arxiv.org/abs/1606.04080) without embeddings of
    the whole episode. With one shot the class of the example of largest cosine is most probable.

    Args:
        features: (examples, features).
        episodes: of these examples.

    Returns:
        (episodes, ways x queries, ways); queries stand class by class.

    Examples:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
        >>> episodes = Episodes(torch.tensor([[[0], [1]]]), torch.tensor([[[2], [3]]]))
        >>> matching_probabilities(features, episodes)
        tensor([[[0.7311, 0.2689],
                 [0.2689, 0.7311]]])
    """
    unit = F.normalize(features)
    known, queries = unit[episodes.support.flatten(1)], unit[episodes.queries.flatten(1)]
    attention = (queries @ known.mT).softmax(-1)
    return attention.reshape(*attention.shape[:2], *episodes.support.shape[1:]).sum(-1)


def logistic_regression_classes(features: Tensor, episodes: Episodes) -> Tensor:
    """Return classes of queries by multinomial logistic regression on the known examples.

    It is scikit-learn's, with C = 1 and features divided by their length; a few milliseconds an
    episode.

    Args:
        features: (examples, features).
        episodes: of these examples.

    Returns:
        int64 (episodes, ways x queries); queries stand class by class.

    Examples:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
        >>> episodes = Episodes(torch.tensor([[[0], [1]]]), torch.tensor([[[2], [3]]]))
        >>> logistic_regression_classes(features, episodes)
        tensor([[0, 1]])
    """
    rows = F.normalize(features).double().cpu().numpy()
    _, ways, shots = episodes.support.shape
    labels = torch.arange(ways).repeat_interleave(shots).numpy()
    predicted = []
    for support, queries in zip(
        episodes.support.flatten(1).cpu(), episodes.queries.flatten(1).cpu(), strict=True
    ):
        regression = LogisticRegression(C=1.0, max_iter=1000).fit(rows[support.numpy()], labels)
        predicted.append(torch.from_numpy(regression.predict(rows[queries.numpy()])))
    return torch.stack(predicted).to(features.device)


def episode_accuracies(features: Tensor, episodes: Episodes, classifier: Classifier) -> Tensor:
    """Return the share of queries of each episode that are classified correctly, (episodes,).

    Of classes that are equally near the first one is taken, so that features that are the same for
    all examples give exactly 1 / ways by centroids.

    Args:
        features: (examples, features), as `transform_features` returns them.
        episodes: of these examples.
        classifier: `centroid`, `matching` or `logistic_regression`, as the functions above.

    Examples:
        >>> features = torch.tensor([[0.0, 1.0], [3.0, 4.0], [0.0, 2.0], [3.0, 3.0]])
        >>> episodes = Episodes(torch.tensor([[[0], [1]]]), torch.tensor([[[2], [3]]]))
        >>> episode_accuracies(features, episodes, "centroid")
        tensor([1.])
    """
    _, ways, queries = episodes.queries.shape
    labels = torch.arange(ways, device=features.device).repeat_interleave(queries)
    shares = []
    for chunk in zip(*(torch.split(indices, CHUNK) for indices in episodes), strict=True):
        part = Episodes(*(indices.to(features.device) for indices in chunk))
        if classifier == "centroid":
            predicted = centroid_distances(features, part).argmin(-1)
        elif classifier == "matching":
            predicted = matching_probabilities(features, part).argmax(-1)
        else:
            predicted = logistic_regression_classes(features, part)
        shares.append((predicted == labels).float().mean(-1))
    return torch.cat(shares)
