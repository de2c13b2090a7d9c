"""What is learned and forgotten of each example, counted while training goes on (Toneva et al. 2019)."""

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int64).max


class ForgettingStatistics:
    """Counts of each example's presentations in training, in the streaming form of the authors' `compute_forgetting_statistics`.

    An example is forgotten when it is classified wrong at a presentation after it was right at the one before, and learned the
    other way round; before its first presentation it counts as wrong. Presentations are numbered from 0, as in the authors' code.
    An update takes no time to speak of and waits for no device.

    Args:
        examples: how many there are, N.
        device: where the counts are kept.

    Attributes:
        presentations: (N,), int64, like all others but `right`.
        right: at the last presentation, bool (N,).
        first_learned: first presentation at which it was right, (N,); NEVER if there is none.
        last_wrong: last presentation at which it was wrong, (N,); -1 if there is none.
        events: how often it was forgotten in each data stage so far, (N, stages).
    """

    def __init__(self, examples: int, device: torch.device) -> None:
        self.presentations = torch.zeros(examples, dtype=torch.int64, device=device)
        self.right = torch.zeros(examples, dtype=torch.bool, device=device)
        self.first_learned = torch.full_like(self.presentations, NEVER)
        self.last_wrong = torch.full_like(self.presentations, -1)
        self.events = self.presentations.new_zeros(examples, 0)

    def update(self, indices: Tensor, right: Tensor, stage: int) -> None:
        """Count a batch.

        Args:
            indices: its examples in the order they were seen, int64 (batch,); one may stand there more than once.
            right: whether each was classified as its label says, bool (batch,).
            stage: data stage, 0 or more.
        """
        missing = stage + 1 - self.events.shape[1]
        if missing > 0:
            self.events = torch.cat([self.events, self.events.new_zeros(len(self.events), missing)], 1)
        order = indices.argsort(stable=True)
        who, right = indices[order], right[order]
        again = torch.zeros_like(right)  # the example was presented earlier in this batch
        again[1:] = who[1:] == who[:-1]
        place = torch.arange(len(who), device=who.device)
        begin = torch.where(again, 0, place).cummax(0).values
        end = torch.where(again.roll(-1), len(who), place).flip(0).cummin(0).values.flip(0)
        number = self.presentations[who] + place - begin
        before = torch.where(again, right.roll(1), self.right[who])
        self.events[:, stage].index_add_(0, who, (before & ~right).long())
        self.first_learned.scatter_reduce_(0, who, torch.where(right, number, NEVER), "amin")
        self.last_wrong.scatter_reduce_(0, who, torch.where(right, -1, number), "amax")
        self.right[who] = right[end]
        self.presentations.index_add_(0, who, torch.ones_like(who))

    @property
    def forgotten(self) -> Tensor:
        """How often each example was forgotten, (N,)."""
        return self.events.sum(1)

    @property
    def learned(self) -> Tensor:
        """How often each example was learned, (N,): as often as it was forgotten, and once more if it is right now."""
        return self.forgotten + self.right

    @property
    def unforgettable(self) -> Tensor:
        """Which examples were learned and never forgotten, bool (N,)."""
        return (self.forgotten == 0) & (self.first_learned != NEVER)

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of the counts on the CPU."""
        return {name: counts.to("cpu", copy=True) for name, counts in vars(self).items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict()`, on this one's device."""
        for name, counts in state.items():
            setattr(self, name, counts.to(self.presentations.device, copy=True))
