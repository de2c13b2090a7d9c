"""Training, history, timeline and studies against a reference that walks batch by batch."""

import json
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks import Draws, Level, OneShot
from datamodules import Augmentation, Batch, BatchContext, Deficit, UniformGrowth
from datamodules.epoch_plan import EpochPlan
from datamodules.growth.stage_schedule import StageSchedule
from plasticity_lab.errors import UserError
from plasticity_lab.history import RunHistory, StageDecisions
from plasticity_lab.schedule import Answer, RunSchedule, Timed
from plasticity_lab.timing import Every, Position, Time
from tests.runs import fit, tiny

BATCH = 10


class Faded(Deficit):
    """A deficit of somebody's own, which notes what it does."""

    seen: ClassVar[list[tuple[int, Any]]] = []

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        if context.split == "train" and all(isinstance(key, int) for key in context.stream_key):
            self.seen.append((int(context.stream_key[0]), context.level))
        return batch


class Shot(OneShot):
    """An intervention of somebody's own, which notes when it acts."""

    seen: ClassVar[list[int]] = []

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        self.seen.append(trainer.global_step)


class Held(Level):
    """A level of somebody's own, which notes what is set."""

    seen: ClassVar[list[tuple[int, float]]] = []

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        self.seen.append((trainer.global_step, value))


class Case(NamedTuple):
    """A run: its length, its growth, and one part as YAML would write it."""

    epochs: int
    counts: list[int]
    begins: list[int]
    kind: Any
    word: str
    times: Any


# The reference: a run is a list of batches, and a time is the number of the first that reaches it.


