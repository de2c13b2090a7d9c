"""How each arm of a study differs from its control, and spends its learning rate."""

from collections.abc import Iterator

from plasticity_lab.errors import UserError
from plasticity_lab.studies.arms import arms
from plasticity_lab.studies.budget import lines
from plasticity_lab.studies.budget_schedule import scheduled
from plasticity_lab.studies.differences import differences
from plasticity_lab.studies.dry_run import build
from plasticity_lab.studies.study_context import StudyContext


def described(work: StudyContext) -> Iterator[str]:
    """Yield how each arm differs from its control, a line for each key, and its budget.

    The budget is that of `studies.budget`.
    """
    listed = arms(work)
    names = {arm.run: arm.name for arm in listed}
    for arm in listed:
        against = f", against {names[arm.control]}" if arm.control is not None else ""
        yield f"{arm.name}{against}:"
        if arm.control is not None:
            old, new = (work.opened.config_of_arm(number) for number in (arm.control, arm.run))
            yield from (f"    {line}" for line in differences(old, new))
        try:
            built = build(work, arm.run)
            budget = scheduled(built.trainer, built.model)
            yield from (f"    {line}" for line in lines(budget, built.trainer.max_epochs or 0))
        except UserError as error:
            yield f"    {error}"
