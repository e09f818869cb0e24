"""Batches, asked for with OpenAI's library: run, cancelled, refused, and gone on with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
import trio
from openai.types import Batch

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.gateway.batches.cabinet import name_outputs
from p2p_modelex.node.gateway.keyfile import add_key, remove_key
from p2p_modelex.node.home import Home
from p2p_modelex.units import AI, Epoch
from tests.node.gateway.serving import Served, serve
from tests.node.world import MODEL

CHAT = "/v1/chat/completions"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


def line(number: int, *, url: str = CHAT, **more: object) -> bytes:
    messages = [{"role": "user", "content": f"headline {number}"}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 4, "temperature": 0, **more}
    asked = {"custom_id": f"n{number}", "method": "POST", "url": url, "body": body}
    return json.dumps(asked).encode()


def submit(*lines: bytes) -> Callable[[openai.OpenAI], Batch]:
    def work(library: openai.OpenAI) -> Batch:
        file = library.files.create(file=("in.jsonl", b"\n".join(lines)), purpose="batch")
        assert file.bytes == len(b"\n".join(lines))
        return library.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"for": "a test"},
        )

    return work


async def wait_over(served: Served, name: str, key: str = "any") -> Batch:
    with trio.fail_after(20):
        while True:
            batch = await served.use(lambda library: library.batches.retrieve(name), key)
            if batch.status not in ("in_progress", "cancelling"):
                return batch
            await trio.sleep(0.02)


async def read(served: Served, file: str | None) -> dict[str, Any]:
    """The results in a file by their lines' ids."""
    assert file is not None
    content = await served.use(lambda library: library.files.content(file).content)
    results = [json.loads(text) for text in content.splitlines()]
    return {result["custom_id"]: result["response"] for result in results}


@pytest.mark.slow
async def test_a_batch_runs_and_its_results_are_files(home: Home) -> None:
    async with serve(home=home) as served:
        bad = line(98, model="nobody-has-it"), line(99, stream=True)
        begun = await served.use(submit(*map(line, range(20)), b"", *bad))
        assert (begun.status, begun.metadata) == ("in_progress", {"for": "a test"})
        batch = await wait_over(served, begun.id)
        assert batch.status == "completed"
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 22, "completed": 20, "failed": 2}
        results = await read(served, batch.output_file_id)
        assert results.keys() == {f"n{number}" for number in range(20)}
        assert results["n3"]["status_code"] == 200
        alone = await served.chat(
            messages=[{"role": "user", "content": "headline 3"}], max_tokens=4, temperature=0
        )
        said = results["n3"]["body"]
        assert said["choices"][0]["message"] == alone.json["choices"][0]["message"]
        assert said["choices"][0]["modelex"]["receipt"]
        errors = await read(served, batch.error_file_id)
        codes = {name: found["body"]["error"]["code"] for name, found in errors.items()}
        assert codes == {"n98": "model_not_found", "n99": "unsupported"}
        listed = await served.use(lambda library: [one.id for one in library.batches.list()])
        assert listed == [batch.id]
        files = await served.use(lambda library: {one.id for one in library.files.list()})
        assert files == {batch.input_file_id, batch.output_file_id, batch.error_file_id}
        await served.use(lambda library: [library.files.delete(name) for name in files])
        assert not list(home.batches.glob("*.content"))


@pytest.mark.slow
async def test_a_batch_goes_on_where_a_restart_cut_it_off(home: Home) -> None:
    slow = MemoryEngine(MODEL, delay_s=0.02, slots=2)
    async with serve(slow, home=home) as served:
        begun = await served.use(submit(*map(line, range(30))))
        with trio.fail_after(20):
            while (await served.use(lambda library: _completed(library, begun.id))) < 3:
                await trio.sleep(0.02)
    [output] = home.batches.glob("*-output.content")
    before = output.read_bytes()
    first = len(before.splitlines())
    assert 3 <= first < 30
    # As if the power had gone in the middle of a line.
    output.write_bytes(before + b'{"id":"batch_req_torn","custom')
    async with serve(home=home) as served:
        batch = await wait_over(served, begun.id)
        assert batch.status == "completed"
        results = await read(served, batch.output_file_id)
        assert len(results) == 30
        assert output.read_bytes().startswith(before)
        assert output.read_bytes().count(b"\n") == 30
        paid = await served.exchange.node.parts.store.receipts()
        assert len(paid) == 30 - first


def _completed(library: openai.OpenAI, name: str) -> int:
    counts = library.batches.retrieve(name).request_counts
    assert counts is not None
    return counts.completed


