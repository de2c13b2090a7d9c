"""What forgetting events come to over a data set."""

from torch import Tensor

from plasticity_lab.measurements.forgetting_statistics import NEVER, ForgettingStatistics
from plasticity_lab.measurements.wrong_labels import auc, precision


def forgetting_summary(counts: ForgettingStatistics) -> dict[str, float]:
    """Return what the counts of the examples presented so far come to; nothing if there are none.

    `events` is a mean over the examples learned so far, `never_learned`, `unforgettable` and
    `learned` are shares of all in [0, 1], `aum` and `el2n` are means over all. Where labels are
    wrong, each also of the examples with wrong labels and of those with their own (`events/wrong`,
    `events/right`), and how well scores tell the two apart.

    Examples:
        >>> counts = ForgettingStatistics(labels=torch.tensor([0, 1]))
        >>> forgetting_summary(counts)
        {}
    """
    presented, wrong = counts.presentations > 0, counts.wrong_label
    summary = _means(counts, presented)
    if not (presented & wrong).any():
        return summary
    for name, group in (("wrong", presented & wrong), ("right", presented & ~wrong)):
        summary |= {f"{value}/{name}": number for value, number in _means(counts, group).items()}
    summary["wrong_labels/share"] = float(wrong[presented].double().mean())
    if (presented & ~wrong).any():
        scores = counts.scores[presented]
        summary["wrong_labels/precision"] = precision(scores, wrong[presented])
        summary["wrong_labels/auc"] = auc(scores, wrong[presented])
    return summary


def _means(counts: ForgettingStatistics, group: Tensor) -> dict[str, float]:
    learned = group & (counts.first_learned != NEVER)
    parts = {
        "events": counts.forgotten[learned],
        "never_learned": counts.first_learned[group] == NEVER,
        "unforgettable": counts.unforgettable[group],
        "learned": counts.right[group],
        "aum": counts.aum[group],
        "el2n": counts.el2n[group],
    }
    return {name: float(part.double().mean()) for name, part in parts.items() if len(part)}
