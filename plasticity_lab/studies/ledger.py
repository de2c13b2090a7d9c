"""What papers claim and what came out here, of all studies: RESULTS.md."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.project import CONFIGS, ROOT
from plasticity_lab.studies import claim_table
from plasticity_lab.studies.censored import censored
from plasticity_lab.studies.claims import Claim, read_claims
from plasticity_lab.studies.forgetting_correlation import forgetting_correlations
from plasticity_lab.studies.origin import origin
from plasticity_lab.studies.phases import described
from plasticity_lab.studies.report import frame, markdown, table, write_report
from plasticity_lab.studies.settings import Settings, settings
from plasticity_lab.studies.stale import stale_words
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.study_file import Study, read_study
from plasticity_lab.studies.verdicts import NOT_RUN, VERDICTS, Outcome, adjusted, outcomes
from plasticity_lab.studies.wording import metric_words, note

MARK = "<!-- Written by study.py report --ledger; edits are lost. -->"

HEAD = """# Results

What papers claim, and what came out here: every claim of every study in `configs/studies`.

A difference is the mean over seeds of arm minus control, with Student's 95 % interval; "times" is \
the ratio of arm to
control. The interval is over seeds (initial weights, order, subset), not over the images of the \
test split.
* **reproduced**: the interval lies on the side that the paper says. **contradicted**: it lies on \
the other side; or
  it holds 0, but not the effect that the paper's would be in this study, where that is stated.
* **not after Holm**: the p-value adjusted for the number of directional claims on this page \
("p, Holm") is above .05.
  Such a verdict is an observation, not a test.
* **same within** a margin is two one-sided tests at 5 %: **reproduced** where the 90 % interval \
lies within the
  margin, **contradicted** where the 95 % interval lies outside. The effect that it is a matter of \
must be shown, and
  the margin be less than half of it.
