"""What fuzzing found, each said in a line: it fails without its mend."""

import json
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex import limits
from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.deployment import read_deployment
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.http import HttpEndpoint
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.core.directory.comparison import Comparison
from p2p_modelex.core.exchange.receipt_file import decode_receipt_file
from p2p_modelex.engine import frames, vetting
from p2p_modelex.engine.catalogue import Catalogue, engines_for
from p2p_modelex.engine.schema import build_grammar
from p2p_modelex.engine.template import ChatTemplate
from p2p_modelex.errors import (
    ChainUnreachable,
    ConfigurationError,
    EngineCrashed,
    KeystoreError,
    ModelRejected,
    RemoteProtocolError,
    StoreError,
    Unsupported,
    VerificationFailed,
)
from p2p_modelex.ids import Address
from p2p_modelex.keys import account_file
from p2p_modelex.keys.keystore import read_account_key
from p2p_modelex.node.configuration_file import parse_configuration
from p2p_modelex.records.reconciliation import Compared, Held, Listing
from p2p_modelex.records.signers import EvmSigner
from tests.core.directory import worlds
from tests.fuzz.targets import model_file
from tests.fuzz.targets.receipt_file import GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel", None),
        ("channel", 7),
        ("price", 30.5),
        ("price", True),
        ("price", " 30"),
        ("price", "3_0"),
    ],
)
def test_a_receipt_file_with_values_of_other_types(field: str, value: Any) -> None:
    file = json.loads(json.dumps(GOOD))
    file["receipt"]["receipt"][field] = value
    with pytest.raises(VerificationFailed):
        decode_receipt_file(json.dumps(file).encode())


def test_a_receipt_file_with_half_a_character() -> None:
    with pytest.raises(VerificationFailed):
        decode_receipt_file(json.dumps(GOOD | {"completion": "\ud800"}).encode())


