"""The store, opened: its rooms are where it says, and the file of settings is enough."""

import pickle
from pathlib import Path

from rankspace.config import parse
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store


def test_a_store_finds_again_what_it_kept(config: StoreConfig) -> None:
    with Store.open(config) as store:
        store.log.create("s")
        kept = store.job_folder("job-1") / "checkpoint"
        kept.write_text("1")
    with Store.open(config) as store:
        assert store.log.get("s").name == "s"
        assert (store.job_folder("job-1") / "checkpoint").read_text() == "1"
        assert store.tokens.is_dir()


def test_settings_may_be_plain_values_and_can_be_sent_to_another_process(tmp_path: Path) -> None:
    config = parse(StoreConfig, {"folder": str(tmp_path)})
    assert config == StoreConfig(folder=tmp_path)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - our own bytes
    assert StoreConfig(folder=tmp_path, url="sqlite:///x.db").address == "sqlite:///x.db"