@pytest.mark.slow
async def test_a_cancelled_batch_keeps_what_was_answered(home: Home) -> None:
    slow = MemoryEngine(MODEL, delay_s=0.05, slots=1)
    async with serve(slow, home=home) as served:
        begun = await served.use(submit(*map(line, range(30))))
        with pytest.raises(openai.BadRequestError, match="still reads it"):
            await served.use(lambda library: library.files.delete(begun.input_file_id))
        with trio.fail_after(20):
            while not (await served.use(lambda library: _completed(library, begun.id))):
                await trio.sleep(0.02)
        await served.use(lambda library: library.batches.cancel(begun.id))
        batch = await wait_over(served, begun.id)
        assert batch.status == "cancelled"
        assert batch.request_counts is not None
        assert 0 < batch.request_counts.completed < 30
        results = await read(served, batch.output_file_id)
        assert len(results) == batch.request_counts.completed
        assert batch.error_file_id is None
        again = await served.use(lambda library: library.batches.cancel(begun.id))
        assert again.status == "cancelled"


@pytest.mark.slow
async def test_a_batch_that_is_not_done_in_time_expires(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p_modelex.node.gateway.batches.desk.WINDOW_S", 1)
    slow = MemoryEngine(MODEL, delay_s=0.5, slots=1)
    async with serve(slow, home=home) as served:
        begun = await served.use(submit(*map(line, range(30))))
        batch = await wait_over(served, begun.id)
        assert batch.status == "expired"
        assert batch.expired_at is not None


@pytest.mark.slow
async def test_everybody_sees_their_own_and_pays_from_their_budget(home: Home) -> None:
    ada, bob = (add_key(home.api_keys, name, AI, Epoch(0), None) for name in ("ada", "bob"))
    async with serve(home=home) as served:
        begun = await served.use(submit(line(1)), ada)
        batch = await wait_over(served, begun.id, ada)
        assert batch.status == "completed"
        for look in (
            lambda library: library.batches.retrieve(begun.id),
            lambda library: library.files.retrieve(begun.input_file_id),
            lambda library: library.files.content(batch.output_file_id),
        ):
            with pytest.raises(openai.NotFoundError):
                await served.use(look, bob)
        assert not await served.use(lambda library: list(library.files.list()), bob)
        spent = await served.exchange.node.parts.store.receipts()
        assert spent[0].receipt.receipt.price > 0

        remove_key(home.api_keys, "ada")
        assert (await served.ask("GET", "/v1/batches")).status == 401


@pytest.mark.slow
async def test_a_key_that_is_removed_pays_for_nothing_more(home: Home) -> None:
    ada, _ = (add_key(home.api_keys, name, AI, Epoch(0), None) for name in ("ada", "bob"))
    slow = MemoryEngine(MODEL, delay_s=0.02, slots=1)
    async with serve(slow, home=home) as served:
        begun = await served.use(submit(*map(line, range(20))), ada)
        remove_key(home.api_keys, "ada")
        _, errors = name_outputs(begun.id)
        with trio.fail_after(20):
            while not await trio.Path(home.batches / f"{errors}.file").exists():
                await trio.sleep(0.02)
        content = await trio.Path(home.batches / f"{errors}.content").read_text()
        refused = content.count('"invalid_api_key"')
        assert refused >= 12  # eight were under way at most
        assert refused + len(await served.exchange.node.parts.store.receipts()) == 20


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "line 1: there is none"),
        ([b"{"], "line 1: "),
        ([line(1), b'{"custom_id": "x"}'], "line 2: "),
        ([line(1), line(1)], "there before"),
        ([line(1, url="/v1/embeddings")], "the batch's endpoint"),
        ([line(number) for number in range(1001)], "at most 1000"),
    ],
)
async def test_what_is_no_batch_is_refused_by_its_line(
    home: Home, lines: list[bytes], says: str
) -> None:
    async with serve(home=home) as served:
        with pytest.raises(openai.BadRequestError, match=says):
            await served.use(submit(*lines))


@pytest.mark.slow
async def test_bad_uploads_and_names(home: Home) -> None:
    async with serve(home=home) as served:
        for method, path, status, code in (
            ("POST", "/v1/files", 400, "invalid_value"),
            ("GET", "/v1/files/../keys", 404, "unknown_path"),
            ("GET", "/v1/filesystem", 404, "unknown_path"),
            ("DELETE", "/v1/batches/b", 405, "wrong_method"),
            ("GET", "/v1/files/..", 404, "file_not_found"),
            ("POST", "/v1/batches/b/cancel", 404, "batch_not_found"),
            ("POST", "/v1/batches", 400, "malformed_json"),
        ):
            reply = await served.ask(method, path, b"")
            assert (path, reply.status, reply.error["code"]) == (path, status, code)
        with pytest.raises(openai.BadRequestError, match="purpose is batch"):
            await served.use(lambda library: library.files.create(file=b"x", purpose="vision"))
    async with serve() as served:  # without a home there is nowhere to keep them
        assert (await served.ask("GET", "/v1/files")).error["code"] == "unknown_path"
