"""Whether the seeds of a study forget the same examples."""

from contextlib import suppress

import pandas as pd

from callbacks.diagnostics.forgetting_agreement import agreement, read
from errors import UserError
from studies.work import Work


def agreements(work: Work) -> str:
    """Say how alike the forgetting events of an arm's seeds are, where `callbacks.Forgetting` has counted them; else nothing."""
    arms: dict[str, list[pd.DataFrame]] = {}
    for number, run in enumerate(work.study.runs):
        if work.assembled(number) and (work.folder(number) / "forgetting.csv").exists():
            arm = ", ".join(f"{name} {value}" for name, value in run.values.items() if name != "seed") or "all"
            arms.setdefault(arm, []).append(read(work.folder(number)))
    found = []
    for arm, tables in arms.items():
        with suppress(UserError):  # of other data each
            found += [f"{arm}: {agreement(tables):.2f}"] if len(tables) > 1 else []
    return f"Forgetting events of two seeds correlate (Pearson, mean over pairs) with {'; '.join(found)}." if found else ""
