"""Whether the seeds of a study forget the same examples."""

from contextlib import suppress
from pathlib import Path

from plasticity_lab.analysis.forgetting_agreement import agreement, read
from plasticity_lab.errors import UserError
from plasticity_lab.studies.study_context import StudyContext


def forgetting_correlations(work: StudyContext) -> str:
    """Describe how alike an arm's seeds rank their common examples by forgetting.

    Empty unless `callbacks.Forgetting` counted.
    """
    arms: dict[str, list[Path]] = {}
    for number, run in enumerate(work.study.runs):
        if work.is_materialised(number) and (work.folder(number) / "forgetting.csv").exists():
            variables = [f"{name} {value}" for name, value in run.values.items() if name != "seed"]
            arms.setdefault(", ".join(variables) or "all", []).append(work.folder(number))
    correlations = []
    for arm, folders in arms.items():
        if len(folders) < 2:
            continue
        # Some arms have tables that cannot be compared.
        with suppress(UserError):
            ranks, _ = agreement([read(folder) for folder in folders])
            correlations.append(f"{arm}: {ranks:.2f}")
    if not correlations:
        return ""
    return (
        "By forgetting, two seeds rank the examples that both had under their own labels alike "
        f"(Spearman's correlation, mean over pairs): {'; '.join(correlations)}."
    )
