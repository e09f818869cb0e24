"""What an endpoint may do to the log of requests, and strangers too, by filling it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from p2p_modelex.chain.contracts.network import LogsRefused, Network
from p2p_modelex.chain.contracts.oracle import OracleHub
from p2p_modelex.chain.evm import rpc
from p2p_modelex.chain.evm.http import HttpEndpoint
from p2p_modelex.errors import ChainUnreachable
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import ai
from tests.chain.contracts.test_oracle import ask, make_terms
from tests.chain.worlds import new_key

Bend = Callable[[dict[str, Any], Any], Any]
"""Takes a request and its honest answer; returns what is answered."""


class Meddler(HttpEndpoint):
    """Stands between us and a real endpoint."""

    def __init__(self, url: str, bend: Bend) -> None:
        super().__init__(url)
        self._bend = bend

    async def post(self, body: bytes, limit: int) -> tuple[int, bytes]:
        status, received = await super().post(body, limit)
        request, answer = json.loads(body), json.loads(received)
        if isinstance(request, dict):
            answer = self._bend(request, answer)
        return status, json.dumps(answer).encode()


def meddle(network: Network, url: str, bend: Bend) -> OracleHub:
    network._rpc._endpoint = Meddler(url, bend)
    return OracleHub(network)


def bend_logs(change: Callable[[dict[str, Any]], None]) -> Bend:
    def bend(request: dict[str, Any], answer: Any) -> Any:
        if request["method"] == "eth_getLogs":
            for log in answer["result"]:
                change(log)
        return answer

    return bend


async def test_no_endpoint_chooses_what_our_report_is_about(place: Place) -> None:
    asker, key = await place.newcomer(), new_key()
    await ask(OracleHub(asker), await make_terms(asker, [key]), ai(1))

    def rename(log: dict[str, Any]) -> None:
        log["topics"][1] = "0x" + "77" * 32  # a feed's subject, for instance

    hub = meddle(await place.reader(), place.url, bend_logs(rename))
    with pytest.raises(ChainUnreachable, match="under another's name"):
        await hub.fetch_asks(10, *await hub.find_range())


async def test_events_that_were_not_asked_for_are_passed_over(place: Place) -> None:
    asker, key = await place.newcomer(), new_key()
    await ask(OracleHub(asker), await make_terms(asker, [key]), ai(1))

    def replace(log: dict[str, Any]) -> None:
        log["topics"] = ["0x" + hub.abi.topic("Withdrawn").hex(), *log["topics"][1:2]]

    hub = meddle(await place.reader(), place.url, bend_logs(replace))
    assert await hub.fetch_asks(10, *await hub.find_range()) == ()


async def test_a_kind_that_there_is_not_is_nonsense(place: Place) -> None:
    asker, key = await place.newcomer(), new_key()
    await ask(OracleHub(asker), await make_terms(asker, [key]), ai(1))

    def change(log: dict[str, Any]) -> None:
        # Where the ask is, requester, amount, epoch, where the terms are, and their kind.
        place = 2 + 64 * 5
        log["data"] = log["data"][:place] + "07".rjust(64, "0") + log["data"][place + 64 :]

    hub = meddle(await place.reader(), place.url, bend_logs(change))
    with pytest.raises(ChainUnreachable, match="a Kind that cannot be"):
        await hub.fetch_asks(1, *await hub.find_range())


async def test_a_log_that_others_filled_is_read_in_smaller_ranges(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, mine, other = await place.newcomer(), new_key(), new_key()
    hub = OracleHub(asker)
    first, asked = await ask(hub, await make_terms(asker, [mine]), ai(1))
    for _ in range(3):
        last, _ = await ask(hub, await make_terms(asker, [other], prompt=b"x" * 3000), ai(1))
    _, head = await hub.find_range()
    found = await hub.fetch_asks(1, 0, head, mine.address)
    assert [(each.id, each.ask) for each in found] == [(first, asked)], "behind those to others"

    # One of them fits an answer, two do not.
    monkeypatch.setattr(rpc, "RESPONSE_BYTES", 12_000)
    with pytest.raises(LogsRefused):
        await hub.network.fetch_logs(hub.address, [hub.abi.topic("Requested")], 0, head)
    assert [each.id for each in await hub.fetch_asks(9, 0, head, mine.address)] == [first]
    assert (await hub.find_ask(last)).id == last
    monkeypatch.setattr(rpc, "RESPONSE_BYTES", 3_000)
    with pytest.raises(LogsRefused, match="answered more than 3000 bytes"):
        await hub.fetch_asks(9, 0, head)


async def test_an_endpoint_that_searches_few_blocks_is_asked_for_few(place: Place) -> None:
    asker, key = await place.newcomer(), new_key()
    request, _ = await ask(OracleHub(asker), await make_terms(asker, [key]), ai(1))
    wide = 0

    def refuse(request: dict[str, Any], answer: Any) -> Any:
        nonlocal wide
        if request["method"] != "eth_getLogs":
            return answer
        [wanted] = request["params"]
        if int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) < 10:
            return answer
        wide += 1
        return {"id": answer["id"], "error": {"code": -32602, "message": "at most 10 blocks"}}

    hub = meddle(await place.reader(), place.url, refuse)
    [found] = await hub.fetch_asks(1, *await hub.find_range())
    assert (found.id, wide > 0) == (request, True)
