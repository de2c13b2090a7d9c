"""What a process does that trains one segment of a study, wherever it runs."""

import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from plasticity_lab.command_line import errors_in_one_line
from plasticity_lab.studies.last_words import LOG, last_words
from plasticity_lab.studies.outcome import PREEMPTION_SIGNALS, Cause, Outcome, cause_of
from plasticity_lab.studies.segment import train_segment
from plasticity_lab.studies.signs_of_life import SignsOfLife
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task


def train_and_store(task: Task) -> Outcome:
    """Train a segment and store it, unless another process does or has done so.

    The segment's lock is held meanwhile. It ends with this process, so that a kill at any moment
    leaves the segment to the next attempt, and the store as it was.

    Args:
        task: the work; its folder is made here, beside the stored segments.
    """
    store = Store(Path(task.place).parent)
    lock = store.lock(task.state)
    if lock is None:
        return Outcome(Cause.LOCKED)
    try:
        with _signals_that_exit():
            return _train_under_lock(task, store)
    except SystemExit as stop:
        return Outcome(cause_of(stop), f"ended by exit code {stop.code}")
    finally:
        shutil.rmtree(task.place, ignore_errors=True)
        lock.release()


def _train_under_lock(task: Task, store: Store) -> Outcome:
    # Another runner may have been faster.
    if store.is_trained(task.state, task.test):
        return Outcome(Cause.TRAINED)
    if task.start and (damage := store.remove_damaged_checkpoint(task.start)):
        return Outcome(Cause.START_DAMAGED, damage)

    # Train with all output in a file.
    place = Path(task.place)
    try:
        place.mkdir(parents=True)
        with SignsOfLife(place, task.first) as signs, _output_in(place / LOG):
            error = _error_of_training(task, signs)
    except OSError as raised:
        return Outcome(cause_of(raised), f"{raised.strerror}: {raised.filename}")
    if error is not None:
        return Outcome(cause_of(error), last_words(place) or repr(error))

    # Move the result to its place.
    try:
        store.commit(place, task.state)
    except OSError as raised:
        return Outcome(Cause.NOT_STORED, f"{raised.strerror}: {raised.filename}")
    return Outcome(Cause.TRAINED)


def _error_of_training(task: Task, signs: SignsOfLife) -> BaseException | None:
    """Train; return what it raised, once it is printed as train.py would."""
    try:
        train_segment(task, signs.report)
    # A callback of the user's own may raise anything, SystemExit included.
    except BaseException as error:
        try:
            with errors_in_one_line("train.py"):
                raise
        except SystemExit:
            return error
        except BaseException:
            traceback.print_exc()
            # Of a message of many lines, as CUDA's are, the first says why.
            lines = str(error).strip().splitlines()
            if len(lines) > 1:
                print(f"{type(error).__name__}: {lines[0]}")
            return error
    return None


@contextmanager
def _output_in(file: Path) -> Iterator[None]:
    """Send all output of this process to a file, that of its libraries included."""
    descriptors = [stream.fileno() for stream in (sys.__stdout__, sys.__stderr__) if stream]
    streams = sys.stdout, sys.stderr
    kept = [os.dup(descriptor) for descriptor in descriptors]
    with file.open("a", buffering=1) as log:
        try:
            for descriptor in descriptors:
                os.dup2(log.fileno(), descriptor)
            sys.stdout = sys.stderr = log
            yield
        finally:
            sys.stdout, sys.stderr = streams
            for descriptor, original in zip(descriptors, kept, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


@contextmanager
def _signals_that_exit() -> Iterator[None]:
    """Let the signals of schedulers end the training like an error, so that all is tidied up.

    Training replaces some of these handlers by its own, which wait for the end of a step.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, _exit_by_signal) for number in PREEMPTION_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _exit_by_signal(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
