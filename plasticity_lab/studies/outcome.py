"""How an attempt to train a segment ends, and how often each end is tried again."""

import errno
import signal
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from plasticity_lab.command_line import is_mistake
from plasticity_lab.errors import Diverged, UserError

PREEMPTION_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What schedulers send to a process that has to leave; submitit sends SIGUSR2."""

_STOPPED_CODES = {128 + number for number in (signal.SIGINT, *PREEMPTION_SIGNALS)}
"""Exit codes of a process that a signal has asked to end."""

_OUT_OF_MEMORY_TEXTS = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What errors of torch and CUDA say, of which not all are a `torch.OutOfMemoryError`."""


class Cause(Enum):
    """Why an attempt has ended.

    Attributes:
        TRAINED: the segment is stored, by this attempt or by another runner.
        LOCKED: another runner trains it.
        START_DAMAGED: the state that it continues from could not be read, and was removed.
        KILLED: something outside has ended the process: preemption, a lost node, a kill.
        OUT_OF_MEMORY: it needed more memory than there was.
        HUNG: it gave no sign of life for too long, and was ended.
        FAILED: it raised an error that may not come again.
        REFUSED: it ended in what comes again in each exact repetition: a mistake in the settings,
            or a loss that is not finite.
        NOT_STORED: the disk was full.
    """

    TRAINED = "trained"
    LOCKED = "locked"
    START_DAMAGED = "the state before it is damaged"
    KILLED = "killed"
    OUT_OF_MEMORY = "out of memory"
    HUNG = "hung"
    FAILED = "failed"
    REFUSED = "would fail again"
    NOT_STORED = "cannot be stored"


TRIES = {
    Cause.START_DAMAGED: 2,
    Cause.KILLED: 4,
    Cause.OUT_OF_MEMORY: 2,
    Cause.HUNG: 2,
    Cause.FAILED: 2,
    Cause.REFUSED: 1,
    Cause.NOT_STORED: 1,
}
"""How many attempts may end in each cause before the segment has failed for good."""

_FIXES = {
    Cause.OUT_OF_MEMORY: "use fewer --jobs, a larger share of a GPU (--gpus), or a smaller batch",
    Cause.HUNG: "if it only computes for long, set a longer --patience",
    Cause.NOT_STORED: "make room, and run the same command again",
}


class Outcome(NamedTuple):
    """How an attempt has ended.

    Attributes:
        cause: why.
        output: what it printed and raised; the last line says most.
    """

    cause: Cause
    output: str = ""


def cause_of(error: BaseException) -> Cause:
    """Return the cause that an error in training stands for.

    Example:
        ```python
        assert cause_of(MemoryError()) is Cause.OUT_OF_MEMORY
        assert cause_of(SystemExit(128 + signal.SIGTERM)) is Cause.KILLED
        ```
    """
    if any(_is_full_disk(reason) for reason in _reasons(error)):
        return Cause.NOT_STORED
    if isinstance(error, KeyboardInterrupt):
        return Cause.KILLED
    if isinstance(error, SystemExit) and error.code in _STOPPED_CODES:
        return Cause.KILLED
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Cause.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, UserError | Diverged) or is_mistake(error):
        return Cause.REFUSED
    return Cause.FAILED


def cause_of_signal(number: int) -> Cause:
    """Return the cause of a process that a signal has ended, as far as the signal tells.

    What a process does to itself, such as SIGSEGV, is a failure; any other signal came from
    outside.
    """
    own = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
    return Cause.FAILED if number in own else Cause.KILLED


def final_output(outcome: Outcome, attempts: int) -> str:
    """Return the output of a segment that has failed for good; its last line says why.

    Args:
        outcome: of the last attempt.
        attempts: how many have ended in this cause.
    """
    last = (outcome.output.splitlines() or ["no output"])[-1]
    times = f" {attempts} times" if attempts > 1 else ""
    fix = f"; {_FIXES[outcome.cause]}" if outcome.cause in _FIXES else ""
    return f"{outcome.output}\n{outcome.cause.value}{times}: {last}{fix}"


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from."""
    reason: BaseException | None = error
    while reason is not None:
        yield reason
        reason = reason.__cause__ or reason.__context__


def _is_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
