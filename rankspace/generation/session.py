"""One conversation: hear parts, then speak in any kind of part, as often as wanted.

    hear    part → codec → (symbol, rank) → network + cache
    speak   begin mark → network → logits of the alphabet that may stand here → beta, cut → symbol
            → codec → media, until the model ends the part

What was said is part of the history like what was heard. Greedy or with a seed, the same model and
history give the same answer.

Shapes: A symbols of one alphabet, D width.
"""

import time
from collections.abc import Generator as Iterating
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from rankspace.generation.choose import Choice, Chooser
from rankspace.generation.request import SYMBOLS_MAX, Delta, Sampling, Target, Trace, Usage
from rankspace.generation.voice import Voice, voice
from rankspace.media.sample import Modality, Part
from rankspace.model.network import Inputs
from rankspace.ranks.vocabulary import END_OF_PART

if TYPE_CHECKING:
    from rankspace.generation.engine import Generator

SYMBOLS_DEFAULT: dict[Modality, int] = {"text": 256, "audio": 512, "image": 4096, "video": 2048}
"""Most symbols of an answer that says nothing of its length."""


@dataclass(slots=True)
class _Answer:
    """What is known of an answer that is being given."""

    target: Target
    encoding: str
    voice: Voice
    started: float
    said: list[int]
    """The begin mark and the symbols so far: what the history ends with."""

    symbols: int = 0
    first: float = 0.0
    traces: list[Trace] = field(default_factory=list)
    done: bool = False


