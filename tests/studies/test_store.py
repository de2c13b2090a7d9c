"""What the store makes of segments that are damaged, or that another process trains."""

import json
from pathlib import Path

import pytest
import torch

from plasticity_lab.studies.files import write_whole
from plasticity_lab.studies.plan import EmptyStore, Segment, segments
from plasticity_lab.studies.plan import StateChain as States
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.stored_states import StoredStates

FILES = ("events.out.tfevents.1", "manifest.json", "scalars.jsonl", "state.ckpt")


def published(
    store: Store,
    state: str,
    start: str | None = None,
    first: int = 0,
    stop: int = 2,
    test: bool = False,
) -> None:
    place = store.workdir(state)
    place.mkdir(parents=True)
    for name in FILES:
        (place / name).write_text("0123456789")
    (place / "done.json").write_text(
        json.dumps({"start": start, "first": first, "stop": stop, "seconds": 1.0, "state": {}})
    )
    if test:
        (place / "test").mkdir()
        (place / "test" / "events.out.tfevents.2").write_text("0123456789")
    store.commit(place, state)


@pytest.fixture
def store() -> Store:
    return Store(Path("store").absolute())


CHAIN = States(["s0", "s1", "s2", "s3", "s4", "s5", "s6"], "")


def chain(store: Store) -> None:
    published(store, "s2", None, 0, 2)
    published(store, "s4", "s2", 2, 4)
    published(store, "s6", "s4", 4, 6, test=True)


def todo(store: Store) -> list[tuple[str | None, str, bool]]:
    return [(segment.start, segment.end, segment.test) for segment in segments([CHAIN], store)]


def test_a_whole_chain_needs_nothing(store: Store) -> None:
    chain(store)
    assert todo(store) == []
    assert StoredStates(store).finished("s6")
    assert [store.damage(state) for state in CHAIN.states] == [""] * 7


@pytest.mark.parametrize("state", ["s2", "s4", "s6"])
@pytest.mark.parametrize("length", [None, 0, 5])
@pytest.mark.parametrize("name", [*FILES, "done.json"])
def test_what_is_missing_or_truncated_is_named_and_trained_again(
    store: Store, name: str, length: int | None, state: str
) -> None:
    chain(store)
    file = store.root / state / name
    if length is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:length])

    # A state may be dropped, where nothing continues from it.
    if name == "state.ckpt" and length is None:
        assert store.damage(state) == ""
        assert todo(store) == []
        return
    assert name in store.damage(state)
    before = {"s2": None, "s4": "s2", "s6": "s4"}[state]
    assert todo(store) == [(before, state, state == "s6")], "and nothing else is"
    assert not StoredStates(store).finished("s6")

    published(store, state, before, stop=int(state[1:]), test=state == "s6")
    assert store.damage(state) == ""
    assert StoredStates(store).finished("s6")


def test_a_truncated_test_is_measured_again(store: Store) -> None:
    chain(store)
    (store.root / "s6/test/events.out.tfevents.2").write_text("")
    assert "test/events.out.tfevents.2 has 0 bytes of 10" in store.damage("s6")
    assert todo(store) == [("s6", "s6", True)]
    published(store, "s6", "s4", 4, 6, test=True)
    assert (store.damage("s6"), todo(store)) == ("", [])


def test_what_was_dropped_is_trained_again_only_to_go_on_from(store: Store) -> None:
    published(store, "s2", None, 0, 2)
    published(store, "s4", "s2", 2, 4)
    store.checkpoint("s4").unlink()
    store.checkpoint("s2").unlink()
    assert todo(store) == [(None, "s6", True)]
    published(store, "s2", None, 0, 2)
    assert store.has_checkpoint("s2")
    assert todo(store) == [("s2", "s6", True)]


def test_one_process_trains_a_segment(store: Store) -> None:
    lock = store.lock("s2")
    assert lock is not None
    assert store.lock("s2") is None
    place = store.workdir("s2")
    place.mkdir()
    assert store.is_locked("s2")
    assert store.running() == {"s2"}
    store.remove_stale()
    assert place.exists()
    lock.release()
    assert store.running() == set()
    store.remove_stale()
    assert not place.exists()
    assert not store.is_locked("s2")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, but those of attempts and locks."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    names = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
    return {name: content for name, content in names.items() if not name.startswith(".")}


