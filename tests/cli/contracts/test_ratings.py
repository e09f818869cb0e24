import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2p_modelex.core.exchange.receipt_file import encode_receipt_file
from p2p_modelex.ids import format_peer_id, parse_address
from p2p_modelex.records import ownership, receipt
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.records.signers import EvmSigner
from tests.chain.worlds import new_key
from tests.cli.contracts.conftest import OWNER, Chain
from tests.cli.contracts.test_registry import new_peer
from tests.core.exchange.make_vectors import build_row
from tests.core.exchange.pair import NOW, PROVIDER_KEY

GOOD = ("--accuracy", "97.5", "--response", "80", "--uptime", "99.99%")
SHOWN = {"accuracy": 9750, "response": 8000, "uptime": 9999}


@dataclass(frozen=True)
class Node:
    """A registered node. delegate: the key that signs its receipts."""

    peer: str
    operator: str
    delegate: bytes
    receipt: Path

    @property
    def name(self) -> tuple[str, str]:
        return self.peer, self.operator


@pytest.fixture
def node(chain: Chain, tmp_path: Path) -> Node:
    key, operator = chain.newcomer()
    delegate, _ = chain.newcomer()
    peer = format_peer_id(PROVIDER_KEY.peer)
    chain.json("registry", "register", peer, by=key)
    domain = chain.deployment.registry_domain
    statement = Ownership(
        PROVIDER_KEY.public_key, parse_address(operator), EvmSigner(delegate).address, NOW
    )
    row = build_row()
    signed = build_row(
        ownership=ownership.sign(statement, domain, EvmSigner(key)),
        receipt=receipt.sign(row.receipt.receipt, domain, EvmSigner(delegate)),
    )
    file = tmp_path / "receipt.json"
    file.write_bytes(encode_receipt_file(signed))
    return Node(peer, operator, delegate, file)


def test_a_rating_from_its_making_to_its_end(chain: Chain, node: Node, tmp_path: Path) -> None:
    key, evaluator = chain.newcomer()
    other, second = chain.newcomer()
    evidence = tmp_path / "evidence.csv"
    evidence.write_text("what was asked, what was answered")
    with_files = ("--evidence", evidence, "--receipt", node.receipt)
    sent = chain.json("ratings", "rate", *node.name, *GOOD, *with_files, by=key)
    assert sent["evidence"] == "0x" + hashlib.sha256(evidence.read_bytes()).hexdigest()
    assert sent["receipt"] != "0x" + "00" * 32
    chain.json(
        *("ratings", "rate", *node.name),
        *("--accuracy", "0", "--response", "0", "--uptime", "0"),
        by=other,
    )

    said = chain.json("ratings", "show", *node.name, "--by", evaluator)
    assert {name: said[name] for name in SHOWN} == SHOWN
    assert (said["ratings"], said["of"]) == (1, 1)
    text = chain.run("ratings", "show", *node.name, "--by", evaluator).out
    assert text.endswith("accuracy  97.5%\nresponse  80%\nuptime    99.99%\n")
    both = ("--by", evaluator, "--by", second)
    assert chain.json("ratings", "show", *node.name, *both)["accuracy"] == 4875
    late = chain.json("ratings", "show", *node.name, *both, "--since", 2**40)
    assert (late["ratings"], late["of"], "accuracy" in late) == (0, 2, False)

    listed = chain.json("ratings", "list", *node.name)
    assert listed["total"] == 2
    assert [row["evaluator"] for row in listed["rows"]] == [evaluator, second]
    chain.json("ratings", "retract", *node.name, by=other)
    assert chain.json("ratings", "list", *node.name)["total"] == 1
    chain.run("ratings", "retract", *node.name, by=other).check_error(12, "NotRated", second)


def test_a_reader_says_whom_to_believe(chain: Chain, tmp_path: Path) -> None:
    words = ("ratings", "show", new_peer(), "0x" + "11" * 20, "--home", tmp_path / "none")
    chain.run(*words).check_error(3, "whose account?", "--by ACCOUNT")


def test_who_signs_for_a_node_does_not_rate_it(chain: Chain, node: Node) -> None:
    chain.json("ratings", "rate", *node.name, *GOOD, by=node.delegate)
    barred = chain.json("ratings", "bar", node.receipt, by=OWNER)["barred"]
    assert barred == "0x" + EvmSigner(node.delegate).address.hex()
    assert chain.json("ratings", "list", *node.name)["total"] == 0
    said = chain.run("ratings", "rate", *node.name, *GOOD, by=node.delegate)
    said.check_error(12, "SelfRating", "others rate it")


def test_a_receipt_of_another_node_is_refused(chain: Chain, node: Node) -> None:
    rate = ("ratings", "rate", new_peer(), node.operator, *GOOD, "--receipt", node.receipt)
    chain.run(*rate, by=OWNER).check_error(2, f"the receipt is of {node.peer}")
    node.receipt.write_text(node.receipt.read_text().replace("a b", "a c"))
    said = chain.run("ratings", "rate", *node.name, *GOOD, "--receipt", node.receipt, by=OWNER)
    assert said.code == 14, said
    assert "completion: the receipt says otherwise" in said.err


@pytest.mark.parametrize("score", ["101", "-1", "97.555", "100.01", "1e1", ""])
def test_scores_are_per_cent(chain: Chain, score: str) -> None:
    account = "0x" + new_key().address.hex()
    words = ("--accuracy", score, "--response", "1", "--uptime", "1")
    said = chain.run("ratings", "rate", new_peer(), account, *words, by=OWNER)
    said.check_error(2, "not a score")
