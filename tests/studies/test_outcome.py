"""Which cause an end of training stands for, and what is told of it."""

import errno
import signal

import pytest
import torch

from plasticity_lab.errors import Diverged, UserError
from plasticity_lab.studies.outcome import (
    TRIES,
    Cause,
    Outcome,
    cause_of,
    cause_of_signal,
    final_output,
)


def chained() -> Exception:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise UserError("run_dir", problem="cannot be written") from error
    except UserError as error:
        return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("shapes differ"), Cause.FAILED),
        (ConnectionError(), Cause.FAILED),
        (SystemExit(1), Cause.FAILED),
        (SystemExit(128 + signal.SIGTERM), Cause.KILLED),
        (SystemExit(128 + signal.SIGUSR1), Cause.KILLED),
        (KeyboardInterrupt(), Cause.KILLED),
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), Cause.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Cause.OUT_OF_MEMORY),
        (UserError("lr", fix="set it"), Cause.REFUSED),
        (Diverged("loss is nan at step 3"), Cause.REFUSED),
        (OSError(errno.ENOSPC, "No space left on device"), Cause.NOT_STORED),
        (chained(), Cause.NOT_STORED),
    ],
)
def test_the_cause_of_an_error(error: BaseException, cause: Cause) -> None:
    assert cause_of(error) is cause


def test_the_allocator_of_the_cpu_is_known_by_its_message() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert cause_of(raised.value) is Cause.OUT_OF_MEMORY


def test_a_crash_is_a_failure_and_any_other_signal_came_from_outside() -> None:
    assert cause_of_signal(signal.SIGSEGV) is Cause.FAILED
    assert cause_of_signal(signal.SIGKILL) is Cause.KILLED
    assert cause_of_signal(signal.SIGTERM) is Cause.KILLED


def test_the_last_line_says_why_and_what_to_do() -> None:
    assert final_output(Outcome(Cause.FAILED, "a\nb"), 2).splitlines() == [
        "a",
        "b",
        "failed 2 times: b",
    ]
    line = final_output(Outcome(Cause.OUT_OF_MEMORY, "no memory"), 2).splitlines()[-1]
    assert line == (
        "out of memory 2 times: no memory; "
        "use fewer --jobs, a larger share of a GPU (--gpus), or a smaller batch"
    )
    assert final_output(Outcome(Cause.KILLED), 1).splitlines()[-1] == "killed: no output"


def test_each_cause_of_an_early_end_has_a_number_of_tries() -> None:
    assert {*Cause} - {*TRIES} == {Cause.TRAINED, Cause.LOCKED}
