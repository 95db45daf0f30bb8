"""Readers: names carry roles, nothing is lost, nothing outside is read, errors name the file."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput, LimitExceeded, MalformedMedia, NotFound
from rankspace.media.sample import Part, Sample
from services.readers import ReaderLimits, read, read_folder, read_manifest, read_webdataset


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


keys = st.text("abcxyz0189_-", min_size=1, max_size=8)
suffixes = st.sampled_from(["txt", "ru.txt", "en.txt", "png", "speech-ru.ogg", "effect.wav", "mp4"])
contents = st.dictionaries(
    keys, st.dictionaries(suffixes, st.binary(max_size=64), min_size=1), min_size=1, max_size=8
)


@given(contents=contents)
def test_what_is_packed_in_a_folder_or_a_tar_is_read_alike_and_whole(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, dict[str, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("readers")
    files = {f"{key}.{end}": data for key, ends in contents.items() for end, data in ends.items()}
    tarred = {s.sample_id: s for s in read(write_tar(root / "all.tar", files))}
    folded = {s.sample_id: s for s in read(write_folder(root / "all", files))}
    assert set(tarred) == set(folded) == set(contents)
    for key, ends in contents.items():
        assert {part.data for part in tarred[key].parts} == set(ends.values())
        assert set(tarred[key].parts) == set(folded[key].parts)
        assert len(tarred[key].parts) == len(ends)


def test_dots_before_the_extension_give_the_role(tmp_path: Path) -> None:
    files = {"d/7.png": b"p", "d/7.speech-ru.ogg": b"s", "d/7.ru.txt": b"t"}
    (found,) = read_webdataset(write_tar(tmp_path / "x.tar", files))
    assert found == Sample(
        "d/7",
        (
            Part("image", b"p", "png", ""),
            Part("audio", b"s", "ogg", "speech-ru"),
            Part("text", b"t", "", "ru"),
        ),
    )


def test_dates_in_file_names_are_no_roles(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"IMG 2024.01.02.jpg": b"a", "IMG 2024.01.03.jpg": b"b"})
    assert [s.sample_id for s in read(root)] == ["IMG 2024.01.02", "IMG 2024.01.03"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_json_beside_media_has_the_last_word(tmp_path: Path, mode: str) -> None:
    meta = {
        "sample_id": "first",
        "event_time_us": 7,
        "labels": {"split": "valid"},
        "parts": {"pcm": {"modality": "audio", "encoding": "pcm_s16le", "rate_hz": 8000}},
        "somebody_elses": [1],
    }
    files = {"a.json": json.dumps(meta).encode(), "a.pcm": b"\0\0"}
    name = "x.tar" + mode[1:].replace(":", ".")
    (found,) = read(write_tar(tmp_path / name, files, mode))
    part = Part("audio", b"\0\0", "pcm_s16le", "", rate_hz=8000)
    assert found == Sample("first", (part,), 7, {"split": "valid"})


def test_a_manifest_gives_text_paths_time_and_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, {"pic/cat.jpg": b"j"})
    line = {
        "sample_id": "cat",
        "event_time": "1970-01-01T00:00:01.000002Z",
        "labels": {"split": "train"},
        "parts": [{"path": "pic/cat.jpg"}, {"modality": "text", "role": "ru", "text": "кошка"}],
    }
    path = tmp_path / "m.jsonl"
    path.write_text("\n" + json.dumps(line) + "\n\n", "utf-8")
    text = Part("text", "кошка".encode(), "", "ru")
    parts = (Part("image", b"j", "jpeg"), text)
    assert list(read(path)) == [Sample("cat", parts, 1_000_002, {"split": "train"})]


def test_what_is_not_media_is_passed_over_aloud(tmp_path: Path) -> None:
    notes: list[str] = []
    files = {"a.txt": b"a", "notes.md": b"n", ".hidden.txt": b"h"}
    (found,) = read(write_folder(tmp_path / "f", files), note=notes.append)
    assert found.sample_id == "a"
    assert [note.split(": passed over")[0] for note in notes] == [str(tmp_path / "f" / "notes.md")]
    (again,) = read(write_tar(tmp_path / "f.tar", files), note=notes.append)
    assert again == found
    assert "notes.md: passed over" in notes[1]


def test_one_media_file_is_one_sample(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.en.TXT": b"hello"})
    (found,) = read(tmp_path / "a.en.TXT")
    assert found == Sample("a", (Part("text", b"hello", "", "en"),))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 1: invalid json"),
        ('{"sample_id": "a", "parts": []}', "line 1: parts: empty"),
        ('{"sample_id": "a", "parts": [{"text": "a", "path": "b"}]}', "either text or path"),
        ('{"sample_id": "a", "parts": [{"path": "../secret.txt"}]}', "secret.txt: lies outside"),
        ('{"sample_id": "a", "parts": [{"path": "/etc/hostname"}]}', "hostname: lies outside"),
        ('{"sample_id": "a", "parts": [{"path": "b.bin"}]}', "give `modality`"),
        ('{"sample_id": "a", "part": []}', "line 1: parts: field required"),
        ('{"sample_id": "a", "parts": [{"text": "a", "role": "Ы"}]}', "role 'Ы': use up to 64"),
        ('{"sample_id": "a", "event_time": "soon", "parts": []}', "line 1: event_time: "),
        ('{"sample_id": "' + "a" * 300 + '"}', "line 1: over 256 bytes"),
    ],
)
def test_a_bad_line_is_named_with_the_fix(tmp_path: Path, line: str, complaint: str) -> None:
    write_folder(tmp_path, {"secret.txt": b"s", "in/b.bin": b"b", "in/m.jsonl": line.encode()})
    with pytest.raises(InvalidInput) as caught:
        list(read_manifest(tmp_path / "in" / "m.jsonl", ReaderLimits(json_bytes_max=256)))
    assert complaint in str(caught.value)


def test_links_out_of_a_folder_are_refused_and_linked_folders_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path, {"secret.txt": b"s", "in/a.txt": b"a"})
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    notes: list[str] = []
    assert [s.sample_id for s in read_folder(tmp_path / "in", note=notes.append)] == ["a"]
    assert notes == [f"{tmp_path / 'in' / 'loop'}: passed over, a link to a folder"]
    (tmp_path / "in" / "b.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InvalidInput, match=r"b\.txt: lies outside"):
        list(read_folder(tmp_path / "in"))


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(InvalidInput, match=r"a\.txt: a link or a device"):
        list(read_webdataset(tmp_path / "x.tar"))


def test_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    small = ReaderLimits(file_bytes_max=10)
    write_folder(tmp_path / "f", {"a.txt": b"a" * 11})
    write_tar(tmp_path / "f.tar", {"a.txt": b"a" * 11})
    for path in (tmp_path / "f", tmp_path / "f.tar", tmp_path / "f" / "a.txt"):
        with pytest.raises(LimitExceeded, match=r"a\.txt: 11 bytes, at most 10"):
            list(read(path, small))


def test_a_forged_extended_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(4096))
    with pytest.raises(MalformedMedia, match="a header of"):
        list(read_webdataset(tmp_path / "x.tar"))


@pytest.mark.parametrize("cut", [1, 700, 1300])
def test_a_damaged_tar_is_said_to_be_damaged(tmp_path: Path, cut: int) -> None:
    whole = write_tar(tmp_path / "x.tar", {"a.txt": b"a" * 600, "b.txt": b"b" * 600}).read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:cut])
    with pytest.raises(MalformedMedia, match=r"x\.tar: damaged or not a tar"):
        list(read_webdataset(tmp_path / "x.tar"))


@pytest.mark.parametrize(
    ("name", "error"), [("missing", NotFound), ("x.exe", InvalidInput), ("gone.tar", NotFound)]
)
def test_a_source_of_no_known_kind_is_refused(
    tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "x.exe").write_bytes(b"")
    with pytest.raises(error, match=r"give a folder"):
        read(tmp_path / name)


def test_a_json_that_names_a_missing_file_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.txt": b"a", "a.json": b'{"parts": {"rus.txt": {"role": "ru"}}}'})
    with pytest.raises(InvalidInput, match=r"there is no a\.rus\.txt beside it"):
        list(read(tmp_path))
