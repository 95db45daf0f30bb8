"""`rankspace` that looks into no media at the door, to see what looking costs.

python -m benchmarks._sandbox_without serve ...
"""

from collections.abc import Sequence

from rankspace.errors import InvalidInput
from rankspace.media.sample import Sample
from services.cli import main
from services.sandbox.decoding import Sandbox


async def _unseen(
    self: Sandbox,
    samples: Sequence[Sample],
    tenant: str = "",
) -> list[InvalidInput | None]:
    return [None] * len(samples)


if __name__ == "__main__":
    Sandbox.checked = _unseen  # type: ignore[method-assign]
    main()
