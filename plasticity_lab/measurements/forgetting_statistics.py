"""What is learned and forgotten of each example, counted during training (Toneva et al. 2019)."""

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int64).max
"""When an example was learned that was not."""

UNIT = 2.0**-20
"""What margins are counted in."""


def whole_units(margins: Tensor) -> Tensor:
    """Round margins, or other numbers, to whole multiples of `UNIT` (about 1e-6), int64.

    Sums of them do not depend on the order.

    What is not a number counts as 0, and what is beyond 2^20 as that.

    Examples:
        >>> whole_units(torch.tensor([-0.5, 0.25])) * UNIT
        tensor([-0.5000,  0.2500])
    """
    return (margins.float().nan_to_num(0).clamp(-(2.0**20), 2.0**20) / UNIT).round().long()


class ForgettingStatistics:
    """Counts of each example's presentations in training.

    The streaming form of the authors' `compute_forgetting_statistics`.

    An example is forgotten when it is classified wrong at a presentation after it was right at the
    one before, and learned the other way round; before its first presentation it counts as wrong.
    Presentations are numbered from 0, as in the authors' code. An update takes no time to speak of
    and waits for no device.

    Args:
        labels: each example's own, int64 (N,); the counts are kept on their device.

    Attributes:
        presentations: (N,), int64, like all others but `right`.
        right: at the last presentation, bool (N,).
        first_learned: first presentation at which it was right, (N,); the largest int64 if there is
            none.
        last_wrong: last presentation at which it was wrong, (N,); -1 if there is none.
        given_label: the label that training was given at the last presentation, (N,); -1 if there
            is none.
        mislabelled: at how many presentations the label given was not the example's own, (N,).
        margins: sum of the margins at the presentations at which it was forgotten, in multiples
            of 2^-20, (N,).
        margin_sums: sum of the margins at all presentations, likewise.
        error_sums: sum of the `error_norms` at all presentations, likewise.
        events: how often it was forgotten in each data stage so far, (N, stages).

    Examples:
        >>> counts = ForgettingStatistics(labels=torch.tensor([0, 1]))
        >>> for right in ([True, False], [False, False], [True, True]):
        ...     counts.update(
        ...         indices=torch.tensor([0, 1]),
        ...         given_labels=torch.tensor([0, 1]),
        ...         right=torch.tensor(right),
        ...         margins=torch.zeros(2, dtype=torch.int64),
        ...         errors=torch.zeros(2, dtype=torch.int64),
        ...         stage=0,
        ...     )
        >>> counts.forgotten
        tensor([1, 0])
    """

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels
        self.presentations = torch.zeros_like(labels)
        self.right = torch.zeros_like(labels, dtype=torch.bool)
        self.first_learned = torch.full_like(labels, NEVER)
        self.last_wrong = torch.full_like(labels, -1)
        self.given_label = torch.full_like(labels, -1)
        self.mislabelled = torch.zeros_like(labels)
        self.margins = torch.zeros_like(labels)
        self.margin_sums = torch.zeros_like(labels)
        self.error_sums = torch.zeros_like(labels)
        self.events = labels.new_zeros(len(labels), 0)

    def update(
        self,
        indices: Tensor,
        given_labels: Tensor,
        right: Tensor,
        margins: Tensor,
        errors: Tensor,
        stage: int,
        own_labels: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            indices: its examples in the order they were seen, int64 (batch,); one may stand there
                more than once.
            given_labels: the label that training was given for each, int64 (batch,).
            right: whether each was classified as that label says, bool (batch,).
            margins: of each, as `whole_units` gives them, int64 (batch,).
            errors: `error_norms` of each, likewise.
            stage: data stage, 0 or more.
            own_labels: of each, int64 (batch,), where they are others in other stages; None is as
                they were given at first.
        """
        missing = stage + 1 - self.events.shape[1]
        if missing > 0:
            self.events = torch.cat(
                [self.events, self.events.new_zeros(len(self.events), missing)], 1
            )
        self.margin_sums.index_add_(0, indices, margins)
        self.error_sums.index_add_(0, indices, errors)
        order = indices.argsort(stable=True)
        examples = indices[order]
        given_labels, right, margins = given_labels[order], right[order], margins[order]
        repeated = torch.zeros_like(right)  # the example was presented earlier in this batch
        repeated[1:] = examples[1:] == examples[:-1]
        place = torch.arange(len(examples), device=examples.device)
        begin = torch.where(repeated, 0, place).cummax(0).values
        end = torch.where(repeated.roll(-1), len(examples), place).flip(0).cummin(0).values.flip(0)
        number = self.presentations[examples] + place - begin
        before = torch.where(repeated, right.roll(1), self.right[examples])
        forgotten = (before & ~right).long()
        self.events[:, stage].index_add_(0, examples, forgotten)
        self.margins.index_add_(0, examples, forgotten * margins)
        self.first_learned.scatter_reduce_(0, examples, torch.where(right, number, NEVER), "amin")
        self.last_wrong.scatter_reduce_(0, examples, torch.where(right, -1, number), "amax")
        self.right[examples] = right[end]
        self.given_label[examples] = given_labels[end]
        own = self._labels[examples] if own_labels is None else own_labels[order]
        self.mislabelled.index_add_(0, examples, (given_labels != own).long())
        self.presentations.index_add_(0, examples, torch.ones_like(examples))

    @property
    def forgotten(self) -> Tensor:
        """How often each example was forgotten, (N,)."""
        return self.events.sum(1)

    @property
    def learned(self) -> Tensor:
        """How often each example was learned, (N,): `forgotten`, plus 1 if it is right now."""
        return self.forgotten + self.right

    @property
    def wrong_label(self) -> Tensor:
        """Whether a label that training was given was ever not the example's own, bool (N,)."""
        return self.mislabelled > 0

    @property
    def scores(self) -> Tensor:
        """What the authors' `sort_examples_by_forgetting` sorts by, (N,).

        How often an example was forgotten.

        One never learned ranks above all others, by the most presentations that any example has had
        (the authors' number of epochs). Scores of several runs add up.
        """
        return torch.where(self.first_learned == NEVER, self.presentations.max(), self.forgotten)

    @property
    def misclassification_margins(self) -> Tensor:
        """Mean margin where each example was forgotten, float64 (N,), negative; NaN if nowhere."""
        return self.margins * UNIT / self.forgotten.double()

    @property
    def aum(self) -> Tensor:
        """Area under the margin (Pleiss et al. 2020, https://arxiv.org/abs/2001.10528).

        Mean margin over all presentations, float64 (N,); NaN without any.
        """
        return self.margin_sums * UNIT / self.presentations.double()

    @property
    def el2n(self) -> Tensor:
        """Mean of `error_norms` over all presentations, float64 (N,); NaN without any.

        EL2N of Paul et al. 2021 is the mean over networks of different seeds at one early epoch.
        """
        return self.error_sums * UNIT / self.presentations.double()

    @property
    def unforgettable(self) -> Tensor:
        """Which examples were learned and never forgotten, bool (N,)."""
        return (self.forgotten == 0) & (self.first_learned != NEVER)

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of the counts on the CPU."""
        return {
            name: counts.to("cpu", copy=True)
            for name, counts in vars(self).items()
            if name != "_labels"
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the counts of `state_dict()`, on this object's device."""
        for name, counts in state.items():
            setattr(self, name, counts.to(self.presentations.device, copy=True))
