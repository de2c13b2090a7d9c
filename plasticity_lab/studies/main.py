"""A figure's worth of runs from one YAML file, every epoch that runs share trained once."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from plasticity_lab.command_line import CommandParser, called, errors_in_one_line, program
from plasticity_lab.errors import UserError
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.project import ROOT, find_own_classes
from plasticity_lab.studies import commands, engines
from plasticity_lab.studies.open_study import open_provisional, open_study, reopen_study
from plasticity_lab.studies.readings import check_claims
from plasticity_lab.studies.scheduler import PATIENCE
from plasticity_lab.studies.study_context import StudyContext

WATCH = 30
"""Seconds between the reports of a study that is watched."""

COMMANDS = {
    "run": "train what is missing, and report",
    "plan": "print what would be trained",
    "status": "print what is done, running, failed, waiting",
    "verify": "train a finished run again from scratch, and compare to the bit",
    "gc": "drop states that no missing segment needs",
    "report": "table, figure, verdicts on claims and a page of all, of what is done",
    "export": "all numbers of what is done as one tidy table, CSV or Parquet",
}

EXAMPLES = """examples:
  {program} plan configs/studies/digits_blur_removal.yaml
  {program} run configs/studies/digits_blur_removal.yaml --jobs 2
  {program} run configs/studies/cifar10_16_fisher.yaml --config folder.yaml
  {program} report configs/studies/*.yaml --ledger RESULTS.md

`{program} COMMAND --help` shows what a command takes."""

RUN = f"""run may be started several times at once, also for studies that share runs: each
segment is trained by one of them. A process that has computed nothing for {PATIENCE / 60:.0f}
minutes (--patience), because it is stopped or waits for ever, is ended. A segment is tried again as
its end allows: killed, 3 times more; out of memory, once more and alone; hung or failed, once
more; a mistake or a loss that is not finite, not at all."""


def parser() -> CommandParser:
    """Return the command line's parser."""
    raw = argparse.RawDescriptionHelpFormatter
    examples = EXAMPLES.format(program=called("study.py"))
    main_parser = CommandParser(
        prog=program("study.py"),
        description=__doc__,
        epilog=examples,
        formatter_class=raw,
        allow_abbrev=False,
    )
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, description in COMMANDS.items():
        epilog = RUN if name == "run" else None
        command = commands.add_parser(
            name,
            help=description,
            description=f"{description}.",
            epilog=epilog,
            formatter_class=raw,
            allow_abbrev=False,
        )
        command.add_argument(
            "study", type=Path, nargs="+", help="YAML files, as in configs/studies"
        )
        command.add_argument(
            "--config",
            type=Path,
            action="append",
            default=[],
            help="a file on top for every run, such as folder.yaml",
        )
        command.add_argument(
            "--root", type=Path, default=Path("runs"), help="where runs are kept (default: runs)"
        )
        command.add_argument(
            "--threads",
            type=int,
            default=1,
            help="threads of torch in each job; other numbers give other bits",
        )
        command.add_argument(
            "--share",
            choices=["true", "false"],
            default="true",
            help="false: train every run alone",
        )
        if name in ("run", "plan"):
            command.add_argument(
                "--trust_code",
                action="store_true",
                help="treat segments trained with older code as valid: this project's, your own, "
                "and installed packages' other than torch, torchvision, Lightning, torchmetrics, "
                "NumPy and Pillow",
            )
        if name == "run":
            engines.add_options(command)
        if name == "report":
            command.add_argument(
                "--watch",
                action="store_true",
                help=f"every {WATCH} seconds, until all runs are done; the page reloads itself",
            )
            command.add_argument(
                "--ledger",
                type=Path,
                metavar="FILE.md",
                help="the claims of all studies into a file",
            )
        if name == "export":
            command.add_argument(
                "--to",
                type=Path,
                required=True,
                metavar="FILE",
                help="the file to write, which ends in .csv or .parquet",
            )
    return main_parser


def run_command(options: argparse.Namespace) -> int:
    """Carry out a command; return the exit code."""
    if options.threads < 1:
        raise UserError("threads", value=options.threads, fix="set 1 or more")
    if options.command == "run":
        engines.check_options(options)
    files = [file for given in options.study for file in _found(given)]
    root = options.root.absolute()

    def opened(file: Path) -> StudyContext:
        return open_study(
            file,
            root,
            threads=options.threads,
            share=options.share == "true",
            trust_code=getattr(options, "trust_code", True),
            fetch=options.command in ("run", "verify"),
            config=options.config,
        )

    if options.command == "report" and options.ledger:
        from plasticity_lab.studies.ledger import check_target, write_ledger
        from plasticity_lab.studies.ledger_studies import all_studies

        check_target(options.ledger)
        write_ledger(*all_studies(files, root, opened), options.ledger)
        print(options.ledger)
        return 0
    if options.command == "run" and _nothing_to_do(files, root, options):
        return 0
    if options.command == "export":
        _export(files, opened, options.to)
        return 0
    if options.command == "run":
        return _run(files, opened, options)
    if options.command == "report" and options.watch:
        _watch(files, opened)
    works = [opened(file) for file in files]
    for work in works:
        check_claims(work)
    if options.command == "plan" and len(works) > 1:
        print(commands.total(works, 1))
    for work in works:
        if options.command == "report":
            _report(work)
        elif options.command == "verify":
            from plasticity_lab.studies.verify import verify

            print(f"{verify(work)}: trained alone it is bitwise the same")
        else:
            print(getattr(commands, options.command)(work))
    return 0


def _found(file: Path) -> list[Path]:
    """Return the files that one of the command line names, here or in the installed project.

    It may be a pattern, for shells that do not expand it, and where the project is installed.
    """
    for folder in (Path(), ROOT):
        if (folder / file).exists():
            return [folder / file]
        if not file.is_absolute() and (found := sorted(folder.glob(str(file)))):
            return found
    return [ROOT / file]


def _export(files: Sequence[Path], opened: Callable[[Path], StudyContext], target: Path) -> None:
    """Write the numbers of studies into one file."""
    # Only here, as it imports pandas.
    import pandas as pd

    from plasticity_lab.studies.frames import check_frame_file, study_frame, write_frame

    check_frame_file(target)
    frame = pd.concat([study_frame(opened(file)) for file in files], ignore_index=True)
    if frame.empty:
        problem = "no run is done" if len(files) == 1 else "no run of any of these studies is done"
        raise UserError("export", problem=problem, fix="train some first")
    write_frame(frame, target)
    print(f"{target}: {len(frame)} values")


def _nothing_to_do(files: Sequence[Path], root: Path, options: argparse.Namespace) -> bool:
    """Whether all studies are as they were opened last, and complete; then report them.

    So a run of what is done starts at once.
    """
    share, trust = options.share == "true", options.trust_code
    works: list[StudyContext] = []
    for file in files:
        work = reopen_study(file, root, options.threads, share, trust, options.config)
        if work is None or not commands.is_complete(work):
            return False
        works.append(work)
    for work in works:
        check_claims(work)
        commands.report_complete(work)
        _report(work)
    return True


def _run(
    files: Sequence[Path], opened: Callable[[Path], StudyContext], options: argparse.Namespace
) -> int:
    """Train what is missing of studies, and report; return the exit code."""
    # Only here, as it imports torch and Lightning.
    from plasticity_lab.studies.dry_run import check_arms

    train = engines.chosen_engine(options)
    works = [opened(file) for file in files]
    for file, work in zip(files, works, strict=True):
        check_claims(work)
        check_arms(work)
        if work.study.comes_before:
            later = open_provisional(file, options.root.absolute(), options.config)
            check_claims(later)
            check_arms(later)
    if len(works) > 1:
        print(commands.total(works, options.jobs))
    missing = 0
    for file, first in zip(files, works, strict=True):
        work = first
        missing_runs = commands.run(work, options.jobs, train)
        while work.study.comes_before:
            # What has been trained, or chosen, decides the runs of the study after it.
            following = opened(file)
            if following.study.name == work.study.name:
                break
            _report(work)
            work = following
            check_claims(work)
            check_arms(work)
            missing_runs = commands.run(work, options.jobs, train)
        missing += len(missing_runs)
        if any(map(work.is_materialised, range(len(work.study.runs)))):
            _report(work)
    return 1 if missing else 0


def _report(work: StudyContext) -> None:
    """Write table and figure of a study; print the table, and verdicts on its claims."""
    # Only here, as they import pandas, SciPy and what draws.
    from plasticity_lab.studies import claim_table
    from plasticity_lab.studies.report import write_report
    from plasticity_lab.studies.verdicts import outcomes

    folder = write_report(work)
    print((folder / "table.md").read_text())
    for outcome in outcomes(work):
        print(claim_table.line(work, outcome))
    print(f"{folder}/figure.png\n{folder}/index.html")


def _watch(files: Sequence[Path], opened: Callable[[Path], StudyContext]) -> None:
    """Write the reports of studies again and again, until all of their runs are done."""
    from plasticity_lab.studies.report import write_report

    complete = False
    while not complete:
        works = [opened(file) for file in files]
        for work in works:
            check_claims(work)
            if any(map(work.is_materialised, range(len(work.study.runs)))):
                print(f"{write_report(work, WATCH)}/index.html", end="  ")
            print(f"{work.study.name}: {commands.status(work).splitlines()[0]}", flush=True)
        complete = all(commands.is_complete(work) and not work.study.comes_before for work in works)
        if not complete:
            time.sleep(WATCH)


def main(args: Sequence[str] | None = None) -> None:
    """Run a command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    find_own_classes()
    with errors_in_one_line(program("study.py")):
        raise SystemExit(run_command(parser().parse_args(args)))
