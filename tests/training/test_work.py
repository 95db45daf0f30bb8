"""A run of training: stopped and continued it is the same run; it ends when it no longer gains."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankspace.errors import Refused
from rankspace.store.entries import Wish
from rankspace.store.tokens import TokenSample
from rankspace.training.job import Event, JobConfig
from rankspace.training.measure import measure
from rankspace.training.work import REPORT_EVERY, Work
from tests.training.corpus import CONFIG, Kind, row
from tests.worlds import space

KINDS: tuple[Kind, ...] = (("image", ""), ("text", "en"))
LONG = CONFIG.model_copy(update={"steps": REPORT_EVERY + 4})
ROWS = [row(seed, KINDS) for seed in range(10)]
HELD = [row(seed, KINDS) for seed in range(100, 104)]


def work(config: JobConfig = LONG, held: list[TokenSample] | None = None) -> Work:
    torch.manual_seed(config.seed)
    return Work(config, space(), [ROWS], [HELD if held is None else held], {})


def done(work: Work, folder: Path, wish: Callable[[], Wish] = lambda: "run") -> list[Event]:
    folder.mkdir(exist_ok=True)
    return list(work.train(folder, wish, 0, 1))


def weights(work: Work) -> list[torch.Tensor]:
    return [*work.learner.network.parameters(), *work.learner.average.weights]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, list[Event]]:
    """A run that nobody stopped."""
    torch.set_num_threads(1)  # a fixture of a module comes before those of its tests
    run = work()
    return run, done(run, tmp_path_factory.mktemp("whole"))


def test_two_runs_at_one_seed_are_one(whole: tuple[Work, list[Event]], tmp_path: Path) -> None:
    again = work()
    done(again, tmp_path)
    assert all(map(torch.equal, weights(whole[0]), weights(again)))
    other = work(LONG.model_copy(update={"seed": 1}))
    assert not all(map(torch.equal, weights(work()), weights(other)))


def test_a_run_that_was_paused_goes_on_as_if_it_had_not_been(
    whole: tuple[Work, list[Event]], tmp_path: Path
) -> None:
    events = done(work(), tmp_path, lambda: "pause")
    assert (events[-1].state, events[-1].step) == ("paused", REPORT_EVERY)
    again = work()
    on = done(again, tmp_path)
    assert on[0].step > REPORT_EVERY
    assert all(map(torch.equal, weights(whole[0]), weights(again)))
    assert again.metrics == whole[0].metrics
    assert on[-1].source_weights == whole[1][-1].source_weights


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(
    whole: tuple[Work, list[Event]], tmp_path: Path
) -> None:
    events = work().train(tmp_path, lambda: "run", 0, 1)
    while next(events).step < LONG.checkpoint_every + 3:
        pass  # and then nobody asks for more
    again = work()
    done(again, tmp_path)
    assert all(map(torch.equal, weights(whole[0]), weights(again)))


def test_what_a_run_reports_is_in_order_and_whole(whole: tuple[Work, list[Event]]) -> None:
    run, events = whole
    steps = [event.step for event in events]
    assert steps == sorted(steps)
    assert {event.phase for event in events} == {"evaluating", "training"}
    assert events[0].message == "birth"
    last = [event for event in events if event.phase == "training"][-1]
    assert last.loss is not None
    assert last.held_out_loss is not None
    assert last.source_losses.keys() == last.source_weights.keys() == {"a"}
    assert {"mixture", "output", "attention/0"} <= last.betas.keys()
    assert last.symbols_per_s > 0
    assert 0 < last.progress < 1
    figures = run.metrics
    assert figures["birth_loss"] == pytest.approx(figures["prior_cross_entropy"], abs=1e-5)
    assert {"held_out_loss/a", "bits_per_symbol/text/model"} <= figures.keys()


def test_a_run_that_is_cancelled_stops(tmp_path: Path) -> None:
    events = done(work(), tmp_path, lambda: "cancel")
    assert (events[-1].state, events[-1].step) == ("cancelled", REPORT_EVERY)
    assert events[-1].message == "cancelled as asked"


def test_a_run_without_gains_ends_early(tmp_path: Path) -> None:
    config = LONG.model_copy(
        update={"steps": 200, "evaluate_every": 2, "patience": 2, "learning_rate": 10.0}
    )
    run = work(config, [row(seed, (("text", "ru"),)) for seed in range(4)])
    events = done(run, tmp_path)
    assert events[-1].step < 200
    assert events[-1].message.startswith("final figures of step ")


SPENT = LONG.model_copy(
    update={
        "steps": 40, "evaluate_every": 1, "checkpoint_every": 3, "patience": 5,
        "learning_rate": 3.0,
    }
)  # fmt: skip
"""A run that soon gets worse on what is held out: that is in another language."""


def spent() -> Work:
    return work(SPENT, [row(seed, (("text", "ru"),)) for seed in range(4)])


@pytest.fixture(scope="module")
def tired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, list[Event]]:
    """Such a run, to its end."""
    torch.set_num_threads(1)
    run = spent()
    return run, done(run, tmp_path_factory.mktemp("tired"))


def test_a_run_keeps_the_network_that_was_best_on_held_out_samples(
    tired: tuple[Work, list[Event]], tmp_path: Path
) -> None:
    run, events = tired
    looks = [e for e in events[:-1] if e.phase == "evaluating" and e.held_out_loss is not None]
    read = {e.step - 1: e.held_out_loss for e in looks}  # what was known before that look
    best = min(read, key=lambda step: read[step] or 0.0)
    assert best < max(read)
    assert run.metrics["kept_step"] == best
    assert f"of step {best}, which is the best" in events[-1].message
    assert run._measured(len(HELD)).loss == pytest.approx(read[best])
    then = spent()
    training = then.train(tmp_path, lambda: "run", 0, 1)
    while next(training).step < best:
        pass
    assert all(map(torch.equal, run.learner.average.weights, then.learner.average.weights))


def test_the_best_network_outlives_a_kill(tired: tuple[Work, list[Event]], tmp_path: Path) -> None:
    run, events = tired
    kept, last = run.metrics["kept_step"], events[-1].step
    training = spent().train(tmp_path, lambda: "run", 0, 1)
    while next(training).step < last:
        pass  # it dies past its best step, and past a checkpoint that knows of it
    again = spent()
    on = done(again, tmp_path)
    assert on[0].step > kept
    assert again.metrics == run.metrics
    assert all(map(torch.equal, run.learner.average.weights, again.learner.average.weights))


def test_without_patience_a_run_never_ends_early_and_keeps_its_last_network(
    whole: tuple[Work, list[Event]],
) -> None:
    run, events = whole
    assert run.metrics["kept_step"] == events[-1].step == LONG.steps
    assert not run.learner.average.best


HELD_FORM = CONFIG.model_copy(
    update={
        "steps": 12,
        "evaluate_every": 4,
        "switches": {"memory": "held", "order": 3, "document": True},
    }
)


def test_a_memory_that_is_held_is_born_as_itself_and_trusted_as_far_as_it_helps(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    run = Work(HELD_FORM, space(3), [ROWS], [HELD], {})
    events = done(run, tmp_path)
    network, shares = run.learner.network, run.learner.network.trust.held
    assert shares is not None
    born = next(event for event in events if "birth_loss" in event.metrics).metrics
    assert born["birth_loss"] == pytest.approx(born["prior_cross_entropy"], abs=1e-5)
    assert float(shares.table.min()) < float(shares.table.max())
    run.learner.average.swap()
    found = list(run._batches(len(HELD)))
    both = measure(network, run.readout, found).mean
    memory = measure(network, run.readout, found, 1.0).mean
    shares.table.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    alone = measure(network, run.readout, found).mean
    assert events[-1].held_out_loss == pytest.approx(both)
    assert memory == pytest.approx(born["birth_loss"], abs=1e-5)
    assert both < memory
    assert both < alone + 0.01


def test_a_memory_that_is_held_needs_something_to_be_trusted_by() -> None:
    with pytest.raises(Refused, match="split=valid"):
        Work(HELD_FORM, space(3), [ROWS], [[]], {})


def test_a_run_with_nothing_held_out_has_no_held_out_loss(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": 3, "evaluate_every": 1, "patience": 1})
    events = done(work(config, []), tmp_path)
    assert events[-1].step == 3
    assert all(event.held_out_loss is None for event in events)
