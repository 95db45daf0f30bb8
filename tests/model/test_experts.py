"""Experts: each symbol goes to those who fit, all have work in the end, none decides ahead."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model.experts import ROOM, Experts, violation
from tests.model.networks import born, config


def layer(experts: int = 4, active: int = 2, seed: int = 0, rate: float = 0.01) -> Experts:
    """Experts whose every weight says something."""
    torch.manual_seed(seed)
    found = Experts(config("rank_moe", experts=experts, active=active, balance_rate=rate))
    with torch.no_grad():
        for weight in found.parameters():
            weight.normal_(std=0.5)
    return found


@torch.no_grad()
@given(seed=st.integers(0, 1000), active=st.integers(1, 4), count=st.integers(1, 40))
def test_sorted_and_padded_is_the_same_as_one_symbol_after_the_other(
    seed: int, active: int, count: int
) -> None:
    experts, x = layer(active=active, seed=seed), torch.randn(1, count, 16)
    experts.bias.normal_(std=0.2)
    p = (experts.log_router.exp() * experts.router(x[0])).softmax(-1)
    rows = []
    for symbol, odds in zip(x[0], p, strict=True):
        chosen = (odds + experts.bias).topk(active).indices.tolist()
        total = sum(odds[one] for one in chosen)
        parts = [odds[one] / total * experts.experts[one](symbol[None, None]) for one in chosen]
        rows.append(sum(part[0, 0] for part in parts))
    torch.testing.assert_close(experts(x)[0], torch.stack(rows), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_who_a_symbol_asks_does_not_depend_on_others() -> None:
    experts, x = layer(), torch.randn(2, 3 * ROOM, 16)
    whole = experts(x)
    torch.testing.assert_close(experts(x[:1, :7]), whole[:1, :7], rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_loads_even_out_and_no_expert_is_dead(seed: int) -> None:
    """MaxVio falls below a tenth though the router alone would send most to one."""
    experts, lean = layer(seed=seed, rate=0.003), torch.zeros(16)
    lean[0] = 1.0
    experts.router.weight[0] += 2.0 * lean

    def loads(steps: int) -> list[Tensor]:
        found = []
        for _ in range(steps):
            experts(torch.randn(1, 512, 16) + lean)
            experts.settle()
            found.append(experts.load)
        return found

    assert violation(loads(1)[0]) > 0.3
    loads(250)
    last = torch.stack(loads(8))
    assert violation(last.sum(0)) < 0.1
    assert (last > 0).all()


def test_the_bias_moves_by_its_rate_against_the_load() -> None:
    experts = layer(rate=0.25)
    experts.load = torch.tensor([8, 0, 3, 1])
    experts.settle()
    assert experts.bias.tolist() == [-0.25, 0.25, 0.0, 0.25]
    assert violation(experts.load) == pytest.approx((8 - 3) / 3)
    assert violation(torch.tensor([3, 3])) == 0


def test_the_bias_chooses_and_does_not_weigh() -> None:
    experts = layer()
    p = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    experts.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    chosen, weights = experts.choose(p)
    assert chosen.tolist() == [[3, 0]]
    torch.testing.assert_close(weights, torch.tensor([[0.2, 0.8]]))


def test_loads_are_counted_while_learning_only() -> None:
    experts = layer().eval()
    experts(torch.randn(1, 5, 16))
    assert not experts.load.any()
    experts.train()
    experts(torch.randn(1, 5, 16))
    assert int(experts.load.sum()) == 10


def test_a_sharper_router_is_surer() -> None:
    experts, x = layer(), torch.randn(30, 16)
    sure = []
    for log_beta in (-3.0, 0.0, 3.0):
        with torch.no_grad():
            experts.log_router.fill_(log_beta)
            sure.append(float(experts.law(x).max(-1).values.mean()))
    assert sure == sorted(sure)


def test_router_and_experts_learn_and_the_network_is_born_silent() -> None:
    experts = layer()
    experts(torch.randn(1, 9, 16)).square().sum().backward()
    for name, weight in experts.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
    assert not born("rank_moe").get_parameter("blocks.0.feedforward.experts.3.out.weight").any()
