"""From a snapshot to symbols: learn the codecs, write the token cache, count.

    snapshot → decode some of each stream → fit codecs → decode all → views → symbols → token cache
             → counts → rank space

Only what codecs learn from is held in memory; the rest streams. Streams with few samples get more
views of each, so that every source has about as many rows. A sample labelled split=valid is
written once, as it was sent, and never trains. Where a stream has none, the plain rows are kept
back as split=known: the network has answered with them, and read other views of them, but never
read them.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from rankspace.codecs.audio import AudioCodec
from rankspace.codecs.canvas import canvas
from rankspace.codecs.image import ImageCodec, ImageConfig
from rankspace.codecs.table import AnyCodec
from rankspace.codecs.text import TextCodec
from rankspace.codecs.video import VideoCodec
from rankspace.errors import InvalidInput, Refused
from rankspace.media.clip import Clip
from rankspace.media.decode import Decode, Decoded, within
from rankspace.media.limits import Limits
from rankspace.media.sample import Modality, Part
from rankspace.ranks.counts import Counts
from rankspace.ranks.space import ORDER, Space, codecs_hash
from rankspace.ranks.vocabulary import Kind
from rankspace.store import tokens
from rankspace.store.snapshots import Snapshot, read
from rankspace.store.store import Store
from rankspace.training import augment
from rankspace.training.job import Event, JobConfig
from rankspace.training.views import Viewer

FIT_SAMPLES = 1024
"""Samples of each stream that codecs learn from."""

FIT_VIEWS = 4
"""Most views of one picture that the picture codec learns from."""

PICTURES = ImageConfig(side=30, tile=6, codes=1024, dims=24, gists=256)
"""Few symbols a picture, the first of them its gist: what a small network learns fast."""

ROWS = 16_384
"""Rows that a stream of few samples is brought up to by views of them."""

VIEWS_MAX = 40
BLOCK = 512  # samples between two reports, and rows between two merges of counts


class Preparation:
    """All that comes before the first step. Run `events` to its end, then read the rest."""

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        config: JobConfig,
        decode: Decode | None = None,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._config = config
        self._decode = decode or within(Limits())
        self._sizes: Counter[str] = Counter()
        self._valid: Counter[str] = Counter()
        self._sizes_known = {s.stream: max(1, s.stop - s.start) for s in snapshot.sources}
        self._generator = torch.Generator().manual_seed(config.seed)
        self.kinds: set[Kind] = set()
        self.skipped = 0
        self.codecs: dict[Modality, AnyCodec] = {}
        self.space: Space | None = None

    def events(self, writes: bool, wait: Callable[[], None]) -> Iterator[Event]:
        """Do it, reporting on the way.

        Every worker learns the same codecs; the one that `writes` makes the token cache, and
        `wait` holds the others until it is there.
        """
        yield from self._learn()
        if writes:
            yield from self._write()
        wait()
        yield Event(phase="counts", progress=0.0)
        empty = Space.learn(self.codecs, sorted(self.kinds))
        counts = self._count(empty)
        self.space = Space.learn(self.codecs, sorted(self.kinds), counts)
        yield Event(phase="counts", progress=1.0, metrics={"symbols": float(counts.total)})

    def cache(self) -> tokens.TokenCache:
        """The symbols of the snapshot."""
        return tokens.TokenCache(self._store.tokens, codecs_hash(self.codecs), self._key())

    def _key(self) -> str:
        """Names the rows: the snapshot and how views of it are drawn."""
        drawn = f"{self._snapshot.hash}/{self._config.augment}/{self._config.seed}/{ROWS}"
        return hashlib.sha256(drawn.encode()).hexdigest()

    def _learn(self) -> Iterator[Event]:
        """Fit a codec for every modality that occurs."""
        heard: dict[Modality, list[Decoded]] = {}
        for done, (stream, _, sample) in enumerate(read(self._store.log, self._snapshot)):
            held_out = sample.labels.get("split") == "valid"
            self._sizes[stream] += not held_out
            self._valid[stream] += held_out
            self.kinds.update((part.modality, part.role) for part in sample.parts)
            if not held_out and self._sizes[stream] <= FIT_SAMPLES:
                for part in sample.parts:
                    self._hear(stream, part, heard)
            if done % BLOCK == 0:
                yield Event(phase="codecs", progress=0.4 * done / self._snapshot.size)
        if not heard:
            raise Refused("the streams hold nothing to learn from; append samples first")
        for done, name in enumerate(sorted(heard)):
            yield Event(phase="codecs", progress=0.4 + 0.6 * done / len(heard), message=name)
            self.codecs[name] = _fit(name, heard[name], self.codecs)
        yield Event(phase="codecs", progress=1.0)

    def _hear(self, stream: str, part: Part, heard: dict[Modality, list[Decoded]]) -> None:
        """Decode a part for its codec; pictures in other views too, as the network meets them."""
        try:
            found = self._decode(part)
        except InvalidInput:
            self.skipped += 1
            return
        media_of = heard.setdefault(part.modality, [])
        media_of.append(found)
        if part.modality == "image" and isinstance(found, np.ndarray) and self._config.augment:
            square = canvas(found.astype(np.uint8, copy=False), PICTURES.side)
            views = max(1, min(FIT_VIEWS, FIT_SAMPLES // self._sizes_known[stream]))
            media_of.extend(augment.pictures(square[None], views, self._generator)[:, 0])

    def _write(self) -> Iterator[Event]:
        """Write the token cache, unless it is there already."""
        digest = codecs_hash(self.codecs)
        path = tokens.cache_path(self._store.tokens, digest, self._key())
        if not path.exists():
            rows: list[tokens.TokenSample] = []
            for done, block in enumerate(self._rows()):
                rows.extend(block)
                if done % BLOCK == 0:
                    yield Event(phase="tokens", progress=done / self._snapshot.size)
            tokens.write(self._store.tokens, digest, self._key(), rows)
        yield Event(phase="tokens", progress=1.0)

    def _rows(self) -> Iterator[list[tokens.TokenSample]]:
        viewer = Viewer(self.codecs, self._config.seed, self._decode)
        for stream, offset, sample in read(self._store.log, self._snapshot):
            alters = any(part.modality != "text" for part in sample.parts)
            plain = not alters or sample.labels.get("split") == "valid"
            views = 0 if plain or not self._config.augment else self._views(stream)
            try:
                yield self._split(viewer.rows(stream, offset, sample, views))
            except InvalidInput:
                yield []

    def _views(self, stream: str) -> int:
        return max(1, min(VIEWS_MAX, -(-ROWS // self._sizes[stream])))

    def _split(self, rows: list[tokens.TokenSample]) -> list[tokens.TokenSample]:
        """The plain row of a sample is held back only where nothing else is."""
        if len(rows) > 1 and self._valid[rows[0].stream]:
            return [replace(rows[0], split="train"), *rows[1:]]
        return rows

    def _count(self, space: Space) -> Counts:
        """Counts over every part that trains, each part on its own."""
        asked = self._config.switches.get("order", ORDER)
        order = asked if isinstance(asked, int) else ORDER
        total = Counts.empty(order)
        rows = (row for row in self.cache() if row.split == "train")
        while block := list(islice(rows, BLOCK)):
            parts = [part for row in block for part in row.parts]
            total = total.merge(
                Counts.of([space.ids(p.modality, p.role, p.symbols) for p in parts], order)
            )
        return total


def _fit(name: Modality, heard: list[Decoded], codecs: dict[Modality, AnyCodec]) -> AnyCodec:
    """A codec learnt from these media; video speaks the symbols of the picture codec."""
    if name == "text":
        return TextCodec.fit(found for found in heard if isinstance(found, bytes))
    arrays = (found for found in heard if isinstance(found, np.ndarray))
    if name == "audio":
        return AudioCodec.fit(found.astype(np.float32, copy=False) for found in arrays)
    if name == "image":
        return ImageCodec.fit((found.astype(np.uint8, copy=False) for found in arrays), PICTURES)
    clips = [found for found in heard if isinstance(found, Clip)]
    image = codecs.get("image")
    return VideoCodec.fit(clips, image=image if isinstance(image, ImageCodec) else None)
