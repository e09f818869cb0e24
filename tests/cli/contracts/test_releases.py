from pathlib import Path

import pytest

from tests.chain.worlds import new_private_key
from tests.cli.contracts.conftest import Chain


@pytest.mark.slow
def test_a_model_from_its_release_to_its_recall(chain: Chain, tmp_path: Path) -> None:
    (publisher, account), (heir, other) = chain.newcomer(), chain.newcomer()
    name = f"ada/sentiment-{new_private_key().hex()[:8]}"
    first, second = tmp_path / "1.gguf", tmp_path / "2.gguf"
    first.write_bytes(b"one")
    second.write_bytes(b"two!")
    publish = ("releases", "publish")
    made = chain.json(*publish, first, name, "1.0", "--licence", "Apache-2.0", by=publisher)
    assert (made["ordinal"], made["size"]) == (0, 3)
    chain.json(*publish, second, name, "1.1", "--licence", "MIT", "--uri", "u", by=publisher)
    said = chain.run(*publish, second, name, "1.1", "--licence", "MIT", by=publisher)
    said.check_error(12, "VersionExists", "give the release another version")
    said = chain.run(*publish, second, name, "2", "--licence", "MIT", by=heir)
    said.check_error(12, "OnlyPublisher", "belongs to another")

    shown = chain.json("releases", "show", name)
    assert (shown["publisher"], shown["version"], shown["size"]) == (account, "1.1", 4)
    assert chain.json("releases", "verify", first, name, "1.0")["verified"] is True
    chain.run("releases", "verify", second, name, "1.0").check_error(14, "the chain has 0x")
    assert {"name": name} in chain.json("releases", "list")["rows"]

    revoke = ("releases", "revoke", name, "1.1", "--reason", "it memorised its data")
    chain.json(*revoke, by=publisher)
    chain.run(*revoke, by=publisher).check_error(12, "RevokedAlready")
    assert chain.json("releases", "show", name)["version"] == "1.0"
    assert chain.json("releases", "show", name, "1.1")["revoked"] is True
    said = chain.run("releases", "verify", second, name, "1.1")
    said.check_error(14, "which its publisher revoked", f"modelex releases show {name}")
    rows = chain.json("releases", "history", name)["rows"]
    assert [(row["version"], row["revoked"]) for row in rows] == [("1.0", False), ("1.1", True)]

    said = chain.run("releases", "handover", "accept", name, by=heir)
    said.check_error(12, "NotOffered(", "modelex releases handover offer")
    chain.json("releases", "revoke", name, "1.0", "--reason", "it as well", by=publisher)
    said = chain.run("releases", "show", name)
    said.check_error(12, "AllRevoked", f"modelex releases history {name}")
    chain.json("releases", "handover", "offer", name, other, by=publisher)
    chain.json("releases", "handover", "accept", name, by=heir)
    assert chain.json("releases", "show", name, "1.0")["publisher"] == other


def test_a_name_has_one_spelling(chain: Chain, tmp_path: Path) -> None:
    key, _ = chain.newcomer()
    file = tmp_path / "w"
    file.write_bytes(b"w")
    said = chain.run("releases", "publish", file, "Ada", "1", "--licence", "MIT", by=key)
    said.check_error(2, "not a release's name: 'Ada'", "a-z, 0-9")
    chain.run("releases", "show", "nobody-has-this").check_error(12, "NoSuchName")
