"""Right histories and wrong ones, made without a server: what the checker is checked with.

`history` plays random clients against the contract written as a list. `MUTATIONS` then break one
law each, in the way that a server would break it: a sample that was acknowledged is gone, a stale
read, a batch torn in two.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.robustness.contents import chained, key_of
from tests.robustness.history import Operation

History = list[Operation]
STREAM = "s"


@dataclass
class Model:
    """One stream as the contract has it."""

    log: list[str] = field(default_factory=list)
    epoch: int = 0
    finalized: bool = False

    def append(self, offset: int | None, keys: tuple[str, ...], epoch: int) -> dict[str, Any]:
        """What becomes of a batch."""
        first, end = len(self.log) if offset is None else offset, len(self.log)
        there = tuple(self.log[first : first + len(keys)])
        if 0 < epoch < self.epoch:
            return self._refused("FENCED")
        self.epoch = max(epoch, self.epoch)
        if first > end:
            return self._refused("OFFSET_GAP")
        if there != keys[: len(there)]:
            return self._refused("CONTENT_CONFLICT")
        if len(there) == len(keys):
            return {"first": first, "next": first + len(keys), "duplicate": True}
        if self.finalized:
            return self._refused("STREAM_FINALIZED")
        self.log += keys[len(there) :]
        return {"first": first, "next": len(self.log)}

    def _refused(self, reason: str) -> dict[str, Any]:
        return {"outcome": "refused", "reason": reason, "next": len(self.log)}

    def look(self) -> dict[str, Any]:
        """The stream's figures."""
        return {"next": len(self.log), "digest": chained(self.log), "finalized": self.finalized}

    def read(self, offset: int, limit: int) -> dict[str, Any]:
        """What is there."""
        keys = tuple(self.log[offset:][: limit or None])
        return {"keys": keys, "next": offset + len(keys) if keys else -1, "whole": True}


def history(seed: int, steps: int = 60) -> History:
    """A right history; several operations are under way at any time, and answers get lost."""
    chance, model = random.Random(seed), Model()
    found = [_step(chance, model, number) for number in range(steps)]
    end = 10 * steps + 1000
    found.append(_operation("look", end, end + 1, model.look()))
    found.append(_operation("read", end, end + 1, {"offset": 0} | model.read(0, 0)))
    return found


def _operation(kind: Any, invoked: int, returned: int, heard: dict[str, Any]) -> Operation:
    return Operation("c", kind, STREAM, invoked, returned, **heard)


def _step(chance: random.Random, model: Model, number: int) -> Operation:
    """One operation that takes effect at ten times its number, and begins and ends about then."""
    at = 10 * number + 500
    invoked, returned = at - chance.randrange(1, 60), at + chance.randrange(1, 60)
    kind = chance.choices(
        ["append", "plain", "read", "look", "claim", "finalize"], [50, 12, 15, 8, 6, 0.4]
    )[0]
    if kind == "look":
        return _operation("look", invoked, returned, model.look())
    if kind == "read":
        said = {"offset": chance.randint(0, len(model.log) + 2), "limit": chance.choice([0, 0, 3])}
        return _operation("read", invoked, returned, said | model.read(*said.values()))
    if kind == "claim":
        model.epoch += 1
        heard = {"epoch": model.epoch, "next": len(model.log)}
        return _operation("claim", invoked, returned, heard)
    if kind == "finalize":
        model.finalized = True
        return _operation("finalize", invoked, returned, model.look() | {"digest": ""})
    return _append(chance, model, number, (invoked, returned), kind == "plain")


