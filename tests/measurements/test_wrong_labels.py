"""How well scores tell wrong labels apart."""

from itertools import permutations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from plasticity_lab.measurements.wrong_labels import auc, precision


@pytest.mark.parametrize("seed", range(5))
def test_they_are_those_of_the_definitions_with_ties(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    scores, wrong = torch.randint(0, 3, (6,), generator=draws), torch.rand(6, generator=draws) < 0.5
    wrong[0], wrong[1] = True, False
    assert auc(scores, wrong) == pytest.approx(roc_auc_score(wrong, scores))
    tops = [
        sorted(order, key=lambda place: -int(scores[place]))[: int(wrong.sum())]
        for order in permutations(range(6))
    ]
    assert precision(scores, wrong) == pytest.approx(
        float(torch.tensor([wrong[top].double().mean() for top in tops]).mean())
    )


def test_scores_that_say_nothing_have_the_chance_values() -> None:
    scores, wrong = torch.zeros(10), torch.arange(10) < 2
    assert auc(scores, wrong) == 0.5
    assert precision(scores, wrong) == pytest.approx(0.2)
    assert (auc(-wrong.long(), wrong), precision(-wrong.long(), wrong)) == (0, 0)
