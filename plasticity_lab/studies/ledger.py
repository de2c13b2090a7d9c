"""What papers claim and what came out here, of all studies: RESULTS.md."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.project import ROOT
from plasticity_lab.studies import claim_table
from plasticity_lab.studies.censored import censored
from plasticity_lab.studies.forgetting_correlation import forgetting_correlations
from plasticity_lab.studies.ledger_record import Record, read_record, write_record
from plasticity_lab.studies.ledger_studies import Unopened, unopened_study
from plasticity_lab.studies.origin import origin
from plasticity_lab.studies.phases import described
from plasticity_lab.studies.report import frame, markdown, table, write_report
from plasticity_lab.studies.settings import settings
from plasticity_lab.studies.stale import stale_words
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.study_file import read_study
from plasticity_lab.studies.verdicts import (
    NOT_RUN,
    VERDICTS,
    Outcome,
    adjusted_values,
    is_withdrawn,
    outcomes,
)
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
* A commit with "+" had uncommitted changes. **Stale**: code of theirs had changed when they were
  last reported. **Changed**: its runs, readings or claims are others now."""


CHANGED = (
    "**Changed**: runs, readings or claims of the study are others now; the same command trains "
    "what is missing."
)


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
    kept = [*file.with_suffix("").glob("*.png"), *file.with_suffix("").glob("*.json")]
    if not file.exists() and kept:
        raise UserError(
            "ledger",
            value=file,
            problem=f"its figures and outcomes go into {file.with_suffix('')}, which holds others",
            fix="name another file",
        )


class Entry(NamedTuple):
    """A study that has been run, here or elsewhere."""

    file: Path
    name: str
    record: Record


def write_ledger(works: Sequence[StudyContext], unopened: Sequence[Unopened], file: Path) -> None:
    """Write the outcome of all claims.

    A folder with the file's name keeps the figure and the outcome of each study (as PNG and JSON).
    From there comes a study that has not been run here, or of whose runs fewer are finished here.

    Args:
        works: studies that have been run.
        unopened: the others.
        file: to be written; links are relative to it.

    Raises:
        UserError: if the file is there and not a ledger, or cannot be written.
    """
    check_target(file)
    folder = file.with_suffix("")
    entries: list[Entry] = []
    written: list[tuple[Entry, Path]] = []
    waiting: list[Unopened] = []
    for work in works:
        study, results = unopened_study(read_study(work.study.file)), outcomes(work)
        if all(outcome.verdict == NOT_RUN for outcome in results):
            unopened = [*unopened, study]
            continue
        here = _record(work, results, study.design)
        kept = read_record(folder / f"{study.name}.json", study.claims)
        if kept and kept.design == here.design and kept.runs > here.runs:
            entries.append(Entry(study.file, study.name, kept))
        else:
            entries.append(Entry(study.file, study.name, here))
            written.append((entries[-1], write_report(work) / "figure.png"))
    for study in unopened:
        if kept := read_record(folder / f"{study.name}.json", study.claims):
            if kept.design not in ("", study.design):
                kept = kept._replace(text=f"{kept.text} {CHANGED}")
            entries.append(Entry(study.file, study.name, kept))
        else:
            waiting.append(study)

    names = {entry.name for entry in entries} | {study.name for study in waiting}
    others = sorted(path for path in folder.glob("*.json") if path.stem not in names)
    entries.sort(key=lambda entry: entry.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for entry, figure in written:
            folder.mkdir(exist_ok=True)
            shutil.copy(figure, folder / f"{entry.name}.png")
            write_record(entry.record, folder / f"{entry.name}.json")
        text = "\n\n".join(_parts(entries, waiting, others, file))
        with write_atomically(file) as unfinished:
            unfinished.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise UserError(
            "ledger", file, f"cannot be written: {error.strerror}", "name a file in another folder"
        ) from None


def _parts(
    entries: Sequence[Entry], waiting: Sequence[Unopened], others: Sequence[Path], file: Path
) -> list[str]:
    """Return the paragraphs of a ledger.

    Args:
        entries: studies that have been run.
        waiting: the others.
        others: files of studies that are not among these.
        file: the ledger.
    """
    # P-values are adjusted for the claims of all studies together.
    adjusted = iter(adjusted_values([row.tested for entry in entries for row in entry.record.rows]))
    of_entries = [[*islice(adjusted, len(entry.record.rows))] for entry in entries]

    not_run = sum(len(study.claims) for study in waiting)
    parts = [MARK, HEAD, _totals(entries, of_entries, not_run)]
    if entries:
        head = "| study | claims | " + " | ".join(VERDICTS) + " |"
        rule = "|---|" + "---|" * (1 + len(VERDICTS))
        parts.append("\n".join([head, rule, *(_count(entry, file) for entry in entries)]))
    parts += [_section(*one, file) for one in zip(entries, of_entries, strict=True)]
    if claims := "\n".join(_waiting(study, file) for study in waiting if study.claims):
        parts += ["## Not run", claims]
    if others:
        links = ", ".join(f"[{path.stem}]({_link(path, file)})" for path in others)
        parts += [f"Kept, and of no study above: {links}."]
    return parts


def _record(work: StudyContext, results: Sequence[Outcome], design_hash: str) -> Record:
    """Return what came out of a study."""
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
    return Record(
        design=design_hash,
        runs=len(runs),
        text=" ".join(filter(None, sentences)),
        rows=[claim_table.row(work, outcome) for outcome in results],
        means=markdown(table(runs, chosen), chosen.metric),
    )


def _section(entry: Entry, adjusted: Sequence[float | None], file: Path) -> str:
    """Return what came out of a study's claims."""
    title = f"## [{entry.name}]({_link(entry.file, file)})"
    claims = claim_table.table(entry.record.rows, adjusted).rstrip()
    figure = file.with_suffix("") / f"{entry.name}.png"
    picture = f"![{entry.name}]({_link(figure, file)})" if figure.exists() else ""
    means = f"<details><summary>Means of all arms</summary>\n\n{entry.record.means}\n</details>"
    return "\n\n".join(filter(None, [title, entry.record.text, claims, picture, means]))


def _totals(
    entries: Sequence[Entry], adjusted: Sequence[Sequence[float | None]], not_run: int
) -> str:
    """Return how many claims came out how."""
    rows = [row for entry in entries for row in entry.record.rows]
    counts = Counter(row.verdict for row in rows) + Counter({NOT_RUN: not_run})
    values = [value for of_study in adjusted for value in of_study]
    withdrawn = sum(is_withdrawn(row.p, value) for row, value in zip(rows, values, strict=True))
    totals = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    return (
        f"{counts.total()} claims: {totals}. {withdrawn} of these verdicts do not stand after Holm."
    )


def _count(entry: Entry, file: Path) -> str:
    counts = Counter(row.verdict for row in entry.record.rows)
    cells = " | ".join(str(counts[verdict] or "") for verdict in VERDICTS)
    return f"| [{entry.name}]({_link(entry.file, file)}) | {counts.total()} | {cells} |"


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
