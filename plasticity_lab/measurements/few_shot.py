"""Few-shot classification of features (Wang et al. 2019, https://arxiv.org/abs/1911.04623)."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from plasticity_lab.errors import UserError

FeatureTransform: TypeAlias = Literal["UN", "L2N", "CL2N"]
"""Features as they are; of length 1; less the mean of the base classes, then of length 1."""

NORMAL_QUANTILE = 1.96
"""Standard errors on either side of a mean that hold 95 % of a normal distribution."""


class Episodes(NamedTuple):
    """Small classification tasks: indices of examples.

    Attributes:
        support: by which classes are known, int64 (episodes, ways, shots).
        queries: which are classified, int64 (episodes, ways, queries).
    """

    support: Tensor
    queries: Tensor


def check_episodes(
    labels: Tensor, ways: int, shots: int, queries: int, names: Sequence[str] = ()
) -> None:
    """Raise UserError if labels hold too few classes for an episode, or too few of a class.

    Args:
        labels: int64 (examples,).
        ways: classes in an episode.
        shots: known examples of each.
        queries: examples of each that are classified.
        names: of the classes; without them they are called by number.

    Examples:
        >>> check_episodes(torch.arange(60) % 3, ways=3, shots=5, queries=15)
    """
    numbers, counts = torch.unique(labels, return_counts=True)
    if len(numbers) < ways:
        fix = "set fewer, or name more classes"
        problem = f"there are examples of {len(numbers)} classes only"
        raise UserError("ways", value=ways, problem=problem, fix=fix)
    fewest = int(counts.argmin())
    needed, present = shots + queries, int(counts[fewest])
    if present < needed:
        number = int(numbers[fewest])
        name = names[number] if names else number
        problem = f"with shots {shots} a class needs {needed} examples, {name} has {present}"
        raise UserError("queries", value=queries, problem=problem, fix="set fewer")


def draw_episodes(
    labels: Tensor,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    generator: torch.Generator,
) -> Episodes:
    """Draw the classes of each episode, and examples of each class, without replacement.

    Args:
        labels: int64 (examples,).
        ways: classes in an episode.
        shots: known examples of each.
        queries: examples of each that are classified; none is a known one.
        episodes: how many, independent of one another.
        generator: on the CPU.

    Raises:
        UserError: for fewer classes than ways, or a class with fewer than shots + queries examples.

    Examples:
        >>> draws = torch.Generator().manual_seed(0)
        >>> support, queries = draw_episodes(torch.arange(60) % 6, 5, 1, 4, 10, draws)
        >>> support.shape, queries.shape
        (torch.Size([10, 5, 1]), torch.Size([10, 5, 4]))
    """
    labels = labels.cpu()
    check_episodes(labels, ways, shots, queries)
    members = [(labels == number).nonzero().flatten() for number in torch.unique(labels)]
    drawn = torch.empty(episodes, ways, shots + queries, dtype=torch.int64)
    for episode in drawn:
        chosen = torch.randperm(len(members), generator=generator)[:ways]
        for way, number in enumerate(chosen.tolist()):
            order = torch.randperm(len(members[number]), generator=generator)
            episode[way] = members[number][order[: shots + queries]]
    return Episodes(drawn[..., :shots], drawn[..., shots:])


def transform_features(features: Tensor, transform: FeatureTransform, base_mean: Tensor) -> Tensor:
    """Return features as SimpleShot transforms them.

    Args:
        features: (examples, features).
        transform: `UN` leaves them as they are, `L2N` divides each by its length, `CL2N` subtracts
            the base mean first. A feature vector of length 0 stays 0.
        base_mean: the mean feature of the training set of the base classes, (features,).

    Examples:
        >>> transform_features(torch.tensor([[4.0, 5.0]]), "CL2N", torch.tensor([1.0, 1.0]))
        tensor([[0.6000, 0.8000]])
    """
    if transform == "UN":
        return features
    return F.normalize(features - base_mean if transform == "CL2N" else features)


def mean_and_interval(accuracies: Tensor) -> tuple[float, float]:
    """Return the mean over episodes and the half width of its 95 % interval.

    That is 1.96 standard deviations over the square root of the number of episodes.

    Args:
        accuracies: of each episode, (episodes,).

    Examples:
        >>> mean, half_width = mean_and_interval(torch.tensor([0.5, 0.7]))
        >>> round(mean, 3), round(half_width, 3)
        (0.6, 0.139)
    """
    values = accuracies.double()
    half_width = NORMAL_QUANTILE * float(values.std(correction=0)) / sqrt(len(values))
    return float(values.mean()), half_width