class Session:
    """A history and the network's memory of it. Use from one thread at a time."""

    def __init__(self, generator: "Generator", capacity: int) -> None:
        self._model = generator
        self._cache = generator.network.cache(capacity)
        self._sequence = 0
        self._parts = 0
        self._heard = 0
        self._answer: _Answer | None = None
        self._states: list[torch.Tensor] = []

    def hear(self, part: Part) -> None:
        """Take the next part of the prompt."""
        from rankspace.generation.engine import inputs

        reading = self._model.reading(part)
        self._cache.reserve(len(reading.ids))
        with torch.inference_mode():
            self._model.network.states(inputs([reading], self._cache.length), cache=self._cache)
        self._parts += 1
        self._heard += len(reading.ids)

    def speak(
        self, target: Target, sampling: Sampling, trace: bool = False
    ) -> Iterating[Delta, None, None]:
        """Answer; the last delta is final and tells the cost. Close it to interrupt."""
        space = self._model.space
        begin = space.vocabulary.begin(target.modality, target.role)
        codec = space.codec(target.modality)
        speaks, encoding = voice(codec, target)
        answer = _Answer(target, encoding, speaks, time.monotonic(), [begin])
        self._answer = answer
        chooser = Chooser(sampling)
        state = self._feed(begin, 0, 0)
        for index in range(_most(target.modality, sampling, codec.cycle)):
            symbol = self._next(answer, chooser, state, index, trace)
            if symbol == END_OF_PART:
                break
            # Into the history before it is said: who stops the answer here has heard it.
            state = self._feed(symbol, space.place(target.modality, index), answer.said[-1])
            answer.said.append(symbol)
            answer.symbols += 1
            local = space.vocabulary.to_local(codec.layout, np.array([symbol], np.int32))
            if data := speaks.push(local):
                yield self._delta(answer, data)
        yield self._final(answer, interrupted=False)

    def stop(self, speaking: Iterating[Delta, None, None]) -> Delta:
        """End an answer that is being given; its final delta."""
        speaking.close()
        if self._answer is None:
            raise RuntimeError("no answer was begun")
        return self._final(self._answer, interrupted=True)

    def _next(
        self,
        answer: _Answer,
        chooser: Chooser,
        state: torch.Tensor,
        index: int,
        trace: bool,
    ) -> int:
        """Choose the index-th symbol of the answer."""
        model, modality = self._model, answer.target.modality
        door = model.space.alphabet_at(modality, index)
        chosen = model.readout.doors[door]
        with torch.inference_mode():
            found = model.readout.logits(
                model.network, model.unembedding, door, state, self._past(answer), 0.0
            )[0]
        logits = found.numpy().copy()
        end = chosen.local[END_OF_PART] if END_OF_PART in chosen.alphabet.ids else None
        if end is not None:
            self._hold_end(logits, int(end), modality, index)
        choice = chooser.choose(logits)
        symbol = int(chosen.ids[choice.index])
        if trace:
            answer.traces.append(self._trace(door, choice, logits, answer))
        return symbol

    def _hold_end(self, logits: np.ndarray, end: int, modality: Modality, index: int) -> None:
        """A picture ends when it is whole, and nothing ends before it began."""
        cycle = self._model.space.codec(modality).cycle
        if modality == "image" and index == cycle:
            kept = logits[end]
            logits[:] = -np.inf
            logits[end] = kept
        elif index == 0 or (modality == "image" and index < cycle):
            logits[end] = -np.inf

    def _feed(self, symbol: int, place: int, before: int) -> torch.Tensor:
        """Append one symbol to the history; [1, D] what the blocks say after it."""
        model = self._model
        self._cache.reserve(1)
        pair = np.array([before, symbol] if before else [symbol], np.int32)
        bucket = int(model.space.buckets(pair)[-1])
        row = [torch.tensor([[value]]) for value in (symbol, place, bucket, self._cache.length)]
        with torch.inference_mode():
            states = model.network.states(Inputs(*row), cache=self._cache)
            self._states = [state[0, -1] for state in states]
            return model.network.mix([state[:, -1] for state in states])

    def _past(self, answer: _Answer) -> torch.Tensor:
        """[1, K]: what the memory may look back on."""
        model = self._model
        most = len(answer.said) if model.network.config.document else model.space.memory.order
        said = torch.tensor([answer.said[-most:]])
        return model.readout.past(model.network, said, torch.tensor([said.shape[1] - 1]))

    def _trace(self, door: int, choice: Choice, logits: np.ndarray, answer: _Answer) -> Trace:
        chosen = self._model.readout.doors[door]
        memory = self._model.readout.expected(door, self._past(answer))[0]
        symbol = int(chosen.ids[choice.index])
        finite = logits[np.isfinite(logits)].astype(np.float64)
        top = finite.max()
        log_prob = float(logits[choice.index] - top - np.log(np.exp(finite - top).sum()))
        return Trace(
            symbol=symbol,
            modality=self._model.space.vocabulary.modality_of(symbol) or "mark",
            rank=int((logits > logits[choice.index]).sum()),
            prior_rank=int((memory > memory[choice.index]).sum()),
            log_prob=log_prob,
            log_prior=float(memory[choice.index]),
            beta=choice.beta,
            entropy=choice.entropy,
            kept=choice.kept,
            block_shares=self._shares(symbol),
        )

    def _shares(self, symbol: int) -> tuple[float, ...]:
        """What each block added to this symbol's logit: the readout is linear in the blocks."""
        network = self._model.network
        if network.say is None or network.mouth is None or network.log_beta is None:
            return ()
        with torch.inference_mode():
            symbol_looks = network.log_beta.exp() * self._model.unembedding[symbol]
            toward = network.mouth.weight.T @ symbol_looks  # [D]
            said = [network.norm(state) @ toward for state in self._states]
            return tuple((torch.stack(said) * network.voices()).tolist())

    def _delta(self, answer: _Answer, data: bytes) -> Delta:
        if not answer.first:
            answer.first = time.monotonic() - answer.started
        delta = Delta(
            sequence=self._sequence,
            modality=answer.target.modality,
            role=answer.target.role,
            encoding=answer.encoding,
            data=data,
            replaces=answer.voice.replaces,
            traces=tuple(answer.traces),
        )
        answer.traces.clear()
        self._sequence += 1
        return delta

    def _final(self, answer: _Answer, interrupted: bool) -> Delta:
        data = b"" if interrupted else answer.voice.finish()
        delta = self._delta(answer, data)
        usage = Usage(
            prompt_parts=self._parts,
            prompt_symbols=self._heard,
            answer_symbols=answer.symbols,
            seconds_to_first=answer.first,
            seconds=time.monotonic() - answer.started,
            interrupted=interrupted,
        )
        self._feed(END_OF_PART, 0, answer.said[-1])
        self._answer = None
        return Delta(
            sequence=delta.sequence, modality=delta.modality, role=delta.role,
            encoding=delta.encoding, data=data, final=True, replaces=delta.replaces and bool(data),
            traces=delta.traces, usage=usage,
        )  # fmt: skip


def _most(modality: Modality, sampling: Sampling, cycle: int) -> int:
    """Most symbols of an answer: whole pictures, frames and groups of sound, at least one."""
    asked = min(sampling.max_symbols or SYMBOLS_DEFAULT[modality], SYMBOLS_MAX)
    return max(1, asked // max(1, cycle)) * max(1, cycle)