def _append(
    chance: random.Random, model: Model, number: int, times: tuple[int, int], plain: bool
) -> Operation:
    length = chance.randint(1, 4)
    offset = max(0, len(model.log) + chance.choice([-3, -2, -1, 0, 0, 0, 0, 1]))
    keys = (*model.log[offset:], *(key_of(f"{number}.{at}.t") for at in range(length)))[:length]
    if plain or chance.random() < 0.1:
        keys = tuple(key_of(f"{number}.{at}.x") for at in range(length))
    epoch = chance.choice([0, 0, model.epoch, max(0, model.epoch - 1)])
    place = None if plain else offset
    said: dict[str, Any] = {"offset": place, "keys": keys, "epoch": epoch}
    if chance.random() < 0.1:  # it never arrived
        return _operation("append", *times, said | {"outcome": "unknown"})
    heard = model.append(place, keys, epoch)
    if chance.random() < 0.15:  # the answer was lost
        return _operation("append", *times, said | {"outcome": "unknown"})
    return _operation("append", *times, said | heard)


Mutation = Callable[[random.Random, History], History | None]
"""A wrong history made of a right one; None where this one has no place for the fault."""


def _change(
    found: History, chance: random.Random, which: Callable[[Operation], bool], **values: Any
) -> History | None:
    places = [at for at, one in enumerate(found) if which(one)]
    if not places:
        return None
    at = chance.choice(places)
    return [*found[:at], replace(found[at], **values), *found[at + 1 :]]


def _stored(one: Operation) -> bool:
    return one.kind == "append" and one.outcome == "ok" and not one.duplicate


def _with_log(found: History, log: tuple[str, ...]) -> History:
    """The same, but the end shows another log."""
    *rest, look, read = found
    look = replace(look, next=len(log), digest=chained(log))
    return [*rest, look, replace(read, keys=log, next=len(log) if log else -1)]


def lost_tail(_: random.Random, found: History) -> History | None:
    """The last sample is gone, though it was acknowledged or seen."""
    log = found[-1].keys
    told = any(one.outcome == "ok" and one.next == len(log) for one in found[:-2])
    return _with_log(found, log[:-1]) if log and told else None


