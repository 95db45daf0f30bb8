"""Text as byte-level BPE: any bytes go in, the same bytes come out, whether UTF-8 or not.

Bytes are read as Latin-1, where every byte is one character, so the tokeniser never meets anything
it cannot spell. They are first split into words by a pattern (below) and merges never cross words;
pairs of symbols that were frequent in the text learnt from become symbols of their own.

    word = a space, if any, and then letters (bytes over 127 count as letters) | one digit | signs;
           or a run of white space, less its last space if a word follows

Where a word ends is settled once the byte after it is known, and runs are bounded, so the encoder
holds back one word of at most `RUN_MAX` + 1 bytes and any cut gives the same symbols. The decoder
gives whole UTF-8 characters as long as the bytes are UTF-8.

Shapes: text is bytes; symbols int32 [N]; the first 256 symbols are the single bytes.
Source: Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units",
ACL 2016; bytes as the alphabet: Radford et al., "Language models are unsupervised multitask
learners" (2019), §2.2.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import Field
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from rankspace.codecs import files
from rankspace.codecs.base import Symbols
from rankspace.codecs.quantiser import Floats
from rankspace.config import Config, parse
from rankspace.errors import Corrupt, MalformedMedia
from rankspace.media.sample import Modality

RUN_MAX = 48
LETTERS = "A-Za-z\x80-\xff"  # the characters themselves: engines differ on escapes
WHITE = " \\t\\n\\r"
PATTERN = (
    f" ?[{LETTERS}]{{1,{RUN_MAX}}}"
    "| ?[0-9]"
    f"| ?[^{LETTERS}0-9{WHITE}]{{1,{RUN_MAX}}}"
    f"|[{WHITE}]{{1,{RUN_MAX}}}(?![^{WHITE}])"
    f"|[{WHITE}]"
)
WORD = re.compile(PATTERN)
BYTES = [chr(byte) for byte in range(256)]


class TextConfig(Config):
    """The size of the alphabet."""

    size: int = Field(default=1024, ge=256, le=65536)
    """Symbols at most; 256 are the bytes, the others are learnt. Less text learns fewer."""

    frequency_min: int = Field(default=2, ge=1)
    """How often a pair must have been seen to become a symbol."""


class TextCodec(files.Kept):
    """Bytes of text to symbols and back."""

    name: Modality = "text"
    cycle = 0

    def __init__(self, config: TextConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.size = tokenizer.get_vocab_size()
        self.layout = (("text", self.size),)
        self.slots = (range(self.size),)
        spelt = (tokenizer.id_to_token(symbol) for symbol in range(self.size))
        self.pieces = [piece.encode("latin-1") for piece in spelt if piece is not None]
        self.features: Floats = np.zeros((self.size, 0), np.float32)

    @classmethod
    def fit(cls, media: Iterable[bytes], config: TextConfig | None = None) -> "TextCodec":
        """Learn the merges from texts."""
        config = config or TextConfig()
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), "isolated")
        trainer = trainers.BpeTrainer(
            vocab_size=config.size,
            min_frequency=config.frequency_min,
            initial_alphabet=BYTES,
            show_progress=False,
        )
        tokenizer.train_from_iterator((text.decode("latin-1") for text in media), trainer)
        return cls(config, tokenizer)

    def encoder(self) -> "Encoder":
        return Encoder(self)

    def decoder(self) -> "Decoder":
        return Decoder(self)

    def symbols(self, words: list[str]) -> Symbols:
        """Symbols of words of Latin-1."""
        # Word by word: the pattern looks one byte beyond a word, and that byte may be held back.
        return np.array(self.tokenizer.encode(words, is_pretokenized=True).ids, np.int32)

    @classmethod
    def load(cls, folder: Path) -> "TextCodec":
        settings, _ = files.read(folder, cls.name)
        try:
            tokenizer = Tokenizer.from_str(str(settings["tokenizer"]))
        except (KeyError, ValueError) as error:
            raise Corrupt("the text codec of this model cannot be read") from error
        return cls(parse(TextConfig, settings["config"]), tokenizer)

    def _state(self) -> tuple[dict[str, object], dict[str, Floats]]:
        return {"config": self.config.model_dump(), "tokenizer": self.tokenizer.to_str()}, {}


class Encoder:
    """Bytes cut anywhere; a word's symbols come once the byte after it is known."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._held = ""

    def push(self, piece: bytes, /) -> Symbols:
        words = WORD.findall(self._held + piece.decode("latin-1"))
        self._held = words.pop() if words else ""  # it might go on, or end sooner
        return self._codec.symbols(words)

    def finish(self) -> Symbols:
        words = WORD.findall(self._held)
        self._held = ""
        return self._codec.symbols(words)


class Decoder:
    """Symbols cut anywhere; bytes come in whole characters."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._held = b""

    def push(self, piece: Symbols, /) -> bytes:
        if len(piece) and not (piece.min() >= 0 and piece.max() < self._codec.size):
            raise MalformedMedia(f"a symbol of text must lie in [0, {self._codec.size})")
        held = self._held + b"".join(self._codec.pieces[symbol] for symbol in piece)
        whole = len(held) - _open(held)
        self._held = held[whole:]
        return held[:whole]

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


def _open(text: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character that is not complete."""
    for back in range(1, min(3, len(text)) + 1):
        byte = text[-back]
        if byte >= 0xC0:  # the first byte of a character of two, three or four
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return back if back < length else 0
        if byte < 0x80:
            return 0
    return 0
