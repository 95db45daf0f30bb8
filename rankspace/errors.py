"""Everything that can go wrong on purpose, in one tree.

    RankspaceError
    ├── InvalidInput              the caller sent what can never work; `field` names the culprit
    │   ├── UnknownModality
    │   ├── MalformedMedia        the bytes are not what they say they are
    │   ├── DecodeFailed          a decoder died of it, or was stopped
    │   ├── LimitExceeded         well formed, but larger than this service takes
    │   └── InvalidConfig
    ├── NotFound                  no such stream, job, model or alias
    │   └── Expired               it was kept as long as its stream keeps samples
    ├── AlreadyExists             the name is taken by something else
    │   └── ContentConflict       this offset holds other content
    ├── Refused                   right request, wrong state
    │   ├── OffsetGap             the append is not the next one; `expected` is
    │   ├── StreamFinalized
    │   ├── WrongLayout           weights of another network than the one at hand
    │   ├── Diverged              training met a loss that is no number
    │   └── Fenced                a newer writer has taken the stream
    ├── Denied                    who asks is unknown
    │   └── Forbidden             who asks is known and may not
    ├── Overloaded                try again after `retry_after_s`
    │   └── QuotaExceeded         so much and no more of one tenant or stream; `field` names whose
    ├── Cancelled                 stopped because somebody asked
    ├── NotBuilt                  the wire has it, this version does not
    ├── Corrupt                   what is stored is not what was written
    │   └── Quarantined           it was set aside because of that
    └── Unreachable               the server cannot be reached or went away
        └── TimedOut              the call was silent, or at work, for longer than the server bears

Raise the leaf; catch the branch. A message says what is wrong and what would be right, in lower
case and without a full stop. `services.errors` gives every class its gRPC status;
`rankspace.client` turns the status back into the same class by its `reason`.
"""

import re
from collections.abc import Iterator, Mapping


class RankspaceError(Exception):
    """Base of all errors raised on purpose; anything else is a bug.

    Errors cross processes, so they must pickle: every argument goes on to `super().__init__`.
    `facts` are for programs: names in lower_snake, such as "expected_offset", and their values.
    """

    def __init__(
        self,
        message: str,
        field: str = "",
        retry_after_s: float = 0.0,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, field, retry_after_s, facts)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        return self.message

    @classmethod
    def reason(cls) -> str:
        """The class name as the UPPER_SNAKE reason of `google.rpc.ErrorInfo` (AIP-193)."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()


class InvalidInput(RankspaceError):
    """The caller sent what can never work."""


class UnknownModality(InvalidInput):
    """The modality is not one of text, audio, image, video, or the model has not learnt it."""


class MalformedMedia(InvalidInput):
    """The bytes are not what they say they are."""


class DecodeFailed(InvalidInput):
    """A decoder died of these bytes, or used up its time or memory."""


class LimitExceeded(InvalidInput):
    """Well formed, but larger than this service takes."""


class InvalidConfig(InvalidInput):
    """A setting is missing, unknown or out of range."""


class NotFound(RankspaceError):
    """No such stream, job, model or alias."""


class Expired(NotFound):
    """The sample was kept for as long as its stream keeps samples."""


class AlreadyExists(RankspaceError):
    """The name is taken by something else."""


class ContentConflict(AlreadyExists):
    """This offset holds other content than the request."""


class Refused(RankspaceError):
    """A right request in the wrong state."""


class OffsetGap(Refused):
    """The append is not the next one; the message names the offset that is."""


class StreamFinalized(Refused):
    """The stream takes no more samples."""


class WrongLayout(Refused):
    """These weights are of a network with other switches; the message says what differs."""


class Diverged(Refused):
    """Training met a loss or a gradient that is no number; the weights before it are kept."""


class Fenced(Refused):
    """A newer writer has taken the stream."""


class Denied(RankspaceError):
    """Who asks is unknown."""


class Forbidden(Denied):
    """Who asks is known and may not."""


class Overloaded(RankspaceError):
    """Try again after `retry_after_s`."""


class QuotaExceeded(Overloaded):
    """So much and no more of one tenant or stream; `field` names whose quota it is."""


class Cancelled(RankspaceError):
    """Stopped because somebody asked."""


class NotBuilt(RankspaceError):
    """The wire has it, this version does not."""


class Corrupt(RankspaceError):
    """What is stored is not what was written."""


class Quarantined(Corrupt):
    """What is stored was damaged and has been set aside."""


class Unreachable(RankspaceError):
    """The server cannot be reached or went away."""


class TimedOut(Unreachable):
    """The call was silent, or at work, for longer than the server bears."""


def tree(root: type[RankspaceError] = RankspaceError) -> Iterator[type[RankspaceError]]:
    """Every class of the tree, the root first."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)
