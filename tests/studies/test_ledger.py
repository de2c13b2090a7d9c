"""What papers claim, and what came out of all studies, in one file."""

import re
from pathlib import Path

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies.claim_table import Row, title
from plasticity_lab.studies.claims import read_claims
from plasticity_lab.studies.ledger import MARK, check_target, write_ledger
from plasticity_lab.studies.ledger_record import Record, read_record, write_record
from plasticity_lab.studies.ledger_studies import Unopened, all_studies, unopened_study
from plasticity_lab.studies.main import main
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.study_file import read_study
from tests.runs import REPOSITORY
from tests.studies.finished import CLAIM, done

OTHER = Unopened(
    REPOSITORY / "configs/studies/digits_stages.yaml",
    "digits-stages",
    read_claims([{**CLAIM, "reported": "all fall"}], "", "first"),
)


def links(file: Path) -> list[str]:
    return re.findall(r'(?:\]\(|href=")([^)"]+)', file.read_text())


def test_a_ledger_has_every_claim_and_links_that_lead_somewhere() -> None:
    work, file = done(), Path("notes/mine.md")
    write_ledger([work], [OTHER], file)
    text = file.read_text()
    assert text.startswith(MARK)
    assert (
        "2 claims: 0 reproduced, 0 contradicted, 1 too weak to tell, 1 not run. 0 of these "
        "verdicts do not stand after Holm."
    ) in text
    assert "| **B1** c<br>P 2020, §1 |  | -7.50 [" in text
    assert "* **B1** c (P 2020, §1; reported: all fall)" in text
    assert "`python study.py run small.yaml`: " in text
    assert "commits 0123456, 0123456+" in text
    assert "Unless said otherwise: test accuracy, last epoch, val split = test split." in text
    assert (file.parent / "mine/small.png").read_bytes() == (
        work.home / "report/figure.png"
    ).read_bytes()
    assert len(links(file)) == 4, "of the study, twice, its figure, and the other study"
    assert all((file.parent / link).exists() for link in links(file)), links(file)


def test_a_study_that_was_run_elsewhere_stays_with_its_claims() -> None:
    work, file = done(), Path("mine.md")
    write_ledger([work], [OTHER], file)
    text = file.read_text()
    elsewhere = unopened_study(read_study(Path("small.yaml")))
    write_ledger([], [OTHER, elsewhere], file)
    assert file.read_text() == text

    # A claim that was not tested there is not run, and one of other runs is marked.
    (claim,) = elsewhere.claims
    more = elsewhere._replace(claims=[claim._replace(text="another"), claim], design="other")
    write_ledger([], [OTHER, more], file)
    text = file.read_text()
    assert "3 claims: 0 reproduced, 0 contradicted, 1 too weak to tell, 2 not run." in text
    assert text.count("**Changed**: runs, readings or claims of the study are others now") == 1

    # Nothing is lost without a word.
    write_ledger([], [OTHER, elsewhere._replace(name="renamed")], file)
    assert "Kept, and of no study above: [small](mine/small.json)." in file.read_text()

    Path("mine/small.json").write_text('{"text": ""}')
    with pytest.raises(
        UserError, match=r"ledger: mine/small.json: is not what a ledger keeps of a study; restore"
    ):
        write_ledger([], [OTHER, elsewhere], file)


def test_fewer_runs_do_not_replace_more() -> None:
    work, file, kept = done(), Path("mine.md"), Path("mine/small.json")
    write_ledger([work], [], file)
    record = read_record(kept, unopened_study(read_study(Path("small.yaml"))).claims)
    assert record is not None
    for runs, text in ((record.runs + 1, "more runs"), (record.runs - 1, "fewer runs")):
        write_record(record._replace(runs=runs, text=text), kept)
        write_ledger([work], [], file)
        assert (text in file.read_text()) == (runs > record.runs)


def test_p_values_are_adjusted_for_the_claims_of_studies_run_elsewhere_too() -> None:
    work, file = done(), Path("mine.md")
    row = Row(
        title=title(OTHER.claims[0]),
        reported="",
        result="-1.00",
        expected="",
        verdict="reproduced",
        because="",
        seeds="5",
        p=0.03,
        exact=None,
        directional=True,
        smallest="",
    )
    write_ledger([], [], file)
    Path("mine").mkdir()
    record = Record(design="", runs=5, text="t", rows=[row], means="")
    write_record(record, Path("mine/digits-stages.json"))
    write_ledger([work], [OTHER], file)
    text = file.read_text()
    assert "2 claims: 1 reproduced, 0 contradicted, 1 too weak to tell, 0 not run. 1 of" in text
    assert "| **reproduced**, not after Holm | 5 | .030 | - | .060 |" in text
    assert text.index("## [digits-stages]") < text.index("## [small]"), "in the order of names"


def test_only_a_ledger_is_written_over() -> None:
    file = Path("mine.md")
    write_ledger([], [OTHER], file)
    write_ledger([], [], file)
    assert "B1" not in file.read_text()
    file.write_text("# My notes\n")
    with pytest.raises(
        UserError,
        match=(
            r"ledger: mine.md: was not written by the ledger, and is left alone; name another file"
        ),
    ):
        write_ledger([], [OTHER], file)
    assert file.read_text() == "# My notes\n"
    for name in ("study.yaml", "mine"):
        with pytest.raises(UserError, match="name the file to write, which ends in"):
            check_target(Path(name))
    Path("figures").mkdir()
    Path("figures/of_another_paper.png").touch()
    with pytest.raises(
        UserError,
        match=(
            r"ledger: figures.md: its figures and outcomes go into figures, which holds others; "
            r"name another file"
        ),
    ):
        write_ledger([], [OTHER], Path("figures.md"))
    with pytest.raises(UserError, match=r"ledger: mine.md/other.md: cannot be written: "):
        write_ledger([], [OTHER], file / "other.md")


def test_a_ledger_is_of_all_studies_and_opens_those_that_were_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = done().home.parents[1]

    def opened(file: Path) -> StudyContext:
        return open_study(file, root)

    works, unopened = all_studies(
        [Path("small.yaml"), REPOSITORY / "configs/studies/digits_stages.yaml"], root, opened
    )
    assert [work.study.name for work in works] == ["small"]
    shipped = {file.stem for file in (REPOSITORY / "configs/studies").glob("*.yaml")}
    assert sorted(study.file.stem for study in unopened) == sorted(shipped), "each once"
    with pytest.raises(SystemExit):
        main(["report", "small.yaml", "--ledger", "mine.md"])
    assert capsys.readouterr().out == "mine.md\n"
    assert "## Not run" in Path("mine.md").read_text()
    assert not Path("RESULTS.md").exists()


def test_a_study_elsewhere_is_linked_by_the_path_given(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "study.yaml"
    write_ledger([], [OTHER._replace(file=elsewhere)], Path("mine.md"))
    assert set(links(Path("mine.md"))) == {str(elsewhere)}