* **too weak to tell**: none of these, with the number of seeds that tell with a probability of \
80 % if the difference
  is the one seen (or the paper's), where more seeds would tell. So is a claim of which a finished \
run has no value,
  such as a time that was never reached.
* "p, t" is Student's (of "same" the larger of both); "p, exact" flips the signs of the \
differences, which with n
  seeds gives no less than 2 / 2^n, and is done for up to 12; "80 %" is the smallest effect (of \
"same": margin) that
  so many seeds of this spread find with that probability. "6 of 8" seeds is a study that is not \
finished.
* A commit with "+" had uncommitted changes. **Stale**: code of theirs has changed since."""


def check_target(file: Path) -> None:
    """Raise UserError if a ledger must not be written to a file."""
    if file.suffix != ".md":
        raise UserError("ledger", value=file, problem="name the file to write, which ends in .md")
    if file.is_dir() or (file.exists() and MARK not in _first_lines(file)):
        raise UserError(
            "ledger",
            value=file,
            problem="was not written by the ledger, and is left alone",
            fix="name another file, or remove this one",
        )
    if not file.exists() and any(file.with_suffix("").glob("*.png")):
        raise UserError(
            "ledger",
            value=file,
            problem=f"its figures go into {file.with_suffix('')}, which holds others",
            fix="name another file",
        )


class Unopened(NamedTuple):
    """A study that has never been run."""

    file: Path
    name: str
    claims: list[Claim]


def all_studies(
    files: Sequence[Path], root: Path, opened: Callable[[Path], StudyContext]
) -> tuple[list[StudyContext], list[Unopened]]:
    """Return some studies and all that ship: those that have been run, opened, and the others.

    Args:
        files: the YAML files of studies.
        root: where runs are kept.
        opened: how a study is opened.
    """
    listed = {file.resolve() for file in files}
    shipped = [
        file
        for file in sorted((CONFIGS / "studies").glob("*.yaml"))
        if file.resolve() not in listed
    ]
    works: list[StudyContext] = []
    unopened: list[Unopened] = []
    for file in [*files, *shipped]:
        study = read_study(file)
        if (root / "studies" / study.name / "study.json").exists():
            works.append(opened(file))
        else:
            defaults = Settings._field_defaults | study.report
            claims = read_claims(study.claims, defaults["metric"], defaults["over"])
            unopened.append(Unopened(file, study.name, claims))
    return works, unopened


def write_ledger(works: Sequence[StudyContext], unopened: Sequence[Unopened], file: Path) -> None:
    """Write the outcome of all claims, with the figures of their studies beside the file.

    The folder of figures has the file's name.

    Args:
        works: studies that have been run.
        unopened: the others.
        file: to be written; links are relative to it.

    Raises:
        UserError: if the file is there and not a ledger, or cannot be written.
    """
    check_target(file)

    # P-values are adjusted for the claims of all studies together.
    all_outcomes = adjusted([outcome for work in works for outcome in outcomes(work)])
    remaining = iter(all_outcomes)
    sections: list[str] = []
    counts: list[str] = []
    figures: dict[Path, Path] = {}
    waiting = [*unopened]
    for work in works:
        study = work.study
        study_outcomes = [*islice(remaining, len(study.claims))]
        if all(outcome.verdict == NOT_RUN for outcome in study_outcomes):
            waiting.append(
                Unopened(study.file, study.name, [outcome.claim for outcome in study_outcomes])
            )
            continue
        figure = file.with_suffix("") / f"{study.name}.png"
        figures[figure] = write_report(work) / "figure.png"
        sections.append(_section(work, study_outcomes, file, figure))
        counts.append(_count(study, study_outcomes, file))

    text = [MARK, HEAD, _totals(all_outcomes, sum(len(study.claims) for study in unopened))]
    if counts:
        head = "| study | claims | " + " | ".join(VERDICTS) + " |"
        rule = "|---|" + "---|" * (1 + len(VERDICTS))
        text.append("\n".join([head, rule, *counts]))
    text += sections
    if not_run := "\n".join(_waiting(study, file) for study in waiting if study.claims):
        text += ["## Not run", not_run]

    try:
        for figure, drawn in figures.items():
            figure.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn, figure)
        file.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(file) as unfinished:
            unfinished.write_text("\n\n".join(text) + "\n")
    except OSError as error:
        raise UserError(
            "ledger", file, f"cannot be written: {error.strerror}", "name a file in another folder"
        ) from None


def _section(work: StudyContext, results: Sequence[Outcome], file: Path, figure: Path) -> str:
    """Return what came out of a study's claims."""
    chosen = settings(work)
    runs = frame(work, chosen.metric, chosen.over)

    # The command that trained it, what it was trained on, and what is compared.
    path = work.study.file
    if path.absolute().is_relative_to(ROOT):
        path = path.absolute().relative_to(ROOT)
    on_top = "".join(f" --config {config.name}" for config in work.study.config)
    words = metric_words(chosen.metric, work.opened.arms)
    comparison = ", ".join(
        filter(None, [words, chosen.over, note(chosen.metric, work.opened.arms)])
    )
    sentences = [
        f"`python study.py run {path}{on_top}`: {origin(work, len(runs))}.",
        f"Unless said otherwise: {comparison}.",
        forgetting_correlations(work),
        censored(work, chosen.metric),
        described(work.study),
        stale_words(work),
    ]

    title = f"## [{work.study.name}]({_link(work.study.file, file)})"
    claims = claim_table.table(work, results).rstrip()
    picture = f"![{work.study.name}]({_link(figure, file)})"
    rows = markdown(table(runs, chosen), chosen.metric)
    means = f"<details><summary>Means of all arms</summary>\n\n{rows}\n</details>"
    return "\n\n".join([title, " ".join(filter(None, sentences)), claims, picture, means])


def _totals(results: Sequence[Outcome], unopened: int) -> str:
    """Return how many claims came out how."""
    counts = Counter(outcome.verdict for outcome in results) + Counter({NOT_RUN: unopened})
    withdrawn = sum("not after Holm" in outcome.said for outcome in results)
    totals = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    return (
        f"{counts.total()} claims: {totals}. {withdrawn} of these verdicts do not stand after Holm."
    )


def _count(study: Study, results: Sequence[Outcome], file: Path) -> str:
    counts = Counter(outcome.verdict for outcome in results)
    cells = " | ".join(str(counts[verdict] or "") for verdict in VERDICTS)
    return f"| [{study.name}]({_link(study.file, file)}) | {len(results)} | {cells} |"


def _waiting(study: Unopened, file: Path) -> str:
    """Return a study's claims, folded."""
    rows = []
    for claim in study.claims:
        reported = f"; reported: {claim.reported}" if claim.reported else ""
        rows.append(f"* **{claim.id}** {claim.text} ({claim.paper}{reported})")
    name = f'<a href="{_link(study.file, file)}">{study.name}</a>'
    summary = f"<summary>{len(study.claims)} of {name}</summary>"
    return "\n\n".join([f"<details>{summary}", "\n".join(rows), "</details>"])


def _link(target: Path, file: Path) -> str:
    """Return a link relative to a file.

    Of a study outside this repository, the path that was given, if it is absolute.
    """
    if target.is_absolute() and not target.is_relative_to(ROOT) and target.suffix == ".yaml":
        return target.as_posix()
    return Path(os.path.relpath(target.absolute(), file.absolute().parent)).as_posix()


def _first_lines(file: Path) -> str:
    with file.open(errors="replace") as opened:
        return "".join(islice(opened, 3))
