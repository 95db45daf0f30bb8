"""Several workers are one learner: they end with the same bits, and stop together."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WORLD = 2
ROOT = Path(__file__).parents[2]

Results = list[dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What each of two workers, processes that meet by gloo, has come to in every scene."""
    folder = tmp_path_factory.mktemp("workers")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.workers", str(rank), str(WORLD), folder],
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(WORLD)
    ]  # fmt: skip
    try:
        for worker in workers:
            _, said = worker.communicate(timeout=250)
            assert worker.returncode == 0, said
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def same(one: Any, other: Any) -> bool:
    """Whether two results have the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@pytest.mark.parametrize("what", ["weights", "averages", "losses", "mixture"])
@pytest.mark.parametrize("scene", ["together", "uneven"])
def test_workers_end_with_the_same_bits(results: Results, scene: str, what: str) -> None:
    first, *others = [each[scene][what] for each in results]
    assert all(same(first, other) for other in others)


def test_experts_of_all_workers_have_one_bias_and_one_load(results: Results) -> None:
    for what in ("biases", "loads"):
        first, *others = [each["together"][what] for each in results]
        assert first
        assert all(same(first, other) for other in others)
    assert all(bias.any() for bias in results[0]["together"]["biases"])


def test_held_betas_move_and_are_the_same_in_all_workers(results: Results) -> None:
    for scene in ("together", "uneven"):
        first, *others = [each[scene]["held"] for each in results]
        assert first
        assert all(same(first, other) for other in others)
        assert all(beta.isfinite().all() for beta in first)
    assert all(beta.any() for beta in results[0]["together"]["held"])


def test_a_worker_without_a_share_takes_part(results: Results) -> None:
    assert results[0]["uneven"]["drawn"] == 1
    assert all(map(torch.isfinite, map(torch.tensor, results[0]["uneven"]["losses"])))


def test_a_shared_step_has_the_gradient_of_the_whole(results: Results) -> None:
    first, second = (each["gradient"] for each in results)
    assert abs(first["weighs"] / second["weighs"] - 1) > 0.05, "the shares differ"
    assert first["shared"].shape == first["whole"].shape
    apart = (first["shared"] - first["whole"]).norm() / first["whole"].norm()
    assert apart < 1e-2  # products in sixteen bits round by as much


def test_a_shared_step_has_the_loss_of_the_whole(results: Results) -> None:
    (shared,) = {each["gradient"]["losses"][0] for each in results}
    assert shared == pytest.approx(results[0]["gradient"]["losses"][1], rel=1e-2)


def test_workers_that_were_stopped_go_on_as_if_they_had_not_been(results: Results) -> None:
    first, *others = [each["resumed"] for each in results]
    for what in ("state", "averages"):
        assert same(first["whole"][what], first["stopped"][what])
    assert all(same(first, other) for other in others)


def test_workers_trust_a_memory_that_is_held_as_far(results: Results) -> None:
    first, *others = [each["resumed"]["whole"]["state"]["trust.held.table"] for each in results]
    assert first.std(0).min() > 0, "groups differ in whom they trust"
    assert all(same(first, other) for other in others)


def test_workers_that_measure_otherwise_end_and_keep_the_same(results: Results) -> None:
    first, *others = [each["judging"] for each in results]
    assert all(other["read"] != first["read"] for other in others)
    assert 0 < first["ended"][1] < first["ended"][0] < 40
    for what in ("ended", "averages"):
        assert all(same(first[what], other[what]) for other in others)


def test_what_one_worker_lost_stops_all_with_the_source_and_the_step(results: Results) -> None:
    said = {each["poisoned"]["said"] for each in results}
    (message,) = said
    assert message.startswith("the loss of a")
    assert "is no number in step 1: the weights before it are kept" in message
    assert not any(each["poisoned"]["moved"] for each in results)
