"""`modelex run` against nodes in memory: what is printed, and what Ctrl-C does."""

import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2p_modelex.core.exchange.receipt_file import decode_receipt_file
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.node import exchange as library
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.home import Home
from p2p_modelex.records.receipt import Finish
from tests.cli.conftest import Modelex, Serve
from tests.node.world import DEPLOYMENT, MODEL


def test_the_completion_goes_out_and_one_line_to_standard_error(
    modelex: Modelex, lonely: Home, serve: Serve
) -> None:
    serve(MemoryEngine(MODEL))
    said = modelex("run", "hello", "--home", lonely.path, "--model", MODEL, "--max-tokens", 8)
    assert said.code == 0, said
    [path] = lonely.receipts.iterdir()
    row = decode_receipt_file(path.read_bytes())
    assert said.out == row.completion + "\n"
    verify_receipt_row(row, DEPLOYMENT.registry_domain, None)
    assert said.err.count("\n") == 1
    for part in ("12D3KooW", "+8 tokens", " AI · receipt verified: "):
        assert part in said.err


def test_a_vector_is_printed_as_numbers(modelex: Modelex, lonely: Home, serve: Serve) -> None:
    serve(MemoryEngine(MODEL, kinds=("embedding",)))
    asked = ("run", "hello", "--home", lonely.path, "--model", MODEL, "--kind", "embedding")
    said = modelex(*asked)
    assert said.code == 0, said
    assert len(json.loads(said.out)) == 8
    assert "1+0 tokens" in said.err


def test_logprobs_are_a_table_or_json(modelex: Modelex, lonely: Home, serve: Serve) -> None:
    serve(MemoryEngine(MODEL, reply="one \x1b[2J"))
    asked = ("run", "hello", "--home", lonely.path, "--model", MODEL, "--logprobs")
    said = modelex(*asked, 2)
    assert said.out == "one [2J\n"
    assert "'one '     50.0%        'one ' 50.0%  'market ' 25.0%\n" in said.err
    assert "\x1b" not in said.err
    told = json.loads(modelex(*asked, 1, "--json").out)
    assert told["text"] == "one \x1b[2J"
    assert (told["finish"], told["completion_tokens"], told["split_epoch"]) == ("stop", 2, 0)
    assert int(told["paid_wei"]) > 0
    first, _ = told["logprobs"]
    assert (first["token"], first["bytes"]) == ("one ", [*b"one "])
    assert first["logprob"] == first["top"][0]["logprob"] == pytest.approx(-0.6931, abs=1e-3)
    assert Path(told["receipt"]).exists()


def test_a_chat_may_call_tools(
    modelex: Modelex, lonely: Home, serve: Serve, tmp_path: Path
) -> None:
    serve(MemoryEngine(MODEL))
    tools = tmp_path / "tools.json"
    tools.write_text('[{"type": "function", "function": {"name": "look"}}]')
    asked = ("run", "hello", "--home", lonely.path, "--model", MODEL, "--tools", tools)
    said = modelex(*asked)
    assert said.code == 0, said
    assert '"name":"look"}\n{}\n' in said.out
    assert "\x1e" not in said.out
    told = json.loads(modelex(*asked, "--json").out)
    [call] = told["tool_calls"]
    assert (told["text"], told["finish"]) == ("", "tool_calls")
    assert (call["name"], call["arguments"]) == ("look", "{}")
    tools.write_text("{}")
    modelex(*asked).check_error(2, "the tools are none")


def test_json_has_a_vector_and_no_logprobs_unasked(
    modelex: Modelex, lonely: Home, serve: Serve
) -> None:
    serve(MemoryEngine(MODEL, kinds=("embedding",)))
    asked = ("run", "hello", "--home", lonely.path, "--model", MODEL, "--kind", "embedding")
    told = json.loads(modelex(*asked, "--json").out)
    assert len(told["vector"]) == 8
    assert not {"text", "logprobs"} & told.keys()


def test_a_grammar_comes_from_a_file_and_needs_who_has_it(
    modelex: Modelex, lonely: Home, serve: Serve, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "title": "é"}')
    serve(MemoryEngine(MODEL))
    asked = ("run", "hello", "--home", lonely.path, "--model", MODEL, "--grammar", schema)
    said = modelex(*asked)
    assert said.code == 8, said
    assert "chat with json_schema" in said.err
    for content, why in ((b"\xff", "cannot read"), (b"x" * 9000, "out of bounds")):
        schema.write_bytes(content)
        said = modelex(*asked)
        assert (said.code, why in said.err) == (2, True), said


