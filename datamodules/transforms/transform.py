"""What is done to training batches at some times: a function of a batch, and its strength."""

import math
from collections.abc import Mapping

from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Levels, Position, Time, Window


class Transform(Timed):
    """Something done to training batches, for a while or at strengths that change.

    Args:
        during: `[start, stop]`, stop excluded; `[0ep, 0ep]` is never, `[0ep, 100%]` always.
        levels: in place of `during`, `{moment: strength}`: each holds from its moment on, and
            `null` is off.

    Raises:
        UserError: for both, or a strength that is no finite number.
    """

    # Under names that a subclass has no use for; one that calls no constructor is always on.
    _window: Window | None = None
    _strengths: Levels[float | None] | None = None

    def __init__(
        self,
        during: tuple[Time, Time] | None = None,
        levels: Mapping[str, float | None] | None = None,
    ) -> None:
        if during is not None and levels is not None:
            raise UserError(
                type(self).__name__, fix="set either during: [start, stop] or levels: {time: value}"
            )
        self._window = Window(*map(Time, during)) if during is not None else None
        self._strengths = Levels(levels) if levels is not None else None
        for strength in self.strengths:
            number = isinstance(strength, int | float) and math.isfinite(strength)
            if strength is not None and not number:
                raise UserError("levels", value=strength, fix="set a number, or null for off")

    @property
    def strengths(self) -> list[float | None]:
        """The strengths that `levels` set, in order; empty without."""
        return [value for _, value in self._strengths.entries] if self._strengths else []

    @property
    def at_all_times(self) -> Answer:
        """The first of its strengths that is not off; True for one without."""
        return next((level for level in self.strengths if level is not None), True)

    def times(self) -> list[Time]:
        """Return the moments that it names."""
        if self._strengths:
            return self._strengths.times
        return list(self._window) if self._window else []

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return its strength, True for one without levels; None while it does nothing."""
        if self._strengths:
            return self._strengths.at(now, epochs)
        return True if self._window is None or self._window.open(now, epochs) else None
