"""Tokens by their hashes, names by their tenants, and how much is whose."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import AlreadyExists, InvalidInput, NotFound
from rankspace.media.sample import Part, Sample
from rankspace.store.access import StoredToken
from rankspace.store.log import NAME
from rankspace.store.names import TENANT, folder_name
from rankspace.store.store import Store

parts = st.from_regex(r"[a-z0-9][a-z0-9-]{0,5}", fullmatch=True)


def token(name: str, tenant: str = "", expires_us: int | None = None) -> StoredToken:
    return StoredToken(name, name[0] * 64, ("read", "train"), tenant, 1, expires_us, None)


def test_a_token_is_found_by_its_hash_and_by_nothing_else(store: Store) -> None:
    assert not store.access.any()
    kept = [store.access.create(token(name, "acme")) for name in ("ann", "bob")]
    assert store.access.any()
    assert store.access.find(["a" * 64, "z" * 64]) == {"a" * 64: kept[0]}
    assert store.access.find([]) == {}
    assert store.access.list() == tuple(kept)


def test_a_name_is_never_used_again(store: Store) -> None:
    store.access.create(token("ann"))
    first = store.access.revoke("ann").revoked_us
    assert store.access.revoke("ann").revoked_us == first
    with pytest.raises(AlreadyExists):
        store.access.create(token("ann"))
    with pytest.raises(NotFound):
        store.access.revoke("bob")


@pytest.mark.parametrize(
    "wrong", [token("x" * 64), token("a\nb"), token("a", "a/b"), token("a", "-")]
)
def test_a_token_that_cannot_be_is_refused(store: Store, wrong: StoredToken) -> None:
    with pytest.raises(InvalidInput):
        store.access.create(wrong)


def test_a_token_holds_until_it_expires_or_is_revoked() -> None:
    assert token("ann").holds(10**18)
    assert token("ann", expires_us=5).holds(4)
    assert not token("ann", expires_us=5).holds(5)
    assert not StoredToken("ann", "", (), "", 1, None, revoked_us=2).holds(3)


def test_what_is_kept_is_told_by_tenant_and_by_stream(store: Store) -> None:
    sizes = {"acme/a": 10, "acme/b": 20, "acme-2/a": 40, "a": 80}
    for name, size in sizes.items():
        store.log.create(name)
        store.log.append(name, None, [Sample("s", (Part("text", b"x" * size),))])
    store.log.finalize("acme/b")
    holding = store.access.holding
    assert (holding("acme").bytes, holding("acme").open_streams) == (30, 1)
    assert (holding("acme-2").bytes, holding("").bytes) == (40, 80)
    assert holding("acme", "acme/b").bytes == 20
    store.log.delete("acme/a")
    assert (holding("acme").bytes, holding("acme").open_streams) == (20, 0)
    assert holding("").bytes == 80
    assert holding("nobody").bytes == 0


def test_lists_are_of_one_tenant_or_of_all(store: Store, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights").write_bytes(b"w")
    names = ["acme/a", "acme/b", "acme-2/a", "a", "acme"]
    for name in names:
        store.log.create(name)
        store.catalogue.models.register(name, tmp_path / "m", {})
        store.catalogue.aliases.promote(f"{name}-x", f"{name}@1")
        store.catalogue.jobs.create(name, {"streams": [name]})
    expected = {"acme": ["acme/a", "acme/b"], "": ["a", "acme"], None: names, "nobody": []}
    catalogue = store.catalogue
    for tenant, found in expected.items():
        assert sorted(s.name for s in store.log.list(tenant=tenant).items) == sorted(found)
        assert sorted(m.name for m in catalogue.models.list(tenant=tenant).items) == sorted(found)
        aliases = [a.alias.removesuffix("-x") for a in catalogue.aliases.list(tenant=tenant).items]
        assert sorted(aliases) == sorted(found)
        jobs = [job.request_id for job in catalogue.jobs.list(tenant=tenant).items]
        assert sorted(jobs) == sorted(found)
    first = store.log.list(1, tenant="acme")
    assert [s.name for s in store.log.list(1, first.next_token, "acme").items] == ["acme/b"]


def test_no_model_lies_in_another_s_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights").write_bytes(b"w")
    folders = [
        store.catalogue.models.register(name, tmp_path / "m", {}).folder
        for name in ("acme", "acme/1", "acme/acme")
    ]
    assert not any(one in other.parents for one in folders for other in folders)


@given(tenant=parts, name=parts)
def test_a_name_has_one_tenant_at_most_and_one_folder(tenant: str, name: str) -> None:
    assert TENANT.fullmatch(tenant)
    assert NAME.fullmatch(f"{tenant}/{name}")
    assert not NAME.fullmatch(f"{tenant}/{tenant}/{name}")
    assert "/" not in folder_name(f"{tenant}/{name}")
