"""A figure's worth of runs from one YAML file, every epoch that runs share trained once."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from plasticity_lab.errors import UserError
from plasticity_lab.project import ROOT, find_own_classes
from plasticity_lab.runs.command_line import (
    CommandParser,
    called,
    errors_in_one_line,
    program,
    silence_known_warnings,
)
from plasticity_lab.studies import claim_table, commands, local_engine
from plasticity_lab.studies.dry_run import check_arms
from plasticity_lab.studies.ledger import all_studies, check_target, write_ledger
from plasticity_lab.studies.readings import check_claims
from plasticity_lab.studies.report import write_report
from plasticity_lab.studies.study_context import StudyContext, open_study
from plasticity_lab.studies.verdicts import outcomes
from plasticity_lab.studies.verify import verify
from plasticity_lab.studies.workers import PATIENCE

COMMANDS = {
    "run": "train what is missing, and report",
    "plan": "print what would be trained",
    "status": "print what is done, running, failed, waiting",
    "verify": "train a finished run again from scratch, and compare to the bit",
    "gc": "drop states that no missing segment needs",
    "report": "table, figure, verdicts on claims and a page of all, of what is done",
}

EXAMPLES = """examples:
  {program} plan configs/studies/digits_blur_removal.yaml
  {program} run configs/studies/digits_blur_removal.yaml --jobs 2
  {program} run configs/studies/cifar10_16_fisher.yaml --config folder.yaml
  {program} report configs/studies/*.yaml --ledger RESULTS.md

`{program} COMMAND --help` shows what a command takes."""

RUN = f"""run may be started several times at once, also for studies that share runs: each
segment is trained by one of them. A worker of the local engine that has computed nothing for
{PATIENCE / 60:.0f} minutes, because it is stopped or waits for ever, is ended, and its segment is
trained once more."""


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
            engines = command.add_argument_group("where segments are trained")
            engines.add_argument(
                "--jobs", type=int, default=1, help="segments trained at once (default: 1)"
            )
            engines.add_argument(
                "--engine",
                choices=["local", "ray"],
                default="local",
                help="this machine, or a Ray cluster",
            )
            engines.add_argument(
                "--address",
                default=None,
                help="ray: the cluster's, by default a new one on this machine",
            )
            engines.add_argument(
                "--gpus", type=float, default=0.0, help="ray: share of a GPU for each segment"
            )
        if name == "report":
            command.add_argument(
                "--ledger",
                type=Path,
                metavar="FILE.md",
                help="the claims of all studies into a file",
            )
    return main_parser


def run_command(options: argparse.Namespace) -> int:
    """Carry out a command; return the exit code."""
    for name in ("jobs", "threads"):
        if getattr(options, name, 1) < 1:
            raise UserError(name, value=getattr(options, name), fix="set 1 or more")
    files = [file if file.exists() else ROOT / file for file in options.study]
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
        check_target(options.ledger)
        write_ledger(*all_studies(files, root, opened), options.ledger)
        print(options.ledger)
        return 0
    works = [opened(file) for file in files]
    for work in works:
        check_claims(work)
    if options.command == "run":
        return _run(works, options)
    for work in works:
        if options.command == "report":
            _report(work)
        elif options.command == "verify":
            print(f"{verify(work)}: trained alone it is bitwise the same")
        else:
            print(getattr(commands, options.command)(work))
    return 0


def _run(works: Sequence[StudyContext], options: argparse.Namespace) -> int:
    """Train what is missing of studies, and report; return the exit code."""
    train: commands.Engine = local_engine.run
    if options.engine == "ray":
        from plasticity_lab.studies import ray_engine

        train = partial(ray_engine.run, address=options.address, gpus=options.gpus)
    for work in works:
        check_arms(work)
    missing = 0
    for work in works:
        missing += len(commands.run(work, options.jobs, train))
        if any(map(work.is_materialised, range(len(work.study.runs)))):
            _report(work)
    return 1 if missing else 0


def _report(work: StudyContext) -> None:
    """Write table and figure of a study; print the table, and verdicts on its claims."""
    folder = write_report(work)
    print((folder / "table.md").read_text())
    for outcome in outcomes(work):
        print(claim_table.line(work, outcome))
    print(f"{folder}/figure.png\n{folder}/index.html")


def main(args: Sequence[str] | None = None) -> None:
    """Run a command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    find_own_classes()
    with errors_in_one_line(program("study.py")):
        raise SystemExit(run_command(parser().parse_args(args)))
