"""`modelex map` against nodes in memory: output, summary, interruption and going on."""

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.home import Home
from tests.cli.conftest import Modelex, Said, Serve
from tests.node.world import MODEL

MANY = 12


class Desk:
    """A template, inputs and an output in a folder, and the command on them."""

    def __init__(self, modelex: Modelex, home: Home, folder: Path) -> None:
        self.modelex, self.home, self.folder = modelex, home, folder
        self.template, self.inputs = folder / "rate.json", folder / "in.jsonl"
        self.output = folder / "out.jsonl"
        self.write_template(max_tokens=4)
        self.write_inputs(MANY)

    def write_template(self, **fields: Any) -> None:
        fields = {"model": MODEL, "text": "Rate {headline}"} | fields
        self.template.write_text(json.dumps(fields))

    def write_inputs(self, many: int) -> None:
        lines = (json.dumps({"headline": f"h{n}", "id": n}) for n in range(many))
        self.inputs.write_text("".join(f"{line}\n" for line in lines))

    def map(self, *options: object) -> Said:
        return self.modelex("map", self.template, self.inputs, "--home", self.home.path, *options)

    def to_file(self, *options: object) -> Said:
        return self.map("--output", self.output, *options)

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]


@pytest.fixture
def desk(modelex: Modelex, lonely: Home, tmp_path: Path) -> Desk:
    return Desk(modelex, lonely, tmp_path)


