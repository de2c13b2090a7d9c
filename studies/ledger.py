"""Claims of papers, and whether the finished studies show them: RESULTS.md."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from errors import UserError
from studies.agreement import agreements
from studies.measure import Difference, by_seed, check_metric, difference, read_over, scale, written
from studies.report import frame, origin, settings, write_report
from studies.work import Work

KEYS = {"id", "claim", "paper", "arm", "control", "expect", "within", "metric", "over", "control_over"}
EXPECT = ("lower", "higher", "same")
FIGURES = "docs/results"

HEAD = """# Results

What papers claim, and what comes out here: written by `python study.py report --ledger` from finished studies, never by hand.
A difference is the mean over pairs of runs with the same seed, with the 95 % interval of Student's t. *Reproduced*: the interval
lies on the side that the paper says (for "same": within the margin stated). *Contradicted*: it lies on the other side (for "same":
outside the margin). *Not seen at this scale*: neither.

| claim | paper | here: arm minus control | runs | verdict | study |
|---|---|---|---|---|---|
"""


def check_claims(work: Work) -> None:
    """Raise UserError for a claim that cannot be read, before anything is trained."""
    for claim in work.study.claims:
        if not isinstance(claim, dict):
            raise UserError(f"claims: {claim}: write keys and values")
        name = f"claims: {claim.get('id', '?')}"
        if unknown := set(claim) - KEYS:
            raise UserError(f"{name}: {sorted(unknown)[0]}: a claim has no such key; it has {', '.join(sorted(KEYS))}")
        if missing := {"id", "claim", "paper", "arm", "control", "expect"} - set(claim):
            raise UserError(f"{name}: {sorted(missing)[0]}: a claim needs it")
        if claim["expect"] not in EXPECT or (claim["expect"] == "same") != ("within" in claim):
            raise UserError(f"{name}: expect: write lower, higher, or same with within: (points)")
        for side in ("arm", "control"):
            seeds = _seeds(work, claim[side]) if isinstance(claim[side], dict) else []
            if not seeds:
                raise UserError(f"{name}: {side}: {claim[side]}: no run has these values")
            if len(set(seeds)) < len(seeds):
                raise UserError(f"{name}: {side}: {claim[side]}: several runs of one seed have these values; name more of them")
        check_metric(name, claim.get("metric", settings(work).metric), work.configs)
        for key in ("over", "control_over"):
            try:
                read_over(claim.get(key, "last epoch"))
            except UserError as error:
                raise UserError(f"{name}: {str(error).replace('over', key, 1)}") from None
        if not isinstance(claim.get("within", 0), int | float):
            raise UserError(f"{name}: within: {claim['within']}: write a number")


def verdict(gap: Difference, expect: str, within: float = 0) -> str:
    """Say what an interval of a paired difference says about a claim.

    Args:
        gap: the difference between arm and control.
        expect: `lower`, `higher` or `same`.
        within: for `same`, the largest difference that counts as none.
    """
    low, high = (-gap.high, -gap.low) if expect == "lower" else (gap.low, gap.high)
    if expect == "same":
        reproduced, contradicted = -within <= low and high <= within, low > within or high < -within
    else:
        reproduced, contradicted = low > 0, high < 0
    return "reproduced" if reproduced else "contradicted" if contradicted else "not seen at this scale"


def write_ledger(works: Sequence[Work], folder: Path) -> Path:
    """Write RESULTS.md and its figures, `docs/results/<study>.png`, for some studies, from what is done of them; return the file.

    Raises:
        UserError: if no claim can be told from it.
    """
    text = ledger(works)
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    for work in works:
        if f"{work.study.name}.png" in text:
            shutil.copy(write_report(work) / "figure.png", folder / FIGURES / f"{work.study.name}.png")
    (folder / "RESULTS.md").write_text(text)
    return folder / "RESULTS.md"


def ledger(works: Sequence[Work]) -> str:
    """Return the text of RESULTS.md.

    Raises:
        UserError: if no claim can be told from what is done.
    """
    rows, studies = [], []
    for work in works:
        chosen = settings(work)
        for claim in work.study.claims:
            metric = claim.get("metric", chosen.metric)
            over = claim.get("over", chosen.over)
            arm = _values(frame(work, metric, over), claim["arm"])
            control = _values(frame(work, metric, claim.get("control_over", over)), claim["control"])
            gap = difference(arm, control)
            if gap.pairs < 2:
                continue
            unit = "points of " if scale(metric) == 100 else ""
            moved, low, high = (written(value, metric, "+") for value in gap[:3])
            means = " against ".join(written(mean(side.values()), metric) for side in (arm, control))
            here = f"{moved} [{low}, {high}] {unit}{metric}, {means}"
            said = verdict(gap, claim["expect"], claim.get("within", 0))
            margin = f" (within {claim['within']})" if "within" in claim else ""
            rows.append(
                f"| **{claim['id']}** {claim['claim']} | {claim['paper']} | {here} | {gap.pairs} seeds | {said}{margin} "
                f"| [{work.study.name}](configs/studies/{work.study.file.name}) |"
            )
        if any(f"[{work.study.name}]" in row for row in rows):
            done = sum(work.finished(number) for number in range(len(work.study.runs)))
            on_top = "".join(f" --config {file.name}" for file in work.config)
            command = f"python study.py run configs/studies/{work.study.file.name}{on_top}"
            picture = f"![{work.study.name}]({FIGURES}/{work.study.name}.png)"
            said = f"`{command}`: {origin(work, done)}. {agreements(work)}".rstrip()
            studies.append(f"### {work.study.name}\n\n{said}\n\n{picture}")
    if not rows:
        raise UserError("ledger: no claim has two finished runs on both sides yet; train some: python study.py run STUDY.yaml")
    return HEAD + "\n".join(rows) + "\n\n## Studies\n\n" + "\n\n".join(studies) + "\n"


def _seeds(work: Work, values: dict[str, Any]) -> list[int]:
    return [run.values["seed"] for run in work.study.runs if all(run.values.get(key) == value for key, value in values.items())]


def _values(runs: Any, values: dict[str, Any]) -> dict[Any, float]:
    for key, value in values.items() if len(runs) else ():
        runs = runs[runs[key] == value]
    return by_seed(runs)