def lost_within(chance: random.Random, found: History) -> History | None:
    """A sample in the middle is gone and the others have moved up."""
    log = found[-1].keys
    at = chance.randrange(max(1, len(log) // 2))
    told = any(_stored(one) and one.first <= at < one.next for one in found)
    return _with_log(found, log[:at] + log[at + 1 :]) if told else None


def twice(chance: random.Random, found: History) -> History | None:
    """A batch is there twice."""
    log = found[-1].keys
    places = [one for one in found if _stored(one) and one.next < len(log)]
    if not places:
        return None
    one = chance.choice(places)
    return _with_log(found, log[: one.next] + log[one.first :])


def torn(_: random.Random, found: History) -> History | None:
    """Only the first half of a batch whose answer was lost is there, at the end of the stream."""
    log = found[-1].keys
    end = found[-1].invoked - 10
    keys = (key_of("torn.1.t"), key_of("torn.2.t"))
    said = {"offset": len(log), "keys": keys, "outcome": "unknown"}
    if any(one.kind == "finalize" for one in found):
        return None
    found = [*found[:-2], _operation("append", end, end + 5, said), *found[-2:]]
    return _with_log(found, (*log, keys[0]))


def foreign(chance: random.Random, found: History) -> History | None:
    """A sample is not what was sent."""
    log = found[-1].keys
    if not log:
        return None
    at = chance.randrange(len(log))
    return _with_log(found, (*log[:at], key_of("foreign.t"), *log[at + 1 :]))


def wrong_read(chance: random.Random, found: History) -> History | None:
    """One reader is given other content."""
    changed = _change(found[:-2], chance, lambda one: one.kind == "read" and bool(one.keys),
                      keys=(key_of("foreign.t"),))  # fmt: skip
    return [*changed, *found[-2:]] if changed else None


def moved(chance: random.Random, found: History) -> History | None:
    """A batch lies elsewhere than the answer said."""
    places = [at for at, one in enumerate(found) if _stored(one)]
    if not places:
        return None
    at = chance.choice(places)
    one = found[at]
    return [*found[:at], replace(one, first=one.first + 1, next=one.next + 1), *found[at + 1 :]]


def stale(_: random.Random, found: History) -> History | None:
    """A look that came after everything shows less than there is."""
    log = found[-1].keys
    known = max((one.next for one in found[:-2] if one.outcome == "ok"), default=0)
    if known < 1:
        return None
    late = found[-1].invoked - 5
    heard = {"next": known - 1, "digest": chained(log[: known - 1])}
    return [*found[:-2], _operation("look", late, late + 1, heard), *found[-2:]]


def stored_though_refused(chance: random.Random, found: History) -> History | None:
    """What was stored was answered with a refusal."""
    which = [one for one in found if _stored(one)]
    return _change(found, chance, lambda one: one in which[-1:], outcome="refused",
                   reason="OVERLOADED", next=-1)  # fmt: skip


def new_twice(_: random.Random, found: History) -> History | None:
    """The same batch is acknowledged as new a second time."""
    which = [one for one in found if _stored(one)]
    late = found[-1].invoked - 5
    again = [replace(one, invoked=late, returned=late + 1, epoch=0) for one in which[-1:]]
    return [*found[:-2], *again, *found[-2:]] if again else None


def unfenced(_: random.Random, found: History) -> History | None:
    """A writer goes on though its epoch is over."""
    which = [one for one in found if one.kind == "append" and one.outcome == "ok"]
    claims = [one for one in found if one.kind == "claim" and one.epoch > 1]
    if not which or not claims:
        return None
    late = found[-1].invoked - 5
    one = replace(which[-1], invoked=late, returned=late + 1, duplicate=True, epoch=1)
    return [*found[:-2], one, *found[-2:]]


def same_epoch(_: random.Random, found: History) -> History | None:
    """Two writers are given one epoch."""
    claims = [one for one in found if one.kind == "claim"]
    return [*found[:-2], replace(claims[-1]), *found[-2:]] if claims else None


def grown(_: random.Random, found: History) -> History | None:
    """A finalized stream takes one more."""
    log, late = found[-1].keys, found[-1].invoked - 5
    if not found[-2].finalized:
        return None
    said = {"offset": len(log), "keys": (key_of("late.t"),), "first": len(log)}
    one = _operation("append", late, late + 1, said | {"next": len(log) + 1})
    return _with_log([*found[:-2], one, *found[-2:]], (*log, key_of("late.t")))


def gap_refused(_: random.Random, found: History) -> History | None:
    """The next offset is refused as a gap."""
    log, late = found[-1].keys, found[-1].invoked - 2
    said = {"offset": len(log), "keys": (key_of("gap.t"),), "outcome": "refused"}
    seen = _operation("look", late - 3, late - 2, {"next": len(log), "digest": chained(log),
                      "finalized": found[-2].finalized})  # fmt: skip
    gap = _operation("append", late, late + 1, said | {"reason": "OFFSET_GAP", "next": len(log)})
    return [*found[:-2], seen, gap, *found[-2:]]


def conflict_refused(_: random.Random, found: History) -> History | None:
    """The same content is refused as other content."""
    which = [one for one in found if _stored(one)]
    late = found[-1].invoked - 5
    values: dict[str, Any] = {
        "outcome": "refused",
        "reason": "CONTENT_CONFLICT",
        "next": len(found[-1].keys),
    }
    again = [replace(one, invoked=late, returned=late + 1, offset=one.first, **values)
             for one in which[-1:]]  # fmt: skip
    return [*found[:-2], *again, *found[-2:]] if again else None


def other_digest(_: random.Random, found: History) -> History | None:
    """The digest is of something else."""
    return (
        [*found[:-2], replace(found[-2], digest="00" * 32), found[-1]] if found[-1].keys else None
    )


def fault_of_its_own(chance: random.Random, found: History) -> History | None:
    """A call ends with a bug."""
    return _change(found, chance, lambda one: one.kind == "append" and one.outcome == "unknown",
                   reason="RANKSPACE_ERROR")  # fmt: skip


MUTATIONS: tuple[Mutation, ...] = (
    lost_tail, lost_within, twice, torn, foreign, wrong_read, moved, stale, stored_though_refused,
    new_twice, unfenced, same_epoch, grown, gap_refused, conflict_refused, other_digest,
    fault_of_its_own,
)  # fmt: skip
