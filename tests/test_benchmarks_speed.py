"""Training speed is counted right: operations, exponents, and rows that are full."""

import json

import pytest
import torch

from benchmarks import _speed_contenders, train_speed
from benchmarks._arms_jobs import Settings
from benchmarks._peers_text import build
from rankspace.model.network import Network
from rankspace.training.precision import has_bfloat16

SMALL = Settings(
    budget=1, parameters=70_000, width=48, depth=2, context=32, symbols=300, dropout=0.0
)


def test_operations_are_those_of_the_products_and_of_half_the_context() -> None:
    corpus = _speed_contenders.corpus_of(300, 60)
    for name in ("gpt2", "rank", "rank_moe"):
        (one,) = _speed_contenders.contenders([name], SMALL, corpus, [])
        assert isinstance(one.arm.model, Network)
        config = one.arm.model.config
        hidden = (
            config.hidden * (3 if config.gated else 2) * (config.active if config.experts else 1)
        )
        block = 4 * 48 * 48 + 48 * hidden + (48 * config.experts)
        inside = 2 * block + config.vocabulary * 48 + (48 * 48 if config.prior else 0)
        told = _speed_contenders.flops(one.arm, 48, 2, 32)
        assert told == pytest.approx(6 * inside + 6 * 2 * 48 * 32), name


def test_every_symbol_of_a_batch_is_asked_for_and_contenders_take_turns() -> None:
    corpus = _speed_contenders.corpus_of(300, 60)
    batch = corpus.train.draw(0, 0, 4, 32)
    assert batch.asked == 4 * 32
    found = _speed_contenders.contenders(["gpt2", "rank", "nobody"], SMALL, corpus, [])
    assert [each.name for each in found] == ["gpt2", "rank"]
    before = [weight.clone() for weight in found[1].arm.model.parameters()]
    told, peaks = train_speed.race(found, batch, corpus, 2, 1)
    assert all(len(speeds) == len(peaks) == 2 and min(speeds) > 0 for speeds in told.values())
    after = found[1].arm.model.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert found[0].bfloat16 == has_bfloat16()


def test_an_exponent_is_a_slope_and_the_best_way_of_a_peer_counts() -> None:
    assert train_speed.slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    told = {"xt eager float32": [1.0], "xt eager bfloat16": [2.0], "rank": [0.1]}
    assert [train_speed.slow(name, told) for name in told] == [True, False, False]
    rows = {"hf_gpt2 eager float32": {"tok_s": 2.0}, "xt compiled bfloat16": {"tok_s": 3.0}}
    assert train_speed.best_peer(rows | {"rank": {"tok_s": 9.0}}) == 3.0
    assert json.dumps(rows)


def test_parameters_of_a_size_are_those_of_the_peer() -> None:
    pytest.importorskip("transformers")
    model = build("hf_gpt2", 304, 32, 0.0, 128, 2)
    counted = sum(weight.numel() for weight in model.parameters())
    assert counted == _speed_contenders.size_of(128, 2, symbols=300, context=32)


def test_the_cost_of_a_step_is_told_at_every_size_that_is_measured() -> None:
    sizes = [*_speed_contenders.SIZES.values(), _speed_contenders.BETWEEN]
    corpus = _speed_contenders.corpus_of(300, 60)
    for size in sizes:
        (one,) = _speed_contenders.contenders(["rank"], _speed_contenders.of(*size), corpus, [])
        assert one.arm.parameters == pytest.approx(_speed_contenders.of(*size).parameters, rel=0.03)
    assert train_speed.megabytes("rank", "3M") > 50
