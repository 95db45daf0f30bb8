"""What each of several workers does in the tests of training together: the same, on its share.

Run as a program: rank, world, the folder in which they meet and leave what they have come to.
"""

import math
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from rankspace.errors import Diverged
from rankspace.model.experts import Experts
from rankspace.model.readout import Readout
from rankspace.ranks.vocabulary import END_OF_PART
from rankspace.store.entries import Wish
from rankspace.store.tokens import TokenSample
from rankspace.training.balance import Balance
from rankspace.training.documents import Documents
from rankspace.training.job import JobConfig
from rankspace.training.loop import Feed, Learner
from rankspace.training.work import REPORT_EVERY, Work
from tests.model.networks import CONTEXT, born
from tests.training.corpus import CONFIG, row
from tests.worlds import KINDS, space

STEPS = 5
STREAMS = ("a", "b", "c")
JOB = CONFIG.model_copy(update={"streams": STREAMS, "steps": STEPS})
ROWS = [[row(seed, (kind, ("text", "en"))) for seed in range(6)] for kind in KINDS[:3]]
HOLD = {"attention": 0.6, "router": 0.8, "output": 0.5}
TRUSTING: dict[str, Any] = {"memory": "held", "order": 4, "document": True}
MIXED = {"experts": 4, "active": 2, "hold": HOLD}

Result = dict[str, Any]


def learner(job: JobConfig, **switches: Any) -> Learner:
    return Learner(born("rank_moe" if "experts" in switches else "rank", **switches), READOUT, job)


def train(
    made: Learner, rank: int, world: int, rows: list[list[TokenSample]] = ROWS
) -> tuple[list[float], Balance]:
    """All steps; the losses of the last one and what the balance has come to."""
    job, balance, losses = made.config, Balance(made.config.streams), [math.nan]
    feed = Feed(Documents(space(), CONTEXT), rows, job, {})
    for step in range(STEPS):
        drawn = feed.batch(step, balance)
        _, losses = made.step(feed.pack(drawn, rank, world), step, len(job.streams))
        balance.settle(drawn.turn, losses)
    return losses, balance


def _came_to(made: Learner, losses: list[float], balance: Balance) -> Result:
    experts = [m for m in made.network.modules() if isinstance(m, Experts)]
    return {
        "weights": [weight.detach().clone() for weight in made.network.parameters()],
        "averages": made.average.weights,
        "biases": [each.bias for each in experts],
        "loads": [each.load for each in experts],
        "held": [
            beta.detach().clone() for kind in made.network.config.hold
            for beta in made.network.held(kind)
        ],
        "losses": losses,
        "mixture": balance.state.model_dump(),
    }  # fmt: skip


def together(rank: int, world: int) -> Result:
    """Experts and every beta that can be held."""
    made = learner(JOB, **MIXED)
    return _came_to(made, *train(made, rank, world))


def uneven(rank: int, world: int) -> Result:
    """Steps of one document: all workers but the first have nothing to read."""
    job = CONFIG.model_copy(update={"steps": STEPS, "batch_symbols": CONTEXT})
    long = row(0, (("text", "en"), ("image", "")), CONTEXT)
    made = learner(job, **MIXED)
    drawn = Feed(Documents(space(), CONTEXT), [[long]], job, {}).batch(0, Balance(job.streams))
    return _came_to(made, *train(made, rank, world, [[long]])) | {"drawn": len(drawn.sketches)}


def gradient(rank: int, world: int) -> Result:
    """The gradient of a step that is shared unevenly, and that of the same step on one worker."""
    job = JOB.model_copy(update={"batch_symbols": 3 * CONTEXT})
    feed, balance = Feed(Documents(space(), CONTEXT), ROWS, job, {}), Balance(STREAMS)
    drawn = feed.batch(0, balance)
    found, weighed, losses = [], [], []
    for at, of in ((rank, world), (0, 1)):
        made = learner(job)
        loss, weight, seen = made._loss(feed.pack(drawn, at, of), 1.0, len(STREAMS))
        loss.backward()
        losses.append(float(made._share(loss.detach(), weight, seen) if of > 1 else loss))
        weighed.append(float(weight))
        grads = [p.grad for p in made.network.parameters() if p.grad is not None]
        found.append(torch.cat([grad.flatten() for grad in grads]))
    return {"shared": found[0], "whole": found[1], "weighs": weighed[0], "losses": losses}


def resumed(rank: int, world: int, folder: Path) -> Result:
    """A run that was stopped and went on, and one that nobody stopped; what each has told."""
    told = {"steps": REPORT_EVERY + 2, "preset": "rank_moe", "switches": {"hold": HOLD, **TRUSTING}}
    job = JOB.model_copy(update=told)

    def run(name: str, wish: Wish) -> Result:
        torch.manual_seed(job.seed)
        work = Work(job, space(TRUSTING["order"]), ROWS, [each[:2] for each in ROWS], {})
        (folder / name).mkdir(exist_ok=True)
        *_, last = work.train(folder / name, lambda: wish, rank, world)
        dist.barrier()  # the first has written its checkpoint
        state = work.learner.network.state_dict()
        said = last.held_out_loss, last.loss, last.source_losses, work.metrics
        return {"state": state, "averages": work.learner.average.weights, "said": said}

    run("stopped", "pause")
    return {"stopped": run("stopped", "run"), "whole": run("whole", "run")}


def judging(rank: int, world: int, folder: Path) -> Result:
    """Workers whose held-out losses differ, as on machines that round otherwise, only more so."""
    told = {"steps": 40, "evaluate_every": 1, "patience": 2, "learning_rate": 3.0}
    held = [row(50 + rank, (KINDS[rank], ("text", "ru")))]
    torch.manual_seed(JOB.seed)
    work = Work(JOB.model_copy(update=told), space(), ROWS, [held, [], []], {})
    (folder / "judging").mkdir(exist_ok=True)
    events = list(work.train(folder / "judging", lambda: "run", rank, world))
    read = [event.held_out_loss for event in events]
    ended = events[-1].step, work.metrics["kept_step"]
    return {"read": read, "ended": ended, "averages": work.learner.average.weights}


def poisoned(rank: int, world: int) -> Result:
    """In the second step the last worker alone has lost what it knew of sounds."""
    made = learner(JOB)
    feed, balance = Feed(Documents(space(), CONTEXT), ROWS, JOB, {}), Balance(STREAMS)
    made.step(feed.pack(feed.batch(0, balance), rank, world), 0, len(STREAMS))
    if rank == world - 1:
        ids = [door.ids for door in READOUT.doors if door.alphabet.modality == "audio"]
        sounds = torch.cat(ids)
        with torch.no_grad():
            made.network.embed.weight[sounds[sounds > END_OF_PART]] = math.nan
    before = [weight.detach().clone() for weight in made.network.parameters()]
    try:
        made.step(feed.pack(feed.batch(1, balance), rank, world), 1, len(STREAMS))
    except Diverged as error:
        said = error.message
    else:
        said = ""
    now = made.network.parameters()
    pairs = zip(before, now, strict=True)
    moved = any(not torch.equal(b.nan_to_num(7.0), n.nan_to_num(7.0)) for b, n in pairs)
    return {"said": said, "moved": moved}


def _main(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    results = {scene.__name__: scene(rank, world) for scene in SCENES}
    results |= {scene.__name__: scene(rank, world, folder) for scene in (resumed, judging)}
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


READOUT = Readout(space())
SCENES = (together, uneven, gradient, poisoned)

if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
