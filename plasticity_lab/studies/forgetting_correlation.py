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
            arm = (
                ", ".join(f"{name} {value}" for name, value in run.values.items() if name != "seed")
                or "all"
            )
            arms.setdefault(arm, []).append(work.folder(number))
    found = []
    for arm, folders in arms.items():
        # Some arms have tables that cannot be compared.
        with suppress(UserError):
            found += (
                [f"{arm}: {agreement([read(folder) for folder in folders])[0]:.2f}"]
                if len(folders) > 1
                else []
            )
    if not found:
        return ""
    return (
        "By forgetting, two seeds rank the examples that both had under their own labels alike "
        f"(Spearman's correlation, mean over pairs): {'; '.join(found)}."
    )
