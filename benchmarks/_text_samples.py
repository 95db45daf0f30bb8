"""What made-up stories are worth: trigrams that real unseen stories have, spans that are copied.

Both are over words: runs of letters, or single signs. A trigram is valid if it occurs anywhere in
stories that no arm was trained on; real held-out stories score below 1 too, which is the ceiling.
The longest copied span is the longest run of words that stands as it is in the training stories.

Runs of n words are compared by 64-bit hashes h_n = h_{n-1} · P + w; a collision is one in 10^10.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
WORD = re.compile(r"\w+|[^\w\s]")
PRIME = np.uint64(0x9E3779B97F4A7C15)


class Words:
    """Words by number; a new one gets the next, and every text is followed by one of its own."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._borders = 0

    def read(self, texts: Iterable[str]) -> Hashes:
        """All words of the texts in one line; no run of words crosses a border unnoticed."""
        found: list[int] = []
        for text in texts:
            found += [
                self._numbers.setdefault(word, len(self._numbers)) for word in WORD.findall(text)
            ]
            self._borders += 1
            found.append((1 << 40) + self._borders)
        return _mixed(np.array(found, np.uint64))


def _mixed(values: Hashes) -> Hashes:
    """Numbers spread over all 64 bits (splitmix64; Steele et al. 2014, recalled)."""
    z = (values + np.uint64(1)) * PRIME
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def runs(line: Hashes, length: int) -> Hashes:
    """The hash of every run of this many words."""
    found = line.copy()
    for _ in range(1, length):
        found = longer(found, line)
    return found


def longer(found: Hashes, line: Hashes) -> Hashes:
    """The hash of every run of one word more than these have, of the same line."""
    return found[:-1] * PRIME + line[len(line) - len(found) + 1 :]


class Judge:
    """Reads made-up stories beside unseen real ones and beside those trained on."""

    def __init__(self, unseen: Sequence[str], train: Sequence[str]) -> None:
        self._words = Words()
        self._valid = np.unique(runs(self._words.read(unseen), 3))
        self._train = self._words.read(train)

    def validity(self, stories: Sequence[str]) -> float:
        """Share of all trigrams of these stories that unseen real stories have; nan for none."""
        told = np.concatenate([np.zeros(0, np.uint64), *map(self._trigrams, stories)])
        return float(np.isin(told, self._valid).mean()) if len(told) else float("nan")

    def copied(self, stories: Sequence[str]) -> int:
        """Words of the longest run that one of these stories shares with the training stories."""
        line, train = self._words.read(stories), self._train
        ours, known, length = line, train, 0
        while np.isin(ours, known).any():
            length += 1
            ours, known = longer(ours, line), longer(known, train)
        return length

    def _trigrams(self, story: str) -> Hashes:
        line = self._words.read([story])[:-1]
        return runs(line, 3) if len(line) >= 3 else line[:0]
