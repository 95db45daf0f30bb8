"""Whether media that grow keep their contract.

    whole  no batch is taken that names a medium before it has ended
    grown  a medium is as long as what was acknowledged of it, and no longer than what was sent:
           a chunk that is sent again counts once, and none is lost
    other  other bytes than those that are there are refused
    there  a medium that was begun is known until a batch has named it or somebody abandons it

Who began, filled or ended a medium does not matter: its name says what is in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.robustness.evidence import NEVER, Evidence
from tests.robustness.history import Operation


@dataclass
class Medium:
    """All that was done with one medium of a stream."""

    name: str
    pieces: list[Operation] = field(default_factory=list)
    free: int = NEVER
    """From then on it may be gone: a batch named it, or somebody abandoned it."""

    def told(self) -> Iterator[tuple[int, int, int]]:
        """When which length was asked for, answered, and what it was."""
        for one in self.pieces:
            for name, length in zip(one.media, one.told, strict=False):
                if name == self.name:
                    yield one.invoked, one.returned, length

    def since(self, *steps: str) -> int:
        """When one of these steps was first acknowledged."""
        done = (one.returned for one in self.pieces if one.step in steps and one.outcome == "ok")
        return min(done, default=NEVER)


def media(evidence: Evidence) -> dict[str, Medium]:
    """The media of a stream by their name."""
    found: dict[str, Medium] = {}
    for one in evidence.operations:
        for name in one.media:
            medium = found.setdefault(name, Medium(name))
            if one.kind in ("piece", "media"):
                medium.pieces.append(one)
            if (one.kind == "append" or one.step == "abandon") and one.outcome != "refused":
                medium.free = min(medium.free, one.invoked)
    return found


def whole(evidence: Evidence) -> Iterator[str]:
    """No batch is taken that names a medium before it has ended."""
    found = evidence.cached(media)
    for one in evidence.appends:
        for name in one.media if one.outcome == "ok" else ():
            ends = (piece for piece in found[name].pieces if piece.step == "end")
            asked = min((piece.invoked for piece in ends), default=NEVER)
            if asked > one.returned:
                yield f"a batch was taken that names {name}, which nobody had ended"


def grown(evidence: Evidence) -> Iterator[str]:
    """Media are as long as what was acknowledged, and no longer than what was sent."""
    for medium in evidence.cached(media).values():
        chunks = [one for one in medium.pieces if one.step in ("chunk", "other")]
        known = list(medium.told())
        for one in chunks:
            stop = one.position + one.size
            if one.outcome != "ok" or one.told[0] == stop:
                continue
            if one.told[0] < stop or not one.duplicate:
                yield f"a chunk of {medium.name} to {stop} left it at {one.told[0]}"
        for invoked, returned, length in known:
            sent = (one.position + one.size for one in chunks if one.invoked < returned)
            if length > max(sent, default=0):
                yield f"{medium.name} has {length} bytes, which nobody sent"
            least = max((there for _, then, there in known if then < invoked), default=0)
            if length < least and returned < medium.free:
                yield f"{medium.name} has {length} bytes after it had {least}"


def other(evidence: Evidence) -> Iterator[str]:
    """Other bytes than those that are there are refused."""
    for medium in evidence.cached(media).values():
        for one in medium.pieces:
            if one.step == "other" and one.outcome == "ok":
                yield f"{medium.name} took other bytes at {one.position} than it has"
            wrong = one.reason == "CONTENT_CONFLICT" and one.step != "other"
            if wrong:
                yield f"{medium.name} refused its own bytes at {one.position}"


def there(evidence: Evidence) -> Iterator[str]:
    """What was begun is known until it is named or abandoned, what has ended has ended."""
    found = evidence.cached(media)
    lists = [one for one in evidence.operations if one.kind == "media" and one.outcome == "ok"]
    for medium in found.values():
        begun, ended = medium.since("begin"), medium.since("end")
        for one in lists:
            if begun < one.invoked and one.returned < medium.free and medium.name not in one.media:
                yield f"{medium.name} is not among the media that grow"
        for one in medium.pieces:
            if one.reason == "NOT_FOUND" and begun < one.invoked and one.returned < medium.free:
                yield f"{medium.name} was begun and is not known"
        for one in evidence.appends:
            early = one.reason == "REFUSED" and one.media == (medium.name,)
            if early and ended < one.invoked and one.returned < medium.free:
                yield f"{medium.name} has ended and is said not to have"
