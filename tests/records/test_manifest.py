"""A block's manifest: the same files give the same bytes; what it cannot name is refused."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest
from p2p_modelex.records import manifest
from p2p_modelex.records.manifest import Part, compute_digest, encode_manifest

EMPTY = Digest(hashlib.sha256().digest())
ABC = Digest(hashlib.sha256(b"abc").digest())


def test_a_manifest_is_what_sha256sum_says() -> None:
    text = encode_manifest([Part("é.txt", 0, EMPTY), Part("data/a b.csv", 3, ABC)])
    assert text.decode() == (
        "modelex-manifest/1\n"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 data/a b.csv\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 é.txt\n"
    )
    assert compute_digest(text) == hashlib.sha256(text).digest()


@given(st.permutations(["a", "b/c", "b.c", "z" * 9]))
def test_the_order_of_files_makes_no_difference(paths: list[str]) -> None:
    parts = [Part(path, 1, ABC) for path in paths]
    assert encode_manifest(parts) == encode_manifest(parts[::-1])


@pytest.mark.parametrize(
    "path", ["", "/etc", "a//b", "a/", ".", "a/../b", "a\nb", "a\x1bb", "a\u202eb", "a" * 1025]
)
def test_a_path_that_could_be_misread_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="a manifest"):
        Part(path, 1, ABC)


def test_no_files_and_twice_the_same_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="not 0"):
        encode_manifest([])
    with pytest.raises(BadInput, match="one path"):
        encode_manifest([Part("a", 1, ABC), Part("a", 0, EMPTY)])
    monkeypatch.setattr(manifest, "FILES_MAX", 1)
    with pytest.raises(BadInput, match="1 to 1 files"):
        encode_manifest([Part("a", 1, ABC), Part("b", 0, EMPTY)])