@pytest.mark.parametrize(("most", "is_rated"), [(2, False), (3, True)])
def test_a_speed_is_told_only_where_it_means_something(
    modelex: Modelex, lonely: Home, serve: Serve, most: int, is_rated: bool
) -> None:
    serve(MemoryEngine(MODEL))
    said = modelex("run", "hello", "--home", lonely.path, "--model", MODEL, "--max-tokens", most)
    assert f"+{most} tokens, " in said.err
    assert ("/s, " in said.err) == is_rated


def test_a_providers_text_cannot_command_the_terminal(
    modelex: Modelex, lonely: Home, serve: Serve
) -> None:
    serve(MemoryEngine(MODEL, reply="a\x1b[2Jb\x07"))
    said = modelex("run", "hello", "--home", lonely.path, "--model", MODEL)
    assert said.out == "a[2Jb\n"


def test_ctrl_c_cancels_pays_what_came_and_ends_with_130(
    modelex: Modelex, lonely: Home, serve: Serve
) -> None:
    async def interrupt(exchange: Exchange) -> None:
        payer = exchange.node.parts.store
        while not any(row.signed.voucher.amount for row in await payer.issued_vouchers()):
            await trio.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    serve(MemoryEngine(MODEL, delay_s=0.01), beside=interrupt)
    said = modelex("run", "hello", "--home", lonely.path, "--model", MODEL, "--max-tokens", 500)
    assert said.code == 130, said
    assert "Traceback" not in said.err
    assert said.err.splitlines()[-1] == "interrupted"
    [path] = lonely.receipts.iterdir()
    receipt = decode_receipt_file(path.read_bytes()).receipt.receipt
    assert receipt.finish == Finish.CANCELLED
    assert receipt.completion_tokens < 500


def test_a_failover_is_told_and_the_text_begins_again(
    modelex: Modelex, lonely: Home, serve: Serve
) -> None:
    serve(MemoryEngine(MODEL, fault=Fault("crash", after_pieces=2)), MemoryEngine(MODEL))
    told = ("--home", lonely.path, "--model", MODEL, "--max-tokens", 8)
    said = modelex("run", "hello", *told)
    assert said.code == 0, said
    assert "begins again at another node]" in said.err


def test_another_node_goes_on_if_asked_to(modelex: Modelex, lonely: Home, serve: Serve) -> None:
    brittle = MemoryEngine(MODEL, fault=Fault("crash", after_pieces=2), delay_s=0.05)
    serve(brittle, MemoryEngine(MODEL))
    told = ("--home", lonely.path, "--model", MODEL, "--max-tokens", 8, "--continue")
    said = modelex("run", "hello", *told)
    assert said.code == 0, said
    assert "another node goes on]" in said.err


def test_a_timeout_prints_and_pays_what_came(modelex: Modelex, lonely: Home, serve: Serve) -> None:
    serve(MemoryEngine(MODEL, delay_s=0.05))
    told = ("--home", lonely.path, "--model", MODEL, "--max-tokens", 500, "--timeout", "0.5")
    said = modelex("run", "hello", *told)
    said.check_error(10, "deadline", "allow more time")
    assert "receipt verified" in said.err
    assert said.out.strip()


def test_a_receipt_that_cannot_be_written_says_where_it_is_kept(
    modelex: Modelex, lonely: Home, serve: Serve
) -> None:
    serve(MemoryEngine(MODEL))
    told = ("--home", lonely.path, "--model", MODEL, "--receipt", lonely.path / "no" / "where")
    said = modelex("run", "hello", *told)
    said.check_error(5, "cannot write the receipt", "kept in the home's database")


def test_a_bug_is_called_that_without_a_traceback(
    modelex: Modelex, lonely: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def connect(*_: object, **__: object) -> AsyncGenerator[None, None]:
        async with trio.open_nursery():
            raise ZeroDivisionError("oh")
        yield

    monkeypatch.setattr(library, "connect", connect)
    said = modelex("run", "hello", "--home", lonely.path, "--model", MODEL)
    said.check_error(1, "ZeroDivisionError('oh')", "MODELEX_TRACEBACK=1")
    monkeypatch.setenv("MODELEX_TRACEBACK", "1")
    with pytest.raises(ExceptionGroup):
        modelex("run", "hello", "--home", lonely.path, "--model", MODEL)
