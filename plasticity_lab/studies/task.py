"""The work of one worker."""

from typing import Any, NamedTuple


class Task(NamedTuple):
    """The work of one worker, in plain values.

    Attributes:
        state: id of the state that the segment ends in.
        start: id of the state that it continues from; None is a fresh network.
        checkpoint: file of that state.
        first: its first epoch.
        stop: the first epoch after it; None is the end of the run, whenever that is.
        config: the resolved config.
        test: whether to measure the test split afterwards.
        threads: threads of torch.
        place: folder to write to.
    """

    state: str
    start: str | None
    checkpoint: str | None
    first: int
    stop: int | None
    config: dict[str, Any]
    test: bool
    threads: int
    place: str
