"""PPM-D: prediction by partial matching, symbol by symbol, what it has read included at once.

At a symbol the longest context that was ever seen speaks first. With n counts of q symbols there,
less those that a longer context has already spoken of (exclusion),

    p(s) = (2 c(s) - 1) / 2n        p(escape) = q / 2n

and after an escape the next shorter one; after the last, all symbols that are left share alike.
Counts rise from the order the symbol was found at upwards (update exclusion). A document is read
on a copy, as it were: what was learnt inside it is taken back after it, so documents do not inform
each other and their order means nothing. Symbols are any integers below `size`: bytes, characters,
or symbols of a codec.

Source: Cleary & Witten 1984; escapes of method D: Howard 1993; both recalled, not re-read. The
test compares with an implementation that recounts all its past at every symbol.
"""

import math
from collections.abc import Sequence

import numpy as np

Seen = dict[int, int]
BITS = 21
"""Bits a symbol takes in a context's key: every character of Unicode."""


class Ppm:
    """Counts of what followed each context of up to `order` symbols."""

    def __init__(self, size: int, order: int) -> None:
        self.size, self.order = size, order
        self._tables: list[dict[int, Seen]] = [{} for _ in range(order + 1)]
        self._masks = [(1 << BITS * k) - 1 for k in range(order + 1)]
        self._changed: list[Seen] = []
        self._symbols: list[int] = []

    def learn(self, document: Sequence[int]) -> None:
        """Read a document for good."""
        past = 0
        for at, symbol in enumerate(document):
            longest = min(at, self.order)
            self._update(past, longest, symbol, self._found_at(past, longest, symbol))
            past = self._after(past, symbol)
        self._changed.clear()
        self._symbols.clear()

    def cost(self, document: Sequence[int]) -> float:
        """Nats of a document, adapting inside it and forgetting it afterwards."""
        past, nats = 0, 0.0
        for at, symbol in enumerate(document):
            longest = min(at, self.order)
            p, found = self._probability(past, longest, symbol)
            nats -= math.log(p)
            self._update(past, longest, symbol, found)
            past = self._after(past, symbol)
        self._forget()
        return nats

    def law(self, past: Sequence[int]) -> list[float]:
        """The probability of every symbol after these, as counts stand."""
        key = 0
        for symbol in past:
            key = self._after(key, symbol)
        longest = min(len(past), self.order)
        return [self._probability(key, longest, symbol)[0] for symbol in range(self.size)]

    def sample(self, random: np.random.Generator, end: int, length: int) -> list[int]:
        """A document drawn symbol by symbol, up to its end or this long."""
        said: list[int] = []
        past = 0
        while len(said) < length:
            symbol = self._draw(past, min(len(said), self.order), random)
            if symbol == end:
                break
            said.append(symbol)
            past = self._after(past, symbol)
        return said

    def _after(self, past: int, symbol: int) -> int:
        return (past << BITS | symbol) & self._masks[-1]

    def _found_at(self, past: int, longest: int, symbol: int) -> int:
        for k in range(longest, -1, -1):
            seen = self._tables[k].get(past & self._masks[k])
            if seen is not None and symbol in seen:
                return k
        return -1

    def _probability(self, past: int, longest: int, symbol: int) -> tuple[float, int]:
        """p, and the order the symbol was found at; -1 for none."""
        spoken: set[int] = set()
        p = 1.0
        for k in range(longest, -1, -1):
            seen = self._tables[k].get(past & self._masks[k])
            if seen is None:
                continue
            live = _live(seen, spoken)
            share, escape = _shares(live, self.size - len(spoken))
            if symbol in live:
                return p * (2 * live[symbol] - 1) * share, k
            p *= escape
            spoken.update(live)
        return p / (self.size - len(spoken)), -1

    def _draw(self, past: int, longest: int, random: np.random.Generator) -> int:
        """A symbol by the same law, one choice an order."""
        spoken: set[int] = set()
        for k in range(longest, -1, -1):
            live = _live(self._tables[k].get(past & self._masks[k], {}), spoken)
            if not live:
                continue
            share, escape = _shares(live, self.size - len(spoken))
            odds = [*((2 * count - 1) * share for count in live.values()), escape]
            chosen = int(random.choice(len(odds), p=np.array(odds) / sum(odds)))
            if chosen < len(live):
                return list(live)[chosen]
            spoken.update(live)
        left = [symbol for symbol in range(self.size) if symbol not in spoken]
        return left[int(random.integers(len(left)))]

    def _update(self, past: int, longest: int, symbol: int, found: int) -> None:
        for k in range(max(found, 0), longest + 1):
            seen = self._tables[k].setdefault(past & self._masks[k], {})
            seen[symbol] = seen.get(symbol, 0) + 1
            self._changed.append(seen)
            self._symbols.append(symbol)

    def _forget(self) -> None:
        """Take back what was counted since the last document that was learnt."""
        for seen, symbol in zip(self._changed, self._symbols, strict=True):
            if seen[symbol] == 1:
                del seen[symbol]
            else:
                seen[symbol] -= 1
        self._changed.clear()
        self._symbols.clear()


def _live(seen: Seen, spoken: set[int]) -> Seen:
    return {s: n for s, n in seen.items() if s not in spoken} if spoken else seen


def _shares(live: Seen, left: int) -> tuple[float, float]:
    """What a half count is worth, and the escape; none where all symbols left are known.

    A context whose symbols are all spoken of is passed over for nothing: everyone knows it is.
    """
    if not live:
        return 0.0, 1.0
    total, kinds = sum(live.values()), len(live)
    if kinds == left:
        return 1.0 / (2 * total - kinds), 0.0
    return 1.0 / (2 * total), kinds / (2 * total)
