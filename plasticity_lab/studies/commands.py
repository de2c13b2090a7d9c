"""What study.py does with a study."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from tqdm import tqdm

from plasticity_lab.errors import UserError
from plasticity_lab.studies.arms import described
from plasticity_lab.studies.epoch_signatures import may_end_early
from plasticity_lab.studies.files import write_whole
from plasticity_lab.studies.metrics import everything
from plasticity_lab.studies.plan import EmptyStore, Segment, epochs_to_follow, segments
from plasticity_lab.studies.scheduler import MakeTask, Progress
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.study_context import StudyContext

FAILED = "failed"


class Engine(Protocol):
    """What trains segments; see `studies.local_engine.run`."""

    def __call__(
        self, todo: list[Segment], make: MakeTask, store: Store, jobs: int, tell: Progress
    ) -> None:
        """Train them."""


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
            "config": [str(one) for one in work.config],
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
            fix="what is done is kept, run the same command again to continue",
        ) from error
    missing = [one.name for number, one in enumerate(work.study.runs) if not work.finished(number)]
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

    def one_epoch() -> None:
        bar.update()

    def finish(segment: Segment) -> None:
        done = work.store.metadata(segment.end)
        # A run that ends early leaves epochs out.
        bar.total -= max(0, segment.stop - segment.first - (done["stop"] - done["first"]))
        announce()

    def announce() -> None:
        for number, one in list(pending.items()):
            if work.finished(number):
                if work.materialise(number):
                    bar.write(f"done    {one.name}{without_metric(work, number)}")
                del pending[number]

    def on_failure(segment: Segment, said: str) -> None:
        (work.home / FAILED).mkdir(exist_ok=True)
        (work.home / FAILED / f"{segment.end}.txt").write_text(said)
        line = said.splitlines()[-1]
        bar.write(
            f"failed  epochs {segment.first} to {segment.stop} of "
            f"{work.study.runs[segment.run].name}: {line}"
        )

    with bar:
        announce()
        engine(todo, work.task, work.store, jobs, Progress(one_epoch, finish, on_failure))
        announce()


def without_metric(work: StudyContext, number: int) -> str:
    """Report that a run has not logged the study's metric; "" if it has.

    With classes of the user's own, it only shows once they have logged.
    """
    metric = work.study.report.get("metric")
    found = everything(work.folder(number)) if metric else {}
    if not metric or metric in found:
        return ""
    return (
        f"  warning: report: metric: {metric}: is not logged; logged are {', '.join(sorted(found))}"
    )


def damaged(work: StudyContext) -> Iterator[str]:
    """Yield a line for each state of the study that is incomplete, and so counts as untrained."""
    for state in dict.fromkeys(state for path in work.paths for state in path.states):
        if wrong := work.store.damage(state):
            yield f"damaged {work.store.root / state}: {wrong}; it is trained again"


def plan(work: StudyContext) -> str:
    """Print what would be trained, how the arms differ, and how each spends its rate."""
    lines = [summary(work, segments(work.paths, work.store), 1)]
    for one, path, config in zip(work.study.runs, work.paths, work.configs, strict=True):
        epochs = f"{'at most ' if may_end_early(config) else ''}{len(path.states) - 1} epochs"
        set_to = "  ".join(f"{key}={json.dumps(value)}" for key, value in one.overrides.items())
        alone = f"  shares nothing: {path.alone}" if path.alone else ""
        lines.append(
            f"{one.name}  {epochs}  {' '.join(file.name for file in one.configs)}  {set_to}{alone}"
        )
    return "\n".join([*lines, *described(work)])


def summary(work: StudyContext, todo: list[Segment], jobs: int) -> str:
    """Say how much there is to train, and how long it will take as far as that is known."""
    asked = sum(len(path.states) - 1 for path in work.paths)
    whole, missing = (
        sum(part.stop - part.first for part in parts)
        for parts in (segments(work.paths, EmptyStore()), todo)
    )
    limit = "at most " if any(map(may_end_early, work.configs)) else ""
    line = (
        f"{work.study.name}: {len(work.paths)} runs of {limit}{asked} epochs, {whole} trained "
        f"({whole / asked:.2f} of them)"
    )
    line += (
        f"; missing are {missing} epochs in {len(todo)} segments"
        if todo
        else "; nothing is missing"
    )
    states = {state for path in work.paths for state in path.states if work.store.has_logs(state)}
    done = [work.store.metadata(state) for state in states]
    if todo and done and (trained := sum(one["stop"] - one["first"] for one in done)):
        rate = sum(one["seconds"] for one in done) / trained
        longest = max(epochs_to_follow(todo).values())
        line += f", about {rate * max(missing / jobs, longest) / 60:.1f} minutes"
    return line


def status(work: StudyContext) -> str:
    """Say how far a study is."""
    failed = {
        file.stem: f"{''.join(file.read_text().splitlines()[-1:])} ({file})"
        for file in (work.home / FAILED).glob("*.txt")
    }
    running = work.store.running()
    lines, counts = [], dict.fromkeys(("done", "running", "failed", "waiting"), 0)
    for number, one in enumerate(work.study.runs):
        states = work.paths[number].states
        errors = [failed[state] for state in states if state in failed]
        kind = (
            "done"
            if work.finished(number)
            else "failed"
            if errors
            else "running"
            if running & {*states}
            else "waiting"
        )
        counts[kind] += 1
        lines.append(f"{kind:8}{one.name}{'  ' + errors[0] if kind == 'failed' else ''}")
    return "\n".join([", ".join(f"{count} {kind}" for kind, count in counts.items()), *lines])


def gc(work: StudyContext) -> str:
    """Delete states that no missing segment of the study needs.

    A finished run's own last state stays in its directory.
    """
    needed = {segment.start for segment in segments(work.paths, work.store)}
    states = {
        state for path in work.paths for state in path.states if work.store.has_checkpoint(state)
    } - needed
    freed = 0
    for state in states:
        file = work.store.checkpoint(state)
        freed += file.stat().st_size if file.stat().st_nlink == 1 else 0
        file.unlink()
    return (
        f"{len(states)} states dropped, {freed / 1e6:.0f} MB freed; {len(needed - {None})} kept "
        "for what is missing"
    )
