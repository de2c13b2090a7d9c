"""Check shared training on this machine: train a run again, from scratch and alone."""

import random
import shutil

from plasticity_lab.errors import UserError
from plasticity_lab.studies.local_engine import run
from plasticity_lab.studies.metrics import everything
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import Progress
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.study_context import StudyContext


def verify(work: StudyContext, number: int | None = None) -> str:
    """Train a finished run again in one piece and compare; return its name.

    Args:
        work: the study.
        number: of the run; None chooses one at random.

    Raises:
        UserError: if none is finished, or any part of the state or any logged value differs.
    """
    done = [index for index in range(len(work.study.runs)) if work.finished(index)]
    if not done:
        raise UserError(
            "verify", problem=f"no run of {work.study.name} is done", fix="train some first"
        )
    chosen = random.choice(done) if number is None else number
    path, store = work.paths[chosen], Store(work.home / ".verify")
    shutil.rmtree(store.root, ignore_errors=True)
    last = len(path.states) - 1
    failures: list[str] = []
    whole = Segment(None, path.states[-1], 0, last, chosen, True, bool(path.alone))
    run(
        [whole],
        work.task,
        store,
        1,
        Progress(lambda: None, lambda segment: None, lambda segment, line: failures.append(line)),
    )
    name = work.study.runs[chosen].name
    if failures:
        raise UserError("verify", value=name, problem=failures[0])
    alone, shared = store.metadata(whole.end)["state"], work.store.metadata(whole.end)["state"]
    differ = [part for part in shared if shared[part] != alone[part]]
    logs, place = everything(work.folder(chosen)), store.root / whole.end
    differ += ["logged values"] * (logs != {**everything(place), **everything(place / "test")})
    if differ:
        raise UserError(
            "verify",
            name,
            (
                f"trained alone it has other {', '.join(differ)}: runs must not be shared on "
                "this device"
            ),
        )
    shutil.rmtree(store.root)
    return name
