"""What the store makes of segments that are damaged, or that another process trains."""

import json
from pathlib import Path

import pytest

from plasticity_lab.studies.plan import EmptyStore, Segment, segments
from plasticity_lab.studies.plan import StateChain as States
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.stored_states import StoredStates

FILES = ("events.out.tfevents.1", "manifest.json", "state.ckpt")


def published(
    store: Store,
    state: str,
    start: str | None = None,
    first: int = 0,
    stop: int = 2,
    test: bool = False,
) -> None:
    place = store.new_workdir(state)
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
    place = store.new_workdir("s2")
    assert store.running() == {"s2"}
    store.remove_stale()
    assert place.exists()
    lock.release()
    assert store.running() == set()
    store.remove_stale()
    assert not place.exists()


def test_a_full_disk_leaves_what_was_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    published(store, "s2")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("plasticity_lab.studies.store.write_whole", full)
    with pytest.raises(OSError, match="No space left"):
        published(store, "s4", "s2", 2, 4)
    assert not store.has_logs("s4")
    assert store.has_logs("s2")


def test_segments_are_as_before() -> None:
    """A plan of nothing trained: cut where runs part."""
    branch = States([*CHAIN.states[:4], "t4", "t5"], "")
    assert segments([CHAIN, branch], EmptyStore()) == [
        Segment(None, "s3", 0, 3, 0, False, False),
        Segment("s3", "s6", 3, 6, 0, True, False),
        Segment("s3", "t5", 3, 5, 1, True, False),
    ]
