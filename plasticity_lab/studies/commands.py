"""The commands of study.py."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from plasticity_lab.errors import UserError
from plasticity_lab.studies import opened_record
from plasticity_lab.studies.engines import Engine
from plasticity_lab.studies.missing_segments import missing_segments
from plasticity_lab.studies.plan import EmptyStore, Segment, epochs_to_follow, segments
from plasticity_lab.studies.scalars import tags
from plasticity_lab.studies.scheduler import Progress
from plasticity_lab.studies.stored_states import StoredStates
from plasticity_lab.studies.study_context import FAILED, StudyContext


def run(
    work: StudyContext, jobs: int, engine: Engine, say: Callable[[str], None] = print
) -> list[str]:
    """Train what is missing; return the names of runs that are not done afterwards.

    Raises:
        UserError: if stopped, or if files cannot be written.
    """
    begun = time.monotonic()
    try:
        work.store.root.mkdir(parents=True, exist_ok=True)
        work.home.mkdir(parents=True, exist_ok=True)
        work.store.remove_stale()
        work.keep()
        shutil.rmtree(work.home / FAILED, ignore_errors=True)
        _train(work, jobs, engine, say)
    except KeyboardInterrupt:
        raise UserError(
            "", problem="stopped", fix="run the same command again to continue"
        ) from None
    except OSError as error:
        raise UserError(
            error.filename,
            problem=error.strerror,
            fix="run the same command again to continue; what is done is kept",
        ) from error
    finished = set(work.finished())
    count = len(work.study.runs)
    say(
        f"{len(finished)} of {count} runs are done, in {time.monotonic() - begun:.0f} s: "
        f"{work.home}"
    )
    return [run.name for number, run in enumerate(work.study.runs) if number not in finished]


def is_complete(work: StudyContext) -> bool:
    """Whether every run of a study is trained, tested and written into its directory."""
    stored = StoredStates(work.store)
    if any(stored.damaged(state) for state in all_states(work)):
        return False
    numbers = range(len(work.study.runs))
    written = all(work.is_materialised(number) and work.is_sent(number) for number in numbers)
    return written and work.finished(stored) == [*numbers]


def report_complete(work: StudyContext, say: Callable[[str], None] = print) -> None:
    """Report that a complete study has nothing to train."""
    say(summary(work, [], StoredStates(work.store), 1))
    count = len(work.study.runs)
    say(f"{count} of {count} runs are done: {work.home}")


def _train(work: StudyContext, jobs: int, engine: Engine, say: Callable[[str], None]) -> None:
    # What there is to do.
    stored = StoredStates(work.store)
    for line in damaged(work, stored):
        say(line)
    todo = segments(work.paths, stored)
    say(summary(work, todo, stored, jobs))
    bar = tqdm(
        total=sum(segment.stop - segment.first for segment in todo), unit="epoch", disable=not todo
    )
    missing = missing_segments(work, todo)

    def announce(number: int) -> None:
        if work.materialise(number):
            bar.write(f"done    {work.study.runs[number].name}{without_metric(work, number)}")
        if problem := work.send(number):
            name = work.study.runs[number].name
            bar.write(f"warning {name} is not sent to its loggers: {problem}; run again to retry")

    def count_epoch() -> None:
        bar.update()

    def finish(segment: Segment) -> None:
        metadata = work.store.metadata(segment.end)
        # A run that ends early does not train all epochs.
        bar.total -= max(0, segment.stop - segment.first - (metadata["stop"] - metadata["first"]))
        for number in missing.finish(segment.end):
            announce(number)

    def on_failure(segment: Segment, output: str) -> None:
        (work.home / FAILED).mkdir(exist_ok=True)
        (work.home / FAILED / f"{segment.end}.txt").write_text(output)
        line = output.splitlines()[-1]
        bar.write(
            f"failed  epochs {segment.first} to {segment.stop} of "
            f"{work.study.runs[segment.run].name}: {line}"
        )

    def on_retry(segment: Segment, reason: str) -> None:
        run = work.study.runs[segment.run].name
        bar.write(f"again   epochs {segment.first} to {segment.stop} of {run}: {reason}")

    progress = Progress(count_epoch, finish, on_failure, on_retry)
    with bar:
        for number in work.finished(stored):
            announce(number)
        engine(todo, work.task, work.store, jobs, progress)


def without_metric(work: StudyContext, number: int) -> str:
    """Report that a run has not logged the study's metric; "" if it has.

    With classes of the user's own, it only shows once they have logged.
    """
    metric = work.study.report.get("metric")
    if not metric:
        return ""
    logged = tags(work.folder(number))
    if metric in logged:
        return ""
    return f"  warning: report: metric: {metric}: is not logged; logged are {', '.join(logged)}"


def damaged(work: StudyContext, stored: StoredStates) -> Iterator[str]:
    """Yield a line for each state of the study that is incomplete, and so counts as untrained."""
    for state in all_states(work):
        if damage := stored.damaged(state):
            yield f"damaged {work.store.root / state}: {damage}; it is trained again"


def all_states(work: StudyContext) -> dict[str, None]:
    """Return the states of all runs, each once and in their order."""
    return dict.fromkeys(state for path in work.paths for state in path.states)


def plan(work: StudyContext) -> str:
    """Print what would be trained, how the arms differ, and how each spends its rate."""
    stored = StoredStates(work.store)
    lines = [*_order(work), summary(work, segments(work.paths, stored), stored, 1)]
    for run, path, arm in zip(work.study.runs, work.paths, work.opened.arm_of_run, strict=True):
        limit = "at most " if work.opened.signatures[arm].may_end_early else ""
        epochs = f"{limit}{len(path.states) - 1} epochs"
        files = " ".join(file.name for file in run.configs)
        overrides = [f"{key}={json.dumps(value)}" for key, value in run.overrides.items()]
        note = (
            f"  shares nothing: {path.not_shareable_because}" if path.not_shareable_because else ""
        )
        lines.append(f"{run.name}  {epochs}  {files}  {'  '.join(overrides)}{note}")
    return "\n".join([*lines, *_described(work)])


def _described(work: StudyContext) -> list[str]:
    """Return how the arms differ, which is kept as each has to be built for it."""
    kept: list[str] | None = opened_record.derived(work.home, work.study.file, "differences")
    if kept is not None and work.inputs is None:
        return kept

    # Only here, as it imports torch and Lightning.
    from plasticity_lab.studies.arm_differences import described

    lines = list(described(work))
    opened_record.keep_derived(work.home, work.study.file, "differences", lines)
    return lines


def summary(work: StudyContext, todo: list[Segment], stored: StoredStates, jobs: int) -> str:
    """Return how much there is to train, and how long it will take as far as that is known."""
    # Epochs of all runs, epochs without those that are shared, and those that are missing.
    planned = sum(len(path.states) - 1 for path in work.paths)
    distinct = _epochs(segments(work.paths, EmptyStore()))
    limit = "at most " if any(arm.may_end_early for arm in work.opened.signatures) else ""
    line = (
        f"{work.study.name}: {len(work.paths)} runs of {limit}{planned} epochs, {distinct} trained "
        f"({distinct / planned:.2f} of them)"
    )
    if not todo:
        return f"{line}; nothing is missing"
    missing = _epochs(todo)
    line += f"; missing are {missing} epochs in {len(todo)} segments"

    # The time that finished segments have taken gives an estimate.
    trained, seconds = _trained(work, stored)
    if trained:
        longest = max(epochs_to_follow(todo).values())
        line += f", about {seconds / trained * max(missing / jobs, longest) / 60:.1f} minutes"
    return line


def _trained(work: StudyContext, stored: StoredStates) -> tuple[int, float]:
    """Return how many epochs of a study are trained, and how many seconds they took."""
    finished = [stored.metadata(state) for state in all_states(work) if stored.has_logs(state)]
    epochs = sum(entry["stop"] - entry["first"] for entry in finished)
    return epochs, sum(entry["seconds"] for entry in finished)


def total(works: Sequence[StudyContext], jobs: int) -> str:
    """Return how much there is to train of several studies, and how long it takes if it is known.

    An epoch of a study of which nothing is trained yet counts as the mean of those of the others.
    Runs that several studies share count once for each.
    """
    stored = StoredStates(works[0].store)
    missing = {work.study.name: _epochs(segments(work.paths, stored)) for work in works}
    trained = {work.study.name: _trained(work, stored) for work in works}
    runs = sum(len(work.study.runs) for work in works)
    line = f"{len(works)} studies: {runs} runs; missing are {sum(missing.values())} epochs"
    epochs, seconds = (sum(column) for column in zip(*trained.values(), strict=True))
    if not epochs or not any(missing.values()):
        return line
    expected = 0.0
    for name, count in missing.items():
        own_epochs, own_seconds = trained[name]
        rate = own_seconds / own_epochs if own_epochs else seconds / epochs
        expected += rate * count
    return f"{line}, about {expected / jobs / 60:.0f} minutes"


def _epochs(parts: list[Segment]) -> int:
    return sum(segment.stop - segment.first for segment in parts)


def status(work: StudyContext) -> str:
    """Return how many runs are done, running, failed and waiting, and a line for each."""
    failures = {
        state: f"{''.join(output.splitlines()[-1:])} ({work.home / FAILED / state}.txt)"
        for state, output in work.failures().items()
    }
    running = work.store.running()
    finished = set(work.finished())
    counts = dict.fromkeys(("done", "running", "failed", "waiting"), 0)
    lines = []
    for number, run in enumerate(work.study.runs):
        states = work.paths[number].states
        errors = [failures[state] for state in states if state in failures]
        reason = ""
        if number in finished:
            kind = "done"
        elif errors:
            kind, reason = "failed", f"  {errors[0]}"
        elif not running.isdisjoint(states):
            kind = "running"
        else:
            kind = "waiting"
        counts[kind] += 1
        lines.append(f"{kind:8}{run.name}{reason}")
    count_line = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return "\n".join([count_line, *_order(work), *lines])


def _order(work: StudyContext) -> list[str]:
    """Return a line that says which study comes first, if the one that was named comes later."""
    study = work.study
    return [f"{study.name} comes before {study.comes_before}"] if study.comes_before else []


def gc(work: StudyContext) -> str:
    """Delete states that no missing segment of the study needs.

    A finished run's own last state stays in its directory.
    """
    stored = StoredStates(work.store)
    needed = {segment.start for segment in segments(work.paths, stored)}
    states = {state for state in all_states(work) if stored.has_checkpoint(state)} - needed
    freed = 0
    for state in states:
        file = work.store.checkpoint(state)
        # A state that a run's directory links to stays on disk.
        if file.stat().st_nlink == 1:
            freed += file.stat().st_size
        file.unlink()
    return (
        f"{len(states)} states dropped, {freed / 1e6:.0f} MB freed; {len(needed - {None})} kept "
        "for what is missing"
    )
