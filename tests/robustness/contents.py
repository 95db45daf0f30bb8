"""Samples that are told by their name alone, and the key under which histories speak of them.

A name ends in what it is: `t` a short text, `a` sound that is large enough for a blob, `p` both,
`x` bytes that are no text, which every server refuses, `l` a text that only a lenient server takes.
The same name is always the same sample, so a reader can tell what must lie behind a tombstone.

A key is the content hash in hexadecimal, with `!` before it where the sample is refused. It is
computed here once more, from the layout that `rankspace.store.content` documents, so that the
checker trusts nothing of what it checks.
"""

import random
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

from blake3 import blake3

from rankspace.media.sample import Part, Sample

KINDS = "ttttapx"
"""What a random name ends in; mostly texts."""

LIVE_KINDS = "taap"
"""The same for a stream whose media grow."""

SOUNDING = "ap"
"""Kinds whose last part is a sound."""

LONG_BYTES = 3000
STRICT_BYTES = 2000
"""What a strict server takes of a text: more than any `t`, less than an `l`."""

REFUSED = "!"


def sample(name: str) -> Sample:
    """The sample of this name."""
    bits = random.Random(name)
    text = Part(
        "text", f"{name} {bits.getrandbits(64):x} ".encode() * bits.randint(1, 12), role="en"
    )
    sound = Part("audio", bits.randbytes(2 * bits.randint(200, 3000)), "pcm_s16le", "", 16_000, 1)
    parts = {
        "t": (text,),
        "a": (sound,),
        "p": (text, sound),
        "x": (Part("text", b"\xff\xfe"),),
        "l": (Part("text", text.data.ljust(LONG_BYTES, b".")),),
    }
    return Sample(name, parts[name[-1]], bits.randrange(2**50), {"writer": name.split(".")[0]})


def key(found: Sample) -> str:
    """What histories call a sample."""
    mark = REFUSED if found.sample_id.endswith("x") else ""
    return mark + blake3(b"".join(_layout(found))).hexdigest()


@lru_cache(4096)
def key_of(name: str) -> str:
    """What histories call the sample of this name."""
    return key(sample(name))


def size_of(name: str) -> int:
    """Media bytes of the sample of this name, where it is taken."""
    return 0 if name.endswith("x") else sum(len(part.data) for part in sample(name).parts)


def twin_name(stream: str, offset: int) -> str:
    """What lies at this offset of a stream that twins write."""
    kinds = LIVE_KINDS if stream == "live" else KINDS
    return f"{stream}.{offset}.{random.Random(f'{stream}.{offset}').choice(kinds)}"


def digests(keys: Iterable[str]) -> Iterator[str]:
    """The digest of a stream after each of these, in hexadecimal."""
    digest = bytes(32)
    for one in keys:
        digest = blake3(digest + bytes.fromhex(one.removeprefix(REFUSED))).digest()
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
