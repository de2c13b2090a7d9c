"""Studies on a Ray cluster (pip install -e ".[ray]")."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from plasticity_lab.studies import local_engine, ray_engine
from plasticity_lab.studies.commands import run
from tests.runs import REPOSITORY
from tests.studies.small import ARMS, small
from tests.studies.test_local_engine import BROKEN, ends, few

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes on this machine, which see the same files."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}")
    cluster_of_two: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster_of_two.add_node(num_cpus=1)
    ray.init(
        address=cluster_of_two.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}},
    )
    yield cluster_of_two
    ray.shutdown()
    cluster_of_two.shutdown()


def test_a_lost_node_changes_nothing(cluster: Any) -> None:
    arms = few("plain", "blurred for 1", "blurred for 2", "shrunk by half")
    work, unshared = small(arms), small(arms, share=False, root="alone")
    killer = Thread(target=lose_a_node, args=(cluster, work.store.root))
    killer.start()
    assert not run(work, 2, ray_engine.run)
    killer.join()
    assert not run(unshared, 2, local_engine.run)
    assert ends(work) == ends(unshared)


def lose_a_node(cluster: Any, store: Path) -> None:
    """Kill a node, without its leave, while it trains."""
    while not list(store.glob(".tmp-*")):
        time.sleep(0.1)
    time.sleep(2)
    cluster.remove_node(sorted(cluster.worker_nodes, key=str)[0], allow_graceful=False)


def test_a_failure_is_reported(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    work = small({"broken": BROKEN, "plain": ARMS["plain"]}, seeds=1)
    assert run(work, 2, ray_engine.run) == ["broken,seed=0"]
    assert not list(work.store.root.glob(".tmp-*"))
    assert any("broken at epoch 2" in file.read_text() for file in (work.home / "failed").iterdir())
