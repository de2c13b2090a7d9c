"""Check shared training on this machine: train a run again, from scratch and alone."""

import random
import shutil

from plasticity_lab.errors import UserError
from plasticity_lab.studies.local_engine import run
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scalars import joined, read_all
from plasticity_lab.studies.scheduler import Progress
from plasticity_lab.studies.store import TEST, Store
from plasticity_lab.studies.study_context import StudyContext


def verify(work: StudyContext, number: int | None = None) -> str:
    """Train a finished run again in one piece and compare; return its name.

    Args:
        work: the study.
        number: of the run; None chooses one at random.

    Raises:
        UserError: if none is finished, or any part of the state or any logged value differs.
    """
    finished = work.finished()
    if not finished:
        raise UserError(
            "verify", problem=f"no run of {work.study.name} is done", fix="train some first"
        )
    chosen = random.choice(finished) if number is None else number
    name = work.study.runs[chosen].name
    path = work.paths[chosen]

    # Train it in one piece, in a store of its own.
    store = Store(work.home / ".verify")
    shutil.rmtree(store.root, ignore_errors=True)
    full_run = Segment(
        start=None,
        end=path.states[-1],
        first=0,
        stop=len(path.states) - 1,
        run=chosen,
        test=True,
        whole=bool(path.not_shareable_because),
    )
    failures: list[str] = []
    progress = Progress(
        epoch=lambda: None,
        finished=lambda segment: None,
        failed=lambda segment, output: failures.append(output),
    )
    run([full_run], work.task, store, 1, progress)
    if failures:
        raise UserError("verify", value=name, problem=failures[0])

    # Compare the last state and all logged values.
    retrained_hashes = store.metadata(full_run.end)["state"]
    stored_hashes = work.store.metadata(full_run.end)["state"]
    differ = [part for part in stored_hashes if stored_hashes[part] != retrained_hashes[part]]
    place = store.root / full_run.end
    if read_all(work.folder(chosen)) != joined([place, place / TEST]):
        differ.append("logged values")
    if differ:
        raise UserError(
            "verify",
            value=name,
            problem=(
                f"trained alone it has other {', '.join(differ)}: runs must not be shared on "
                "this device"
            ),
        )
    shutil.rmtree(store.root)
    return name