@pytest.mark.parametrize("text", ["x = " + "9" * 5000, "x = " + "[" * 5000])
def test_toml_that_ends_the_parser(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_configuration(text)


def test_a_network_file_of_brackets(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text("x = " + "[" * 5000)
    with pytest.raises(ConfigurationError):
        read_deployment(path)


@pytest.mark.parametrize("decode", [frames.decode_event, frames.decode_command])
def test_a_worker_that_sends_half_a_character(decode: Any) -> None:
    with pytest.raises(EngineCrashed):
        decode(b"\x95\x12\x01\xa1\xed\x00\x90")


@pytest.mark.parametrize(
    "change",
    [
        {"file": ".."},
        {"file": "x" * 300},
        {"sha256": "0g" * 32},
        {"sha256": "00"},
        {"engines": ["."]},
        {"engines": ["os.path.x"]},
        {"summary": "\udcff"},
    ],
)
def test_a_damaged_entry_of_the_catalogue(tmp_path: Path, change: dict[str, Any]) -> None:
    entry = {
        "name": "tiny",
        "file": "tiny.gguf",
        "sha256": "00" * 32,
        "size": 1,
        "licence": "MIT",
        "source": "here",
        "kinds": ["chat"],
        "context_length": 512,
        "engines": ["x"],
    }
    content = json.dumps(entry | change, ensure_ascii=False).encode("utf-8", "surrogateescape")
    (tmp_path / "tiny.json").write_bytes(content)
    with pytest.raises(StoreError):
        Catalogue(tmp_path).get("tiny")


@pytest.mark.parametrize("costs", [{"n": "a" * 1000, "r": 2**40}, {"n": [1], "r": 2**40}])
def test_a_keystore_whose_costs_are_texts_takes_no_memory(
    tmp_path: Path, costs: dict[str, Any]
) -> None:
    file = json.loads(account_file.seal_key(b"\x01" * 32, "x", scrypt_n=2))
    file["crypto"]["kdfparams"] |= costs
    path = tmp_path / "account.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(file))
    with pytest.raises(KeystoreError):
        read_account_key(path, "x")


@pytest.mark.parametrize(
    ("key", "element"), [("scores", 0), ("token_type", 0), ("scores", 12), ("tokens", 4)]
)
def test_a_vocabulary_of_elements_that_the_engine_would_misread(key: str, element: int) -> None:
    """An array of bytes where the native code reads one of floats is read past its end."""
    name = f"tokenizer.ggml.{key}"
    metadata = [
        [name, kind, [element, [0] * len(value[1])]] if entry == name else [entry, kind, value]
        for entry, kind, value in model_file.METADATA
    ]
    size = 1 << 20
    written = model_file.write(3, metadata, model_file.TENSORS)
    header = vetting._read(vetting._Reader(BytesIO(written), size), size)
    with pytest.raises(ModelRejected):
        engines_for(header)
    good = model_file.write(3, model_file.METADATA, model_file.TENSORS)
    assert "ctransformers" in engines_for(vetting._read(vetting._Reader(BytesIO(good), size), size))


def test_a_chat_template_that_is_worked_out_while_it_is_read() -> None:
    with pytest.raises(ModelRejected):
        ChatTemplate("{{ 1" + "0" * 5000 + " }}", {}, bos="", eos="")
    recursion_limit = sys.getrecursionlimit()
    # As in an engine's process; another test's imports may have raised it in this one.
    sys.setrecursionlimit(1000)
    try:
        with pytest.raises(ModelRejected):
            ChatTemplate("{{ x" + "[[0]" * 120 + "]" * 120 + " }}", {}, bos="", eos="")
    finally:
        sys.setrecursionlimit(recursion_limit)
    before = time.process_time()
    ChatTemplate("{{ (3 ** (10 ** 6)) % 7 }}{{ 'a' | center(900000000) }}", {}, bos="", eos="")
    with pytest.raises(ModelRejected):
        ChatTemplate("{% autoescape 9 ** 9 ** 9 %}{% endautoescape %}", {}, bos="", eos="")
    assert time.process_time() - before < 1


def test_a_responder_that_lists_peers_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 frames have room for 700,000 made-up keys, and 16 sessions run at once."""
    monkeypatch.setattr(limits, "DIRECTORY_ENTRIES_MAX", 50)
    directory = worlds.directory()
    assert directory.judge(worlds.sealed(worlds.Key(2)), worlds.NOW).accepted
    compared = Comparison(directory)
    assert compared.next_question() is not None
    items = tuple(Held(number.to_bytes(32, "big"), 1) for number in range(1, 60))
    with pytest.raises(RemoteProtocolError, match="REC-8"):
        compared.on_answer(Compared(1, (Listing(b"", b"", items),)), worlds.NOW)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


_BAD_TEXT = _word(2) + b"\xff\xfe".ljust(32, b"\0")


def test_strings_of_the_chain_that_are_not_utf8() -> None:
    contracts = load_contracts()
    reason = b"\x08\xc3y\xa0" + _word(32) + _BAD_TEXT
    assert contracts.errors.decode_error(reason).text == "Error(message=\ufffd\ufffd)"
    entry = b"".join(map(_word, (32, 1, 1, 1, 1, 1, 1, 1, 256)))
    [fields] = contracts.registry.decode_result("entryOf", entry + _BAD_TEXT)
    assert fields[-1] == "\ufffd\ufffd"


class _Endpoint(HttpEndpoint):
    def __init__(self, answer: Any) -> None:
        super().__init__("http://127.0.0.1:1")
        self._answer = json.dumps(answer).encode()

    async def post(self, body: bytes, limit: int) -> tuple[int, bytes]:
        await trio.lowlevel.checkpoint()
        return 200, self._answer


async def test_an_endpoint_whose_answers_are_named_by_lists() -> None:
    rpc = Rpc("http://127.0.0.1:1", attempts=1)
    rpc._endpoint = _Endpoint([{"id": [], "result": "0x1"}])
    with pytest.raises(ChainUnreachable):
        await rpc.call("eth_blockNumber")


async def test_a_balance_over_everything_there_is() -> None:
    deployment = Deployment("x", 31337, *(Address(bytes([i]) * 20) for i in (1, 2, 3)))
    chain = EvmChain("http://127.0.0.1:1", deployment, EvmSigner(b"\x01" * 32))
    chain._rpc._endpoint = _Endpoint({"id": 0, "result": "0x" + "ff" * 32})
    with pytest.raises(ChainUnreachable):
        await chain.fetch_balance(chain.account)


@pytest.mark.parametrize(
    "schema",
    ['{"type": "object", "required": [["a"]]}', '{"type": "array", "minItems": null}'],
)
def test_a_schema_with_names_or_bounds_of_other_types(schema: str) -> None:
    with pytest.raises(Unsupported):
        build_grammar(schema)
