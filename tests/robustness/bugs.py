"""Bugs that somebody could make, each one change of the product's text: the suite must catch all.

A bug is planted in a copy of the tree, and campaigns run from that copy, with the faults that bring
it out, until one of them fails or the effort is used up. A text that is no longer there is an
error: the bug is then to be planted where its subject has gone.
"""

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.robustness.server import TREE

PARTS = ("rankspace", "services", "tests/robustness", "tests/postgres.py")


@dataclass(frozen=True)
class Bug:
    """One way to be wrong."""

    name: str
    what: str
    file: str
    old: str
    new: str
    faults: str
    """Those of `faults.py` that bring it out ("": clients alone do), "damage": of files at rest,
    "replays": those in a fixed order."""

    casts: str = "streams"
    """Those of `cast.py` that meet it."""


@dataclass(frozen=True)
class Catch:
    """What became of a bug."""

    bug: Bug
    violation: str
    """The first one; "" if the bug was not caught."""

    seconds: float


def plant(bug: Bug, folder: Path) -> None:
    """Copy the tree and plant a bug in it. Raises ValueError if its text is not there once."""
    for part in PARTS:
        ignore = shutil.ignore_patterns("__pycache__", "sample")
        if (TREE / part).is_file():
            shutil.copy(TREE / part, folder / part)
        else:
            shutil.copytree(TREE / part, folder / part, ignore=ignore)
    path = folder / bug.file
    text = path.read_text("utf-8")
    if text.count(bug.old) != 1:
        raise ValueError(f"{bug.name}: {bug.file} has {text.count(bug.old)} times {bug.old!r}")
    path.write_text(text.replace(bug.old, bug.new), "utf-8")


def hunt(bug: Bug, folder: Path, seconds: float, longest: float = 5.0) -> Catch:
    """Plant a bug and look for it until it is caught or the time is over."""
    shutil.rmtree(folder, ignore_errors=True)
    plant(bug, folder)
    began = time.monotonic()
    if bug.faults == REPLAYS:
        done = _run(folder, "pytest", "-x", "-q", "-p", "no:cacheprovider", f"{REPLAYED}.py")
        found = re.search(r"^FAILED \S+::test_(\w+)", done.stdout, re.MULTILINE)
        violation = f"replays: replays: {found[1].replace('_', ' ')}" if found else ""
    else:
        options = {"longest": longest, "seconds": seconds, "seed": 1, "keep": folder / "kept"}
        options |= {"tree": folder, "faults": bug.faults or "none", "casts": bug.casts}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        done = _run(folder, "tests.robustness", "--until-failure", *words)
        found = re.search(r"^ {10,}(\S.*)$", done.stdout, re.MULTILINE)
        violation = found[1] if found and done.returncode == 1 else ""
    started = "| append | ok |" in done.stdout or "does not start" not in done.stdout
    broken = "Traceback" in done.stderr or not started
    if done.returncode not in (0, 1) or broken:
        raise RuntimeError(f"{bug.name}: the hunt failed: {done.stdout[-800:]}{done.stderr[-800:]}")
    shutil.rmtree(folder)
    return Catch(bug, violation, time.monotonic() - began)


def _run(folder: Path, *module: str) -> subprocess.CompletedProcess[str]:
    """Run a module from a planted tree."""
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


REPLAYS = "replays"
REPLAYED = "tests/robustness/test_replays"
APPEND = "rankspace/store/append.py"
APPENDS = "rankspace/store/appends.py"
DATABASE = "rankspace/store/database.py"
LOG = "rankspace/store/log.py"
RETENTION = "rankspace/store/retention.py"
STEPS = "rankspace/store/pieces_steps.py"
READING = "rankspace/store/reading.py"
SEGMENTS = "rankspace/store/segments.py"
WINDOW = "rankspace/client/window.py"

