"""The commands of study.py."""

import json
import shutil
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

from plasticity_lab.errors import UserError
from plasticity_lab.studies.arms import described
from plasticity_lab.studies.engines import Engine
from plasticity_lab.studies.epoch_signatures import may_end_early
from plasticity_lab.studies.files import write_whole
from plasticity_lab.studies.metrics import everything
from plasticity_lab.studies.plan import EmptyStore, Segment, epochs_to_follow, segments
from plasticity_lab.studies.scheduler import Progress
from plasticity_lab.studies.study_context import StudyContext

FAILED = "failed"


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
        last = {
            "file": str(work.study.file.absolute()),
            "code_of_classes": work.code,
            "config": [str(file) for file in work.config],
        }
        write_whole(work.home / "study.json", last)
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
    missing = [run.name for number, run in enumerate(work.study.runs) if not work.finished(number)]
    count = len(work.study.runs)
    say(
        f"{count - len(missing)} of {count} runs are done, in {time.monotonic() - begun:.0f} s: "
        f"{work.home}"
    )
    return missing


def _train(work: StudyContext, jobs: int, engine: Engine, say: Callable[[str], None]) -> None:
    for line in damaged(work):
        say(line)
    todo = segments(work.paths, work.store)
    say(summary(work, todo, jobs))
    bar = tqdm(
        total=sum(segment.stop - segment.first for segment in todo), unit="epoch", disable=not todo
    )
    pending = dict(enumerate(work.study.runs))

    def count_epoch() -> None:
        bar.update()

    def finish(segment: Segment) -> None:
        metadata = work.store.metadata(segment.end)
        # A run that ends early does not train all epochs.
        bar.total -= max(0, segment.stop - segment.first - (metadata["stop"] - metadata["first"]))
        announce()

    def announce() -> None:
        for number, run in list(pending.items()):
            if work.finished(number):
                if work.materialise(number):
                    bar.write(f"done    {run.name}{without_metric(work, number)}")
                del pending[number]

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
        announce()
        engine(todo, work.task, work.store, jobs, progress)
        announce()


def without_metric(work: StudyContext, number: int) -> str:
    """Report that a run has not logged the study's metric; "" if it has.

    With classes of the user's own, it only shows once they have logged.
    """
    metric = work.study.report.get("metric")
    if not metric:
        return ""
    logged = everything(work.folder(number))
    if metric in logged:
        return ""
    return (
        f"  warning: report: metric: {metric}: is not logged; "
        f"logged are {', '.join(sorted(logged))}"
    )


def damaged(work: StudyContext) -> Iterator[str]:
    """Yield a line for each state of the study that is incomplete, and so counts as untrained."""
    for state in dict.fromkeys(state for path in work.paths for state in path.states):
        if damage := work.store.damage(state):
            yield f"damaged {work.store.root / state}: {damage}; it is trained again"


def plan(work: StudyContext) -> str:
    """Print what would be trained, how the arms differ, and how each spends its rate."""
    lines = [summary(work, segments(work.paths, work.store), 1)]
    for run, path, config in zip(work.study.runs, work.paths, work.configs, strict=True):
        limit = "at most " if may_end_early(config) else ""
        epochs = f"{limit}{len(path.states) - 1} epochs"
        files = " ".join(file.name for file in run.configs)
        overrides = [f"{key}={json.dumps(value)}" for key, value in run.overrides.items()]
        note = (
            f"  shares nothing: {path.not_shareable_because}" if path.not_shareable_because else ""
        )
        lines.append(f"{run.name}  {epochs}  {files}  {'  '.join(overrides)}{note}")
    return "\n".join([*lines, *described(work)])


def summary(work: StudyContext, todo: list[Segment], jobs: int) -> str:
    """Return how much there is to train, and how long it will take as far as that is known."""
    # Epochs of all runs, epochs without those that are shared, and those that are missing.
    planned = sum(len(path.states) - 1 for path in work.paths)
    distinct = _epochs(segments(work.paths, EmptyStore()))
    limit = "at most " if any(map(may_end_early, work.configs)) else ""
    line = (
        f"{work.study.name}: {len(work.paths)} runs of {limit}{planned} epochs, {distinct} trained "
        f"({distinct / planned:.2f} of them)"
    )
    if not todo:
        return f"{line}; nothing is missing"
    missing = _epochs(todo)
    line += f"; missing are {missing} epochs in {len(todo)} segments"

    # The time that finished segments have taken gives an estimate.
    states = {state for path in work.paths for state in path.states if work.store.has_logs(state)}
    finished = [work.store.metadata(state) for state in states]
    trained = sum(entry["stop"] - entry["first"] for entry in finished)
    if trained:
        rate = sum(entry["seconds"] for entry in finished) / trained
        longest = max(epochs_to_follow(todo).values())
        line += f", about {rate * max(missing / jobs, longest) / 60:.1f} minutes"
    return line


def _epochs(parts: list[Segment]) -> int:
    return sum(segment.stop - segment.first for segment in parts)


def status(work: StudyContext) -> str:
    """Return how many runs are done, running, failed and waiting, and a line for each."""
    failures = {
        file.stem: f"{''.join(file.read_text().splitlines()[-1:])} ({file})"
        for file in (work.home / FAILED).glob("*.txt")
    }
    running = work.store.running()
    counts = dict.fromkeys(("done", "running", "failed", "waiting"), 0)
    lines = []
    for number, run in enumerate(work.study.runs):
        states = work.paths[number].states
        errors = [failures[state] for state in states if state in failures]
        reason = ""
        if work.finished(number):
            kind = "done"
        elif errors:
            kind, reason = "failed", f"  {errors[0]}"
        elif running & {*states}:
            kind = "running"
        else:
            kind = "waiting"
        counts[kind] += 1
        lines.append(f"{kind:8}{run.name}{reason}")
    return "\n".join([", ".join(f"{count} {kind}" for kind, count in counts.items()), *lines])


def gc(work: StudyContext) -> str:
    """Delete states that no missing segment of the study needs.

    A finished run's own last state stays in its directory.
    """
    needed = {segment.start for segment in segments(work.paths, work.store)}
    stored = {
        state for path in work.paths for state in path.states if work.store.has_checkpoint(state)
    }
    states = stored - needed
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
