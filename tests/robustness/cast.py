"""Who takes part in a campaign: casts of clients, each with streams of its own.

    streams  batches of every kind: twins, rivals, plain writers, the SDK, a stream that is closed
    growing  media that come piece by piece
    keeping  what a stream keeps: refused samples, only the newest, nothing of a deleted one
    written  acknowledged before it is on the disk, as asked for

A campaign takes all of them, or those that a fault or a bug is about.
"""

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankspace.v1 import ingestion_pb2 as pb
from tests.robustness import clients, growers, keepers
from tests.robustness.calls import Caller
from tests.robustness.contents import KINDS, STRICT_BYTES
from tests.robustness.laws_keeping import RETAINED

Work = Coroutine[Any, Any, None]
STREAMS = {
    "streams": ("twins", "rivals", "plain", "sdk", "closed"),
    "growing": ("live",),
    "keeping": ("kept", *RETAINED),
    "written": ("loose", "twins"),
}
CASTS = tuple(STREAMS)
BRIEF = "reborn"
"""The stream that `keeping` deletes and makes anew."""

STRICT = {"RANKSPACE_GATEWAY__INGESTION__LIMITS__TEXT_BYTES_MAX": str(STRICT_BYTES)}
UPKEEP = {"RANKSPACE_ENGINE__UPKEEP_S": "0.3", "RANKSPACE_STORE__ORPHAN_AGE_S": "3"}
SETTINGS = {"keeping": UPKEEP | STRICT}
REFUSED_KINDS = "tttxl"
DURABILITIES = (*[pb.DURABILITY_WRITTEN] * 4, pb.DURABILITY_SYNCED)


@dataclass
class Cast:
    """The clients of one campaign; `make` gives each a connection."""

    casts: Sequence[str]
    seed: int
    seconds: float
    make: Callable[[str], Caller]
    eras: list[str] = field(default_factory=list)
    """The names in the history of the stream that is made anew."""

    @property
    def streams(self) -> list[str]:
        """All streams but that one."""
        return list(dict.fromkeys(name for cast in self.casts for name in STREAMS[cast]))

    async def create(self, caller: Caller) -> None:
        """Make the streams."""
        for stream in self.streams:
            labels = {"rejects": "keep"} if stream == "kept" else {}
            request = pb.CreateStreamRequest(stream_id=stream, labels=labels)
            if stream in RETAINED:
                age_s, size = RETAINED[stream]
                request.retention.CopyFrom(pb.Retention(age_s=age_s, bytes=size))
            await caller.stub.CreateStream(request)

    def work(self) -> list[Work]:
        """What everybody does, for ever."""
        parts = {
            "streams": self._streams, "growing": self._growing,
            "keeping": self._keeping, "written": self._written,
        }  # fmt: skip
        work = [one for cast in self.casts for one in parts[cast]()]
        for number in range(2):
            name = f"reader{number}"
            work.append(clients.read(self.make(name), self.streams, self._chance(name)))
        followed = self._chance("follower").choice(self.streams)
        return [*work, clients.follow(self.make("follower"), followed)]

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def _twin(self, name: str, stream: str, durabilities: Sequence[int] = (0,)) -> Work:
        cut = clients.twin(stream, self._chance(name), honest=stream in ("loose", *RETAINED))
        chance = self._chance(f"{name} calls")
        return clients.write(self.make(name), stream, cut, chance, durabilities)

    def _own(self, name: str, stream: str, places: bool, kinds: str = KINDS) -> Work:
        cut = clients.own(name, self._chance(name), places, kinds)
        return clients.write(self.make(name), stream, cut, self._chance(f"{name} calls"))

    def _streams(self) -> list[Work]:
        closes_s = self.seconds * 0.6
        return [
            *(self._twin(f"twin{number}", "twins") for number in range(3)),
            *(self._twin(f"closing{number}", "closed") for number in range(2)),
            *(self._own(f"rival{number}", "rivals", True) for number in range(3)),
            self._own("guest", "rivals", True),
            *(self._own(f"plain{number}", "plain", False) for number in range(2)),
            clients.use_sdk(self.make("sdk"), "sdk", self._chance("sdk")),
            clients.close_midway(self.make("closer"), "closed", closes_s),
            clients.echo(self.make("echo"), self._chance("echo")),
        ]

    def _growing(self) -> list[Work]:
        return [
            growers.grow(self.make(name), "live", self._chance(name))
            for name in ("grower0", "grower1", "grower2")
        ]

    def _keeping(self) -> list[Work]:
        retrier = keepers.retry(self.make("retrier"), "kept", self._chance("retrier"))
        reborn = keepers.make_anew(self.make, BRIEF, self._chance("owner"), self.eras)
        return [
            *(self._own(f"keeper{at}", "kept", True, REFUSED_KINDS) for at in range(2)),
            *(self._twin(f"{stream}{at}", stream) for stream in RETAINED for at in range(2)),
            retrier,
            reborn,
            clients.echo(self.make("echo"), self._chance("echo")),
        ]

    def _written(self) -> list[Work]:
        return [
            *(self._twin(f"loose{at}", "loose", DURABILITIES) for at in range(2)),
            clients.insist(self.make("loose insister"), "loose", self._chance("insister")),
            *([] if "streams" in self.casts else [self._twin("synced", "twins")]),
        ]


def settings(casts: Sequence[str], lenient: bool = False) -> dict[str, str]:
    """What the servers of a campaign are set to; a lenient one takes what a strict one refuses."""
    merged = {name: value for cast in casts for name, value in SETTINGS.get(cast, {}).items()}
    return {name: value for name, value in merged.items() if not (lenient and name in STRICT)}