@pytest.mark.parametrize("step", ["sync", "write_whole"])
def test_a_full_disk_leaves_what_was_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """At each file that is written or synchronised, for a new segment and for a damaged one."""
    published(store, "s2")
    published(store, "s4", "s2", 2, 4)
    (store.root / "s4" / "manifest.json").write_text("")
    before = snapshot(store.root)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"plasticity_lab.studies.store.{step}", full)
    for state, start in (("s4", "s2"), ("s6", "s4")):
        with pytest.raises(OSError, match="No space left"):
            published(store, state, start, 2, 4)
    assert snapshot(store.root) == before
    assert store.has_logs("s2")


def test_a_test_that_is_measured_again_replaces_the_damaged_one_alone(store: Store) -> None:
    """The folder then holds neither a state nor an entry."""
    chain(store)
    (store.root / "s6/test/events.out.tfevents.2").write_text("")
    place = store.workdir("s6")
    (place / "test").mkdir(parents=True)
    (place / "test/events.out.tfevents.3").write_text("01234567890123456789")
    store.commit(place, "s6")
    assert (store.damage("s6"), todo(store)) == ("", [])
    assert store.is_trained("s6", test=True)

    # Nor can it stand for the segment.
    (store.root / "s6/done.json").write_text("")
    (place / "test").mkdir(parents=True, exist_ok=True)
    with pytest.raises(OSError, match="was damaged while"):
        store.commit(place, "s6")


def test_a_state_of_another_length_is_taken(store: Store) -> None:
    """Of a segment that is trained again: what was dropped, and its length, are replaced."""
    published(store, "s2")
    store.checkpoint("s2").unlink()
    place = store.workdir("s2")
    place.mkdir()
    (place / "state.ckpt").write_text("a longer state")
    (place / "done.json").write_text("{}")
    store.commit(place, "s2")
    assert store.damage("s2") == ""
    assert store.checkpoint("s2").read_text() == "a longer state"


@pytest.mark.parametrize("writes", [0, 1])
def test_a_full_disk_while_a_part_is_added_damages_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    published(store, "s2")
    store.checkpoint("s2").unlink()
    place = store.workdir("s2")
    place.mkdir()
    (place / "state.ckpt").write_text("a longer state")
    written: list[Path] = []

    def full(file: Path, entry: dict[str, object]) -> None:
        if len(written) == writes:
            raise OSError(28, "No space left on device")
        written.append(file)
        write_whole(file, entry)

    monkeypatch.setattr("plasticity_lab.studies.store.write_whole", full)
    with pytest.raises(OSError, match="No space left"):
        store.commit(place, "s2")
    assert store.damage("s2") == ""
    assert store.has_logs("s2")
    assert store.has_checkpoint("s2") == (writes == 1)


def test_a_state_of_the_right_length_that_cannot_be_read_is_removed(store: Store) -> None:
    published(store, "s2")
    checkpoint = {"state_dict": {}, "global_step": 0, "loops": {}, "optimizer_states": []}
    file = store.checkpoint("s2")
    torch.save({**checkpoint, "weights": torch.arange(1000)}, file)
    assert store.remove_damaged_checkpoint("s2") == ""

    content = bytearray(file.read_bytes())
    content[content.index(bytes([5, 0, 0, 0, 0, 0, 0, 0]))] = 6
    file.write_bytes(content)
    lock = store.lock("s2")
    assert lock is not None
    assert "is damaged" in store.remove_damaged_checkpoint("s2")
    assert file.exists(), "another process may be training it again"
    lock.release()
    assert "is damaged" in store.remove_damaged_checkpoint("s2")
    assert not file.exists()
    assert store.has_logs("s2")


def test_segments_are_as_before() -> None:
    """A plan of nothing trained: cut where runs part."""
    branch = States([*CHAIN.states[:4], "t4", "t5"], "")
    assert segments([CHAIN, branch], EmptyStore()) == [
        Segment(None, "s3", 0, 3, 0, False, False),
        Segment("s3", "s6", 3, 6, 0, True, False),
        Segment("s3", "t5", 3, 5, 1, True, False),
    ]