def batches(case: Case) -> list[tuple[int, int, int]]:
    """Epoch, step and stage of every batch."""
    walked: list[tuple[int, int, int]] = []
    for epoch in range(case.epochs):
        stage = sum(epoch >= begin for begin in case.begins)
        for _ in range(-(-case.counts[stage] // BATCH)):
            walked.append((epoch, len(walked), stage))
    return walked


def reached(time: tuple[float, str], case: Case) -> int:
    """Number of the first batch at or after a moment; very large if there is none."""
    amount, unit = time
    column = {"ep": 0, "%": 0, "st": 1, "stage": 2}[unit]
    needed = amount * case.epochs / 100 if unit == "%" else amount
    return next((n for n, where in enumerate(batches(case)) if where[column] >= needed), 10**6)


def expected(case: Case) -> list[Any]:
    """What the part does at each batch; None is nothing."""
    everywhere = range(len(batches(case)))
    if case.word == "levels":
        begins = [(reached(time, case), value) for time, value in case.times]
        return [([None] + [value for first, value in begins if first <= n])[-1] for n in everywhere]
    if case.word == "during":
        start, stop = (reached(time, case) for time in case.times)
        return [True if start <= n < stop else None for n in everywhere]
    named = case.times
    if case.word == "every":
        ((amount, unit),) = case.times
        named = [(amount * count, unit) for count in range(1, 300)]
    acts = {reached(time, case) for time in named}
    return [True if n in acts else None for n in everywhere]


# The same case as the schedule has it.


def text(time: tuple[float, str]) -> str:
    amount, unit = time
    return f"stage{amount}" if unit == "stage" else f"{amount}{unit}"


def arguments(case: Case) -> dict[str, Any]:
    """Return the part's arguments as YAML writes them."""
    if case.word == "levels":
        return {"levels": {text(time): value for time, value in case.times}}
    if case.word == "every":
        return {"every": text(case.times[0])}
    return {case.word: [text(time) for time in case.times]}


def part(case: Case) -> Timed:
    given = arguments(case)
    if case.word in ("at", "during"):
        given = {case.word: [Time(time) for time in given[case.word]]}
    made: Timed = case.kind(**given)
    return made


def plan(case: Case) -> EpochPlan:
    growth = UniformGrowth(counts=case.counts, at=[Time(f"{begin}ep") for begin in case.begins])
    stages = StageSchedule(growth, torch.zeros(case.counts[-1], dtype=torch.int64), 2, 0)
    return EpochPlan(stages, StageDecisions(), BATCH, False, 1, 1.0, 1, case.epochs, -1)


def positions(case: Case) -> list[Position]:
    last = len(case.counts) - 1
    return [Position(*where, in_last_stage=where[2] == last) for where in batches(case)]


def train(schedule: RunSchedule, path: list[Position], stops: set[int]) -> tuple[Any, RunHistory]:
    """Go through a run as training does, resuming anew at some batches, in between and before."""
    history, done = RunHistory(), []
    for number, now in enumerate(path):
        answers = schedule.answers(history.last, now)
        history.begin(now)
        if number in stops:
            # Written after the parts have acted and before the batch is trained.
            history.acted = dict(answers)
            history = reloaded(history)
            history.begin(now)
            assert history.acted == dict(answers)
            assert schedule.answers(history.last, now) == answers
        done.append(dict(answers).get(schedule.parts[0].key))
        history.trained(now, answers, schedule.answers(now, now))
        if number - 1 in stops:
            history = reloaded(history)
    return done, history


def reloaded(history: RunHistory) -> RunHistory:
    loaded = RunHistory()
    loaded.load_state_dict(json.loads(history.to_json()))
    assert json.loads(history.to_json()) == json.loads(json.dumps(history.state_dict()))
    return loaded


amounts = {
    "ep": st.integers(0, 7),
    "st": st.integers(0, 40),
    "%": st.sampled_from([0, 12.5, 25, 40, 50, 75, 99, 100]),
    "stage": st.integers(0, 3),
}
moments = st.sampled_from(sorted(amounts)).flatmap(
    lambda unit: st.tuples(amounts[unit], st.just(unit))
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    epochs = draw(st.integers(1, 7))
    stages = draw(st.integers(1, min(3, epochs)))
    counts = sorted(draw(st.sets(st.integers(1, 60), min_size=stages, max_size=stages)))
    begins = draw(st.permutations(range(1, epochs)))[: stages - 1] if stages > 1 else []
    kind, word = draw(
        st.sampled_from(
            [(Faded, "during"), (Faded, "levels"), (Shot, "at"), (Shot, "every"), (Held, "levels")]
        )
    )
    return Case(epochs, counts, sorted(begins), kind, word, draw(times(word)))


def times(word: str) -> st.SearchStrategy[Any]:
    if word == "during":
        return st.tuples(moments, moments).filter(
            lambda pair: pair[0][1] != pair[1][1] or pair[0][0] <= pair[1][0]
        )
    if word == "every":
        return moments.filter(lambda time: time[0] > 0).map(lambda time: [time])
    if word == "at":
        return st.lists(moments, max_size=4, unique=True)
    return (
        st.lists(moments, min_size=1, max_size=4, unique=True)
        .flatmap(
            lambda chosen: st.permutations(range(1, 5)).map(
                lambda values: list(zip(chosen, values, strict=False))
            )
        )
        .filter(increase)
    )


def increase(levels: list[Any]) -> bool:
    for unit in amounts:
        of_unit = [time[0] for time, _ in levels if time[1] == unit]
        if of_unit != sorted(set(of_unit)):
            return False
    return True


@settings(max_examples=400, deadline=None)
@given(cases(), st.sets(st.integers(0, 40), max_size=3))
def test_training_history_and_timeline_are_the_reference(case: Case, stops: set[int]) -> None:
    schedule, should = RunSchedule([part(case)], case.epochs), expected(case)
    path = positions(case)
    done, history = train(schedule, path, stops)
    assert done == should

    # The history says at every batch what was done there.
    place = {now[:2]: number for number, now in enumerate(path)}
    every_step = [Time(f"{now.step}st") for now in path]
    walked = history.walk(every_step)
    assert [entry.now for entry in walked] == path
    assert [entry.before for entry in walked] == [None, *path[:-1]]
    key = schedule.parts[0].key
    assert [dict(entry.answers).get(key) for entry in walked] == should
    assert {entry.now[:2] for entry in history.walk()} <= set(place)
    assert list(history.starts()) == [
        Position(*now[:2])._replace(stage=start.stage, in_last_stage=start.in_last_stage)
        for now, start in zip(
            (now for n, now in enumerate(path) if not n or path[n - 1].epoch < now.epoch),
            history.starts(),
            strict=True,
        )
    ]
    schedule.check_history(history)

    # The timeline shows whatever begins or ends.
    shown = [
        (change.now[:2], change.answer)
        for change in schedule.changes(plan(case).positions(schedule.times))
    ]
    lasting = [None] * len(should) if case.kind is Shot else [None, *should[:-1]]
    assert shown == [
        (now[:2], value)
        for now, value, earlier in zip(path, should, lasting, strict=True)
        if value != earlier
    ]


@settings(max_examples=400, deadline=None)
@given(cases(), st.data())
def test_a_config_is_refused_where_it_contradicts_the_past_and_nowhere_else(
    case: Case, data: st.DataObject
) -> None:
    epochs = data.draw(st.integers(max(case.begins, default=0) + 1, 9))
    other = case._replace(epochs=epochs, times=data.draw(times(case.word)))
    stop = data.draw(st.integers(1, len(batches(case))))
    path = positions(case)[:stop]
    _, history = train(RunSchedule([part(case)], case.epochs), path, set())

    # What the other config would have done in the same past.
    past = [where for where in batches(other) if where[0] <= path[-1].epoch]
    agree = len(past) >= stop and expected(other)[:stop] == expected(case)[:stop]
    if len(past) < stop:
        return
    schedule = RunSchedule([part(other)], other.epochs)
    if agree or not schedule.times:
        schedule.check_history(reloaded(history))
    else:
        with pytest.raises(UserError, match="what has passed cannot be changed"):
            schedule.check_history(reloaded(history))


@settings(max_examples=400, deadline=None)
@given(cases(), st.data())
def test_epochs_of_equal_signatures_are_equal(case: Case, data: st.DataObject) -> None:
    epochs = data.draw(st.integers(max(case.begins, default=0) + 1, 9))
    other = case._replace(epochs=epochs, times=data.draw(times(case.word)))
    runs = [(one, RunSchedule([part(one)], one.epochs), expected(one)) for one in (case, other)]

    def of_epoch(one: Case, done: list[Any], epoch: int) -> list[Any]:
        return [value for value, where in zip(done, batches(one), strict=True) if where[0] == epoch]

    said = []
    for one, _, _ in runs:
        growing = plan(one).stages.growth
        assert growing
        schedule = RunSchedule([growing, part(one)], one.epochs)
        said.append(
            [
                [schedule.signature(which, *place) for which in schedule.parts]
                for place in schedule.epoch_starts()
            ]
        )
    units = {time.unit for _, schedule, _ in runs for time in schedule.times}
    for epoch in range(min(case.epochs, other.epochs)):
        same = of_epoch(case, runs[0][2], epoch) == of_epoch(other, runs[1][2], epoch)
        if said[0][: epoch + 1] == said[1][: epoch + 1]:
            assert same, "a study would share what differs"
        if same and "st" not in units:
            assert said[0][epoch] == said[1][epoch], "a study would train it twice"


class Odd(Deficit):
    """Acts at every third step only, and counts how often."""

    count: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__(levels={"0ep": 1.0})

    def times(self) -> list[Time]:
        return [Every("3st")]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        return any(time.crossed(before, now, epochs) for time in self.times())

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        if isinstance(context.stream_key[0], int):
            self.count.append(int(context.stream_key[1]))
        return batch


class Always(Augmentation):
    """Is on by answering True, and counts how often."""

    count: ClassVar[list[int]] = []

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        return True

    def __call__(self, images: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        self.count.append(len(images))
        return images


def test_training_asks_as_the_history_does() -> None:
    """With the batch before, so that what acts once acts once; False is nothing, True is all."""
    Odd.count.clear()
    Always.count.clear()
    nodes = {
        "deficits": [{"class_path": "tests.test_schedule.Odd"}],
        "augmentation": {"class_path": "tests.test_schedule.Always"},
    }
    finished = fit(*tiny({"data": {"init_args": nodes}}))
    acts = [acts for acts in finished.data.history.acts if acts.key == "deficits/Odd"]
    assert [list(one.steps()) for one in acts] == [[3, 6, 9]]
    assert Odd.count == [4, 3, 2], "the batches of steps 3, 6 and 9"
    assert len(Always.count) >= 12


class Tensorial(Level):
    """Answers what no checkpoint holds."""

    def active(self, before: Position | None, now: Position, epochs: int) -> Any:
        return torch.ones(())

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None: ...


def test_only_plain_values_are_answers() -> None:
    schedule = RunSchedule([Tensorial({"0ep": 1.0})], 3)
    with pytest.raises(UserError, match=r"Tensorial: active: tensor.*: a Tensor is no plain value"):
        schedule.answers(None, Position(0, 0))


def test_several_optimizers_are_steps_of_their_own() -> None:
    """Steps that no batch stands at are no moments of the past."""
    path = [Position(epoch, 2 * (4 * epoch + n)) for epoch in range(3) for n in range(4)]
    for kind, times in ((Shot, {"at": [Time("5st"), Time("7st")]}), (Faded, {"during": WINDOW})):
        schedule = RunSchedule([kind(**times)], 3)
        _, history = train(schedule, path, set())
        assert [entry.now for entry in history.walk(schedule.times)] == sorted(
            {entry.now for entry in history.walk(schedule.times)}
        )
        schedule.check_history(reloaded(history))


WINDOW = (Time("5st"), Time("9st"))


def test_what_acts_at_one_batch_acts_in_the_order_of_the_list() -> None:
    first, second = Shot([Time("1ep"), Time("2ep")]), Other([Time("0ep"), Time("2ep")])
    schedule = RunSchedule([first, second], 4)
    path = [Position(epoch, 4 * epoch + n) for epoch in range(4) for n in range(4)]
    history = RunHistory()
    history.order = {first.key: 0, second.key: 1}
    for now in path:
        answers = schedule.answers(history.last, now)
        history.trained(now, answers, schedule.answers(now, now))
    schedule.check_history(reloaded(history))
    with pytest.raises(UserError, match=r"interventions: .*: at epoch 2 \(step 8\) .* the order"):
        RunSchedule([second, first], 4).check_history(history)


class Other(Shot):
    """Another one."""


def test_true_is_not_one() -> None:
    schedule = RunSchedule([Faded(levels={"0ep": 1.0})], 3)
    _, history = train(schedule, [Position(0, 0), Position(0, 1)], set())
    with pytest.raises(UserError, match=r"with Faded at 1\.0, which is active here"):
        RunSchedule([Faded(during=(Time("0ep"), Time("2ep")))], 3).check_history(history)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_a_strength_that_begins_with_the_end_is_never_reached(strength: float) -> None:
    path = [Position(epoch, 4 * epoch) for epoch in range(4)]
    schedule = RunSchedule([Faded(levels={"0ep": 1.0, "3ep": strength})], 3)
    with pytest.raises(UserError, match="3ep is never reached: the run has 3 epochs"):
        schedule.check_times(path, Position(2, 11), "3 epochs")


def test_a_recurrence_that_stands_still_is_light() -> None:
    """However often it acts."""
    schedule = RunSchedule([Shot(every=Time("2st"))], 50)
    path = [Position(epoch, 20 * epoch + n) for epoch in range(50) for n in range(20)]
    _, history = train(schedule, path, {7, 333})
    assert len(history.acts) == 1
    assert len(history.entries) == 1
    schedule.check_history(history)


def test_a_long_run_has_a_light_history() -> None:
    """Its size follows from what changes, and not from epochs in which nothing does."""

    def size(epochs: int) -> int:
        case = Case(epochs, [30, 60], [3], Faded, "during", [(0, "ep"), (5, "ep")])
        _, history = train(RunSchedule([part(case)], epochs), positions(case), set())
        assert len(list(history.starts())) == epochs
        return len(str(history.state_dict())) - len(str(epochs)) * 4

    assert abs(size(1000) - size(10)) < 20


def config(case: Case) -> list[str]:
    """Return the arguments of a real run of a case."""
    node = {"class_path": f"tests.test_schedule.{case.kind.__name__}", "init_args": arguments(case)}
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"counts": case.counts, "at": [f"{begin}ep" for begin in case.begins]},
    }
    data: dict[str, Any] = {"growth": growth, "batch_size": BATCH}
    kept: list[dict[str, Any]] = [{"class_path": "tests.probes.EpochEnd"}]
    if case.kind is Faded:
        data["deficits"] = [node]
    else:
        kept.append(node)
    head = {"network": {"class_path": "tests.networks.SmallNet", "init_args": {"norm": False}}}
    trainer = {"max_epochs": case.epochs, "callbacks+": kept, "limit_val_batches": 0}
    return tiny({"data": {"init_args": data}, "trainer": trainer, "model": {"init_args": head}})


def effects(case: Case) -> list[Any]:
    """Return what the part has done, as far as it can tell, and forget it."""
    done = list(case.kind.seen)
    case.kind.seen.clear()
    return done


def should_do(case: Case, first: int = 0) -> list[Any]:
    """Return what the part of a run does from a batch on."""
    done = [
        (*where, value)
        for n, (where, value) in enumerate(zip(batches(case), expected(case), strict=True))
        if n >= first and value is not None
    ]
    if case.kind is Faded:
        return [(epoch, None if value is True else value) for epoch, _, _, value in done]
    if case.kind is Shot:
        return [step for _, step, _, _ in done]
    sets = [(step, value) for _, step, _, value in done]
    return [one for n, one in enumerate(sets) if not n or one[1] != sets[n - 1][1]]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cases(), st.data())
def test_a_real_run_does_it_and_goes_on_from_any_epoch(case: Case, data: st.DataObject) -> None:
    schedule, steps = RunSchedule([part(case)], case.epochs), plan(case)
    try:
        path = steps.positions(schedule.times)
        schedule.check_times(path, steps.latest(), "too few")
    except UserError:
        return  # it has a moment that is never reached
    effects(case)
    finished = fit(*config(case))
    assert effects(case) == should_do(case)
    epoch = data.draw(st.integers(0, case.epochs - 1))
    if epoch == case.epochs - 1:
        return
    file = finished.place.directory / "checkpoints" / f"epochendepoch={epoch}.ckpt"
    fit(*config(case), "--ckpt_path", str(file))
    first = sum(where[0] <= epoch for where in batches(case))
    assert effects(case) == should_do(case, first)
    assert Path(file).is_file()
