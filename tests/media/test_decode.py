"""Hostile media end in a clear error or a right decode: quickly, quietly and in little memory."""

import os
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
from rankspace.media import decode, encode
from rankspace.media.limits import Limits
from rankspace.media.probe import probe
from rankspace.media.sample import Modality, Part
from rankspace.media.strip.whole import strip

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RANKSPACE_DATA", ROOT.parent / "shared" / "data"))
ARCHIVE = DATA / "H_bad_inputs.tar.xz"
LIMITS = Limits()

TONE = (0.3 * np.sin(np.arange(4_000) * 0.1)).astype(np.float32)
X, Y = np.meshgrid(np.arange(32), np.arange(32))
PIXELS = np.stack([7 * X, 5 * Y, 3 * (X + Y)], axis=-1).astype(np.uint8)
FRAMES = [np.roll(PIXELS, 3 * at, axis=1) for at in range(4)]
GOOD: dict[str, tuple[Modality, bytes]] = {
    **{f: ("audio", getattr(encode, f)(TONE)) for f in ("wav", "flac", "ogg", "opus", "mp3")},
    **{f: ("image", getattr(encode, f)(PIXELS)) for f in ("png", "jpeg", "webp")},
    **{f: ("video", getattr(encode, f)(FRAMES, 5)) for f in ("gif",)},
    **{f: ("video", getattr(encode, f)(FRAMES, 5, TONE)) for f in ("mp4", "webm")},
}


def outcome(part: Part) -> str:
    """How decoding ends; a refusal names its field, in words of our own."""
    try:
        probe(part, LIMITS)
        getattr(decode, part.modality)(part, LIMITS)
    except InvalidInput as error:
        words, field, end = error.message, error.field, type(error).__name__
    else:
        words, field, end = "decoded", part.modality, "decoded"
    assert words.isprintable(), words
    assert " at 0x" not in words
    assert field
    return end


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
@settings(max_examples=40)
def test_damage_anywhere_is_survived(name: str, data: st.DataObject) -> None:
    modality, whole = GOOD[name]
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    outcome(Part(modality, bytes(broken[:kept])))


@given(st.sampled_from([*GOOD]), st.sampled_from([*GOOD]), st.integers(4, 64))
def test_a_file_with_the_head_of_another_is_survived(head: str, tail: str, at: int) -> None:
    modality = GOOD[head][0]
    outcome(Part(modality, GOOD[head][1][:at] + GOOD[tail][1][at:]))


def test_decoders_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    for modality, whole in GOOD.values():
        for at in range(20, len(whole), max(1, len(whole) // 12)):
            outcome(Part(modality, whole[:at] + b"\xff\0\xff\0" + whole[at + 4 :]))
    assert capfd.readouterr() == ("", "")


def hidden_hours() -> Part:
    """Three hours of flac whose header says that it does not know the length."""
    out = BytesIO()
    with soundfile.SoundFile(out, "w", 16_000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(3 * 3_600):
            file.write(np.zeros(16_000, np.int16))
    flac = bytearray(out.getvalue())
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    return Part("audio", bytes(flac))


def hours_of_wav() -> Part:
    """Two hours at the lowest rate, in a wav of unknown length."""
    return Part("audio", encode.wav_header(1_000) + bytes(14_400_000))


def png_of(side: int, rows: bytes) -> Part:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    data = header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return Part("image", b"\x89PNG\r\n\x1a\n" + data)


def many_pixels() -> Part:
    """400 megapixels in 49 kB."""
    return png_of(20_000, zlib.compress(bytes(20_000 // 8 + 1) * 20_000))


def one_pixel() -> Part:
    """One pixel, and 256 MB behind it."""
    packer = zlib.compressobj()
    packed = [packer.compress(bytes(1 << 20)) for _ in range(256)]
    return png_of(1, b"".join([*packed, packer.flush()]))


def vast_canvas() -> Part:
    """Four gigapixels in a gif of 40 bytes."""
    frame = b"," + bytes(4) + b"\xff" * 4 + b"\0\x02\x02\x4c\x01\0;"
    return Part("video", b"GIF89a" + b"\xff" * 4 + bytes(3) + frame)


DECODE_ALONE = """
import re, sys
from pathlib import Path
from rankspace.errors import InvalidInput
from rankspace.media import decode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part

def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

part = Part(sys.argv[1], sys.stdin.buffer.read())
before = peak_kb()
try:
    getattr(decode, part.modality)(part, Limits())
    end = "decoded"
except InvalidInput as error:
    end = type(error).__name__
print(end, peak_kb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see the peak")
@pytest.mark.parametrize(
    ("bomb", "end"),
    [
        (hidden_hours, "LimitExceeded"),
        (hours_of_wav, "LimitExceeded"),
        (many_pixels, "LimitExceeded"),
        (one_pixel, "decoded"),
        (vast_canvas, "LimitExceeded"),
    ],
)
def test_a_bomb_stays_small(bomb: Callable[[], Part], end: str) -> None:
    part = bomb()
    run = [sys.executable, "-c", DECODE_ALONE, part.modality]
    done = subprocess.run(run, input=part.data, cwd=ROOT, capture_output=True, check=True)
    found, grown_kb = done.stdout.decode().split()
    assert found == end
    assert int(grown_kb) < 64 * 1024, f"{bomb.__name__} took {grown_kb} kB"
    assert not done.stderr


KINDS: dict[str, Modality] = {
    **dict.fromkeys((".wav", ".flac"), "audio"),
    **dict.fromkeys((".txt", ".json", ".gz"), "text"),
}
FINE = [
    "wav_silence_1s.wav",
    "wav_clip.wav",
    "wav_1sample.wav",
    "wav_data_len_ffffffff.wav",
    "png_1x1.png",
]
BAD = [
    "wav_float_nan_inf.wav",
    "png_dim_2e31.png",
    "png_trunc.png",
    "png_bitflip.png",
    "txt_cp1251.txt",
]


@pytest.mark.skipif(not ARCHIVE.exists(), reason="RANKSPACE_DATA holds no H_bad_inputs.tar.xz")
def test_every_collected_bad_input_ends_well(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    ends: dict[str, str] = {}
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        start = time.perf_counter()
        part = Part(KINDS.get(path.suffix, "image"), path.read_bytes())
        ends[str(path.relative_to(tmp_path))] = outcome(part)
        with suppress(InvalidInput):
            assert strip(bare := strip(part)) == bare
        assert time.perf_counter() - start < 5, path.name
    assert len(ends) > 1_700
    assert {ends[f"H_generated/files/{name}"] for name in FINE} == {"decoded"}
    assert "decoded" not in {ends[f"H_generated/files/{name}"] for name in BAD}
    suite = [name for name in ends if "/pngsuite/" in name and name.endswith(".png")]
    wrong = [name for name in suite if (ends[name] == "decoded") == Path(name).name.startswith("x")]
    assert not wrong
