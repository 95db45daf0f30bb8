"""Sound: loudness moves gains only, sound comes back where and as it was, and in time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rankspace.codecs.audio import GROUP, AudioCodec, AudioConfig, mel
from rankspace.codecs.base import decode, encode
from rankspace.codecs.pitch import pitches
from rankspace.errors import InvalidInput

Floats = NDArray[np.float32]


def glide(low: float, high: float, seconds: float = 0.6) -> Floats:
    """A voice-like sound: ten harmonics of a gliding tone, in two swells."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * np.cumsum(np.linspace(low, high, len(time))) / 16_000
    wave = sum(np.sin(n * phase) / n for n in range(1, 11))
    return (0.2 * wave * np.sin(2 * np.pi * time / 0.6) ** 2).astype(np.float32)


SOUNDS = [glide(low, high) for low in range(90, 300, 30) for high in range(90, 300, 30)]
CODEC = AudioCodec.fit(SOUNDS, AudioConfig(codes=64, dims=16))


@pytest.mark.parametrize("decibels", [-12.0, -3.0, 6.0])
def test_loudness_moves_gains_only(decibels: float) -> None:
    symbols = CODEC.quantise(mel(SOUNDS[9])).reshape(-1, 2)
    moved = CODEC.quantise(mel(SOUNDS[9] * np.float32(10 ** (decibels / 20)))).reshape(-1, 2)
    heard = (symbols[:, 0] > 0) & (moved[:, 0] > 0)
    assert heard.mean() > 0.8
    assert np.array_equal(moved[heard, 1], symbols[heard, 1])
    assert (moved - symbols)[heard, 0].tolist() == [round(decibels / 3)] * heard.sum()


def test_symbols_survive_the_way_to_sound_and_back() -> None:
    shapes, steps = [], []
    for sound in SOUNDS[::7]:
        symbols = encode(CODEC, [sound])
        back = decode(CODEC, [symbols])
        again = encode(CODEC, back)
        shapes.append(np.mean(symbols[1::2] == again[1::2]))
        steps.append(np.mean(np.abs(symbols[::2] - again[::2])))
    assert np.mean(shapes) >= 0.85
    assert np.mean(steps) <= 0.2


def test_sound_comes_back_in_its_place_and_as_loud() -> None:
    sound = np.concatenate([np.zeros(8000, np.float32), SOUNDS[3], np.zeros(8000, np.float32)])
    pieces = decode(CODEC, [encode(CODEC, [sound])])
    back = np.concatenate(pieces)
    assert len(back) == -(-len(sound) // GROUP) * GROUP
    inside = slice(8000 - 160, 8000 + len(SOUNDS[3]) + 160)
    assert np.square(back[inside]).sum() > 0.999 * np.square(back).sum()
    assert abs(10 * np.log10(np.square(back).sum() / np.square(sound).sum())) < 2


def test_a_voice_comes_back_at_its_pitch() -> None:
    codec = AudioCodec.fit([glide(high, high) for high in (110, 160, 230)], AudioConfig(codes=60))
    pieces = decode(codec, [encode(codec, [glide(160, 160)])])
    found = pitches(np.concatenate(pieces), GROUP)
    assert np.median(found[found > 0]) == pytest.approx(160, rel=0.05)
    assert (found > 0).mean() > 0.5


def test_silence_has_one_pair_of_symbols() -> None:
    symbols = encode(CODEC, [np.zeros(2000, np.float32)])
    assert symbols.tolist() == [0, CODEC.config.gains] * 4
    pieces = decode(CODEC, [symbols])
    assert not np.concatenate(pieces).round(4).any()


def test_samples_follow_their_symbols_by_200() -> None:
    decoder = CODEC.decoder()
    symbols = encode(CODEC, [SOUNDS[0]])
    ready = [len(decoder.push(symbols[i : i + 2])) for i in range(0, len(symbols), 2)]
    assert ready == [GROUP - 200] + [GROUP] * (len(ready) - 1)
    assert len(decoder.finish()) == 200


def test_the_batch_says_what_the_stream_says() -> None:
    for sound in SOUNDS[:5]:
        assert np.array_equal(CODEC.quantise(mel(sound)), encode(CODEC, [sound]))


def test_nothing_and_silence_cannot_be_learnt_from() -> None:
    with pytest.raises(InvalidInput, match="no sound"):
        AudioCodec.fit([])
    with pytest.raises(InvalidInput, match="silent"):
        AudioCodec.fit([np.zeros(16_000, np.float32)])
