"""Samples that are told by their name alone, and the key under which histories speak of them.

A name ends in what it is: `t` a short text, `a` sound that is large enough for a blob, `p` both,
`x` bytes that are no text, which every server refuses. The same name is always the same sample, so
a reader can tell what must lie behind a tombstone.

A key is the content hash in hexadecimal, with `!` before it where the sample is refused. It is
computed here once more, from the layout that `rankspace.store.content` documents, so that the
checker trusts nothing of what it checks.
"""

import hashlib
import random
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

from rankspace.media.sample import Part, Sample

KINDS = "ttttapx"
"""What a random name ends in; mostly texts."""

REFUSED = "!"


def sample(name: str) -> Sample:
    """The sample of this name."""
    bits = random.Random(name)
    text = Part(
        "text", f"{name} {bits.getrandbits(64):x} ".encode() * bits.randint(1, 12), role="en"
    )
    sound = Part("audio", bits.randbytes(2 * bits.randint(200, 3000)), "pcm_s16le", "", 16_000, 1)
    parts = {"t": (text,), "a": (sound,), "p": (text, sound), "x": (Part("text", b"\xff\xfe"),)}
    return Sample(name, parts[name[-1]], bits.randrange(2**50), {"writer": name.split(".")[0]})


def key(found: Sample) -> str:
    """What histories call a sample."""
    mark = REFUSED if found.sample_id.endswith("x") else ""
    return mark + hashlib.sha256(b"".join(_layout(found))).hexdigest()


@lru_cache(4096)
def key_of(name: str) -> str:
    """What histories call the sample of this name."""
    return key(sample(name))


def digests(keys: Iterable[str]) -> Iterator[str]:
    """The digest of a stream after each of these, in hexadecimal."""
    digest = bytes(32)
    for one in keys:
        digest = hashlib.sha256(digest + bytes.fromhex(one.removeprefix(REFUSED))).digest()
        yield digest.hex()


def chained(keys: Iterable[str]) -> str:
    """The digest of a stream that holds these, in hexadecimal."""
    return [bytes(32).hex(), *digests(keys)][-1]


def _layout(found: Sample) -> Iterable[bytes]:
    yield b"rankspace.sample.1" + _text(found.sample_id)
    yield struct.pack("<qI", found.event_time_us, len(found.labels))
    for label in sorted(found.labels):
        yield _text(label) + _text(found.labels[label])
    yield struct.pack("<I", len(found.parts))
    for part in found.parts:
        yield _text(part.modality) + _text(part.encoding) + _text(part.role)
        yield struct.pack("<IIQ", part.rate_hz, part.channels, len(part.data)) + part.data
        yield struct.pack("<I", 0)  # none of these has frames


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()
