"""Text against the tokenizers library, and characters that are not cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankspace.codecs.base import decode, encode
from rankspace.codecs.text import TextCodec, TextConfig

CODEC = TextCodec.fit(["Кошка и dog, 1 2 3…\n\n  Кошки!".encode() * 9], TextConfig(size=320))

texts = st.text(" aкё€😀1.\n\t", max_size=80)


@given(text=texts)
def test_plain_text_is_spelt_as_the_library_spells_it(text: str) -> None:
    spelt = text.encode().decode("latin-1")
    assert encode(CODEC, [text.encode()]).tolist() == CODEC.tokenizer.encode(spelt).ids


@given(text=texts)
def test_the_decoder_never_cuts_a_character(text: str) -> None:
    decoder = CODEC.decoder()
    for symbol in encode(CODEC, [text.encode()]):
        decoder.push(np.array([symbol], np.int32)).decode()
    assert decoder.finish() == b""


def test_bytes_that_are_not_text_come_back_too() -> None:
    every = bytes(range(256)) * 2 + b"\xd0"
    pieces = decode(CODEC, [encode(CODEC, [every])])
    assert b"".join(pieces) == every


def test_the_first_symbols_are_the_bytes() -> None:
    assert CODEC.pieces[:256] == [bytes([byte]) for byte in range(256)]


def test_frequent_words_are_short() -> None:
    assert len(encode(CODEC, [" Кошка".encode()])) <= 2


def test_the_encoder_holds_back_one_bounded_word() -> None:
    encoder = CODEC.encoder()
    settled = sum(len(CODEC.pieces[symbol]) for symbol in encoder.push(b"a" * 10_000))
    assert 10_000 - settled <= 49
