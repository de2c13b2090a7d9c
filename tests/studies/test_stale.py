"""Results of code that has changed since."""

import json
from pathlib import Path

from plasticity_lab.studies.ledger import write_ledger
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.stale import changed_code
from plasticity_lab.studies.study_context import StudyContext
from tests.studies.finished import done

WARM = "datamodules.UniformGrowth"


def opened() -> StudyContext:
    return open_study(Path("small.yaml"), Path("runs").absolute(), trust_code=True)


def edit(*names: str) -> None:
    """Let the code of some classes have been another when the study was run."""
    file = Path("runs/studies/small/study.json")
    entry = json.loads(file.read_text())
    code = entry["code_of_classes"]
    for names_of_hash in code:
        if {*names} & {*names_of_hash.split()}:
            code[names_of_hash] = "older"
    file.write_text(json.dumps(entry))


def test_nothing_is_stale_as_long_as_no_code_changes() -> None:
    done()
    assert changed_code(opened()) == []


def test_only_the_class_whose_code_has_changed_is_named() -> None:
    done()
    edit(WARM)
    assert changed_code(opened()) == [WARM]


def test_the_ledger_says_so() -> None:
    done()
    write_ledger([opened()], [], Path("fresh.md"))
    assert "the code of" not in Path("fresh.md").read_text()
    edit(WARM)
    work = opened()
    for number, path in enumerate(work.paths):
        (work.folder(number) / "run.json").write_text(json.dumps({"state": path.states[-1]}))
    write_ledger([work], [], Path("stale.md"))
    assert "**Stale**: the code of UniformGrowth has changed since; the same command trains" in (
        Path("stale.md").read_text()
    )