BUGS = (
    Bug(
        "ack before fsync", "commits return before they are on the disk", DATABASE,
        'self._engine = open_engine(config, "FULL")',
        'self._engine = open_engine(config, "OFF")', "power",
    ),
    Bug(
        "media not synced", "rows name large media whose bytes are not on the disk", SEGMENTS,
        "                    os.fdatasync(segment.handle)\n", "                    pass\n", "power",
    ),
    Bug(
        "folder not synced", "the name of a segment is not on the disk", SEGMENTS,
        "                    files.sync(self._folder)\n", "", "power",
    ),
    Bug(
        "media after their row", "a row commits before the media that it names are written",
        SEGMENTS, "                    files.write_at(segment.handle, pieces, start)\n",
        "                    import threading\n"
        "                    late = (segment.handle, pieces, start)\n"
        "                    threading.Timer(0.05, files.write_at, late).start()\n", "kill",
    ),
    Bug(
        "torn batch", "half of a batch is committed before the other half", APPENDS,
        "        synced = any(batch.durability",
        "        import dataclasses, json, rankspace.store.content as content\n"
        "        for one in batches:\n"
        "            run = one.entries[0]\n"
        "            few = json.loads(getattr(run, 'told', '[]'))[: run.offsets // 2]\n"
        "            if few and one.offset is not None:\n"
        "                size = sum(content.size(line[3]) for line in few)\n"
        "                a = run.hashes[: 32 * len(few)], json.dumps(few), run.payload, size\n"
        "                few = dataclasses.replace(one, entries=[type(run)(*a, run.at)])\n"
        "                self.settle([one])\n"
        "                with self._database.write() as connection:\n"
        "                    compare_and_append(connection, [few])\n"
        "        synced = any(batch.durability", "kill",
    ),
    Bug(
        "no fence", "an older writer goes on", APPEND,
        "if 0 < epoch < known:", "if False and 0 < epoch < known:", "",
    ),
    Bug(
        "fence not kept", "the newest epoch is forgotten", APPEND,
        "    if newest > row.epoch:", "    if False and newest > row.epoch:", "",
    ),
    Bug(
        "duplicate not compared", "other content at a taken offset counts as a retry", APPEND,
        "    if found == sent:", "    if True or found == sent:", "",
    ),
    Bug(
        "overlap stored again", "what is there already of a batch is appended once more", APPEND,
        "new = behind(batch.entries, there)",
        "new = behind(batch.entries, there) and list(batch.entries)", "",
    ),
    Bug(
        "overlap cut wrong", "of a run that is there in part the first media are stored",
        "rankspace/store/runs.py", "run.payload[gone:]", "run.payload[:-gone]", "",
    ),
    Bug(
        "gap filled", "a batch beyond the end lands at the end", APPEND,
        "    if first > head.next:", "    first = min(first, head.next)\n    if first > head.next:",
        "",
    ),
    Bug(
        "refused batch leaks", "a batch that is refused leaves its samples in the group", APPEND,
        "        except RankspaceError as error:\n            outcomes.append(error)",
        "        except RankspaceError as error:\n            outcomes.append(error)\n"
        "            if isinstance(error, OffsetGap) and batch.stream in heads:\n"
        "                _extend(heads[batch.stream], batch.epoch, batch.entries, None)", "",
    ),
    Bug(
        "tombstone without offset", "a refused sample takes no offset", APPEND,
        "there else batch.entries\n",
        "there else batch.entries\n    new = [one for one in new if one.size]\n", "",
    ),
    Bug(
        "duplicate told as new", "a retry is acknowledged as if it had been stored now", APPEND,
        "first + count, not new, batch.durability)", "first + count, False)", "",
    ),
    Bug(
        "finalized stream grows", "nobody asks whether the stream is closed", APPEND,
        "    if new and head.finalized:", "    if False and head.finalized:", "",
    ),
    Bug(
        "digest of the last", "the digest forgets all but the last sample of a batch", APPEND,
        "head.digest = chain(head.digest, entry.hashes)",
        "head.digest = chain(head.digest, entry.hashes[-DIGEST:])", "",
    ),
    Bug(
        "follower skips", "a reader that follows goes on one too far", "services/local/engine.py",
        "at = max(at, head.next_offset)\n", "at = max(at, head.next_offset + window.follow)\n", "",
    ),
    Bug(
        "stale read", "a read ends before what was acknowledged", READING,
        "end = head.next_offset if stop is None else min(stop, head.next_offset)",
        "end = max(0, head.next_offset - 1)", "",
    ),
    Bug(
        "off by one on resume", "the server tells a writer to go on one too early",
        "services/ingestion/service.py",
        "            next_offset=stream.next_offset,\n            credits",
        "            next_offset=max(0, stream.next_offset - 1),\n            credits", "",
    ),
    Bug(
        "client forgets", "the SDK takes what was on its way for stored", WINDOW,
        "        self._sent = self._sent_bytes = 0\n",
        "        while self._sent:\n            self._pending.popleft()\n"
        "            self._sent -= 1\n        self._sent_bytes = 0\n", "cut,lose",
    ),
    Bug(
        "media freed too soon", "large media go though nobody knows whether a row names them",
        APPENDS, "    return isinstance(outcome, Unreachable)\n", "    return False\n", "syncs",
        "streams,growing",
    ),
    Bug(
        "not synced again", "what was only written and is sent again is told as synced",
        "rankspace/store/marks.py", "    elif is_written(_number(connection)):", "    elif False:",
        REPLAYS,
    ),
    Bug(
        "written told as synced", "what is only written is told as synced", APPENDS,
        "_as_synced(outcome) if synced else outcome", "_as_synced(outcome)", "power", "written",
    ),
    Bug(
        "holes not told from damage", "a store is refused that lost what was only written",
        "rankspace/store/recovery.py",
        "        commits &= ~_any_since_commit(unsure, commits)\n", "        del unsure\n",
        REPLAYS,
    ),
    Bug(
        "log not settled", "a store goes on behind commits that the disk may not have", DATABASE,
        "            self._settle(self.file)\n", "            pass\n", REPLAYS,
    ),
    Bug(
        "on after a failed sync", "a store goes on though its disk failed to sync", DATABASE,
        '"sqlite_errorcode", 0) in faults.UNSYNCED:', '"sqlite_errorcode", 0) is None:', REPLAYS,
    ),
    Bug(
        "chunk counted twice", "a chunk that is sent again from before its medium's end is added",
        STEPS, "    new = step.data[known:]\n", "    new = step.data\n", "", "growing",
    ),
    Bug(
        "part of a medium", "a batch may name a medium that has not ended", STEPS,
        "    if not medium.ended:\n        raise Refused(",
        "    if not medium.ended:\n"
        "        found = _pieces(connection, medium.stream_id, medium.media_id)\n"
        "        head = dict(medium.head)\n"
        "        event_time_us = head.pop(\"event_time_us\")\n"
        "        data = b\"\".join(data for _, data in found)\n"
        "        return Medium(Part(data=data, **head), event_time_us)\n"
        "        raise Refused(", "", "growing",
    ),
    Bug(
        "other bytes taken", "other bytes count as a chunk that is sent again", STEPS,
        "    if known:\n        _compare(", "    if False:\n        _compare(", "", "growing",
    ),
    Bug(
        "one too many expires", "the last sample that is to be kept goes as well", RETENTION,
        "one.created_us >= born and excess <= 0:",
        "one.created_us >= born and excess <= -one.size:", "", "keeping",
    ),
    Bug(
        "media go with the first", "large media go with the first sample of their batch", RETENTION,
        "regions.c.last <= last", "regions.c.last <= last + 3", "", "keeping",
    ),
    Bug(
        "rejects of retries lost", "what is refused of a batch that comes again is not kept",
        "services/ingestion/batches.py", "        if admitted.refusals and writer.keep_rejects:",
        "        if admitted.refusals and writer.keep_rejects and not appended.duplicate:", "kill",
        "keeping",
    ),
    Bug(
        "stored told as refused", "a batch is refused whose refused samples could not be kept",
        "services/ingestion/answering.py",
        "    except RankspaceError as error:\n        raise Unreachable(",
        "    except ZeroDivisionError as error:\n        raise Unreachable(", "full", "keeping",
    ),
    Bug(
        "rejects lost", "of several refused samples the first is kept",
        "rankspace/store/rejects.py", "for one in refused if one.offset not in there]",
        "for one in refused[:1] if one.offset not in there]", "", "keeping",
    ),
    Bug(
        "delete forgets", "a stream that was deleted is there when it is made again", LOG,
        'gone = {"deleted": True, "name": f"!{row.id}"}',
        'gone = {"deleted": False}', "", "keeping",
    ),
    Bug(
        "hash not checked", "bytes that changed at rest are returned", READING,
        "if content.digest(sample) == one.hash:", "if content.digest(sample):", "damage",
    ),
)  # fmt: skip