@pytest.fixture
def bytes_out(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Standard output as a pipe gets it: results are bytes, and not decoded on the way."""
    out = io.BytesIO()
    monkeypatch.setattr("p2p_modelex.cli.map_output.get_standard_output", lambda: out)
    return out


def test_results_go_to_standard_output_in_order(
    desk: Desk, serve: Serve, bytes_out: io.BytesIO
) -> None:
    serve(MemoryEngine(MODEL), MemoryEngine(MODEL))
    said = desk.map()
    assert said.code == 0, said
    results = [json.loads(line) for line in bytes_out.getvalue().splitlines()]
    assert [result["index"] for result in results] == list(range(MANY))
    assert [result["id"] for result in results] == list(range(MANY))
    first = results[0]
    assert first.keys() == {
        *("index", "id", "text", "finish", "prompt_tokens", "completion_tokens", "price"),
        *("provider", "receipt"),
    }
    assert (first["finish"], first["completion_tokens"]) == ("length", 4)
    assert said.out == ""
    assert said.err.startswith(f"{MANY} answered, 0 not · {MANY} jobs, {MANY} receipts kept · ")


def test_the_same_command_again_does_nothing_and_pays_nothing(desk: Desk, serve: Serve) -> None:
    serve(MemoryEngine(MODEL))
    said = desk.to_file("--json")
    assert said.code == 0, said
    summary = json.loads(said.out)
    assert summary["answered"] == summary["jobs"] == summary["receipts"] == MANY
    assert summary["paid"] == summary["paid_for_results"]
    assert [result["index"] for result in desk.results()] == list(range(MANY))
    before = desk.output.read_bytes()
    again = desk.to_file("--json")
    assert again.code == 0, again
    assert json.loads(again.out) == summary
    assert desk.output.read_bytes() == before


def test_an_interrupted_map_finishes_what_is_in_hand_and_goes_on(desk: Desk, serve: Serve) -> None:
    async def interrupt(exchange: Exchange) -> None:
        while not desk.output.exists() or not desk.output.stat().st_size:
            await trio.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    desk.write_inputs(40)
    serve(MemoryEngine(MODEL, slots=2, delay_s=0.01), beside=interrupt)
    said = desk.to_file()
    assert said.code == 130, said
    assert "in hand; Ctrl-C again cancels them" in said.err
    assert "the same command goes on from here" in said.err
    written = desk.results()
    assert 1 <= len(written) < 40
    # Half a line is what a crash leaves of one.
    with desk.output.open("a") as output:
        output.write('{"index": ')
    serve(MemoryEngine(MODEL))
    said = desk.to_file()
    assert said.code == 0, said
    results = desk.results()
    assert results[: len(written)] == written
    assert [result["id"] for result in results] == list(range(40))
    assert "40 answered, 0 not · 40 jobs, 40 receipts kept" in said.err


def test_a_second_ctrl_c_cancels_what_is_in_hand(
    desk: Desk, serve: Serve, bytes_out: io.BytesIO
) -> None:
    async def interrupt(exchange: Exchange) -> None:
        store = exchange.node.parts.store
        while not any(row.signed.voucher.amount for row in await store.issued_vouchers()):
            await trio.sleep(0.01)
        signal.raise_signal(signal.SIGINT)
        await trio.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    desk.write_template(max_tokens=500)
    serve(MemoryEngine(MODEL, delay_s=0.01), beside=interrupt)
    said = desk.map()
    assert said.code == 130, said
    assert "0 answered" in said.err
    assert bytes_out.getvalue() == b""
    assert "give --output or --journal" in said.err


def test_inputs_may_come_from_a_pipe(
    desk: Desk, serve: Serve, bytes_out: io.BytesIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(MemoryEngine(MODEL))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(desk.inputs.read_bytes())))
    desk.inputs = Path("-")
    said = desk.map("--max-tokens", 2)
    assert said.code == 0, said
    results = [json.loads(line) for line in bytes_out.getvalue().splitlines()]
    assert [result["completion_tokens"] for result in results] == [2] * MANY


def test_prompts_without_an_answer_are_lines_and_an_error_at_the_end(
    desk: Desk, serve: Serve
) -> None:
    serve(MemoryEngine(MODEL, context_length=20))
    with desk.inputs.open("a") as inputs:
        inputs.write(json.dumps({"headline": "x " * 20}) + "\n")
    said = desk.to_file()
    said.check_error(10, f"1 of {MANY + 1} prompts have no answer")
    assert desk.results()[-1]["error"]["message"]
    assert f"{MANY} answered, 1 not" in said.err


def test_a_budget_that_is_used_up_says_so_and_how_to_go_on(desk: Desk, serve: Serve) -> None:
    serve(MemoryEngine(MODEL))
    said = desk.to_file("--max-cost", "0.00011")
    said.check_error(11, "the budget is used up", "the same command goes on from here")
    assert len(desk.results()) < MANY
    assert desk.to_file().code == 0
    assert len(desk.results()) == MANY


def test_files_that_cannot_be_are_refused_before_anything_is_paid(desk: Desk) -> None:
    nowhere = desk.folder / "no" / "out.jsonl"
    desk.map("--output", nowhere).check_error(2, f"there is no folder {nowhere.parent}")
    desk.map("--journal", nowhere).check_error(2, f"there is no folder {nowhere.parent}")
    link = desk.folder / "link"
    link.symlink_to(desk.output)
    said = desk.to_file("--journal", link)
    said.check_error(2, "cannot be journal and output", "--journal")
    assert not desk.output.exists()


def test_a_farm_that_is_named_by_nothing_is_not_anybody(desk: Desk) -> None:
    desk.map("--farm", "").check_error(2, "--farm names no farm", "leave --farm out")


def test_where_nothing_was_ordered_there_is_nothing_to_go_on_with(desk: Desk, serve: Serve) -> None:
    serve(MemoryEngine(MODEL))
    said = desk.to_file("--max-price", "0.000000001")
    said.check_error(8, "RTE-5", "raise the ceiling")
    assert "goes on from here" not in said.err
    assert "answered" not in said.err


def test_a_providers_text_cannot_command_the_terminal(
    desk: Desk, serve: Serve, bytes_out: io.BytesIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(MemoryEngine(MODEL, reply="a\x9b2Jb\x1b\u202e"))
    desk.write_inputs(1)
    assert desk.map().code == 0
    seen = bytes_out.getvalue()
    assert json.loads(seen)["text"] == "a\x9b2Jb\x1b\u202e"
    bytes_out.truncate(0)
    monkeypatch.setattr(bytes_out, "isatty", lambda: True)
    assert desk.map().code == 0
    assert json.loads(bytes_out.getvalue().lstrip(b"\0"))["text"] == "a2Jb\x1b"  # as \u001b


def test_an_output_that_cannot_be_written_is_named(desk: Desk, serve: Serve) -> None:
    serve(MemoryEngine(MODEL))
    pipe = desk.output = desk.folder / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    desk.to_file("--journal", desk.folder / "j").check_error(5, "cannot write", "plain file")
    os.close(held)


def test_nothing_is_ordered_while_anything_is_wrong(desk: Desk, serve: Serve) -> None:
    world = serve(MemoryEngine(MODEL))
    with desk.inputs.open("a") as inputs:
        inputs.write('{"title": "x"}\n')
    desk.map().check_error(2, f"{desk.inputs}:{MANY + 1}: it has no field 'headline'")
    desk.write_inputs(1)
    desk.write_template(colour="red")
    desk.map().check_error(2, f"{desk.template}: not a template", "colour")
    desk.write_template()
    desk.output.write_text("mine")
    desk.to_file().check_error(2, "no journal")
    assert desk.output.read_text() == "mine"
    desk.inputs = desk.folder / "none"
    assert desk.map().code == 2
    assert world.stores == {}
