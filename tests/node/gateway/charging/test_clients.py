"""x402's own clients pay a gateway on a real chain: by requests, and under OpenAI's library."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import openai
import pytest
import requests
import trio
from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient
from x402.http.clients.requests import x402_requests
from x402.mechanisms.evm.exact.client import ExactEvmScheme

from p2p_modelex.chain.devnet import GAS_MONEY, bring_up, fund
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.units import AI
from tests.chain.worlds import CHALLENGE_S, new_key
from tests.node.gateway.charging.paying import (
    CHARGES,
    KEY,
    PAYER,
    allow,
    payer_of,
    read_result,
)
from tests.node.gateway.serving import CHAT, Reply, serve
from tests.node.test_split import AnvilWorld
from tests.node.world import MODEL, make_keys


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[AnvilWorld, None]:
    file = tmp_path / "network.toml"
    async with bring_up(file, {PAYER: AI}, engine="anvil", challenge_s=CHALLENGE_S) as up:
        net, deployment = up
        await fund(net.url, PAYER, 0)  # the node pays the gas
        await fund(net.url, make_keys(99).account.address, GAS_MONEY)
        yield AnvilWorld(deployment=deployment, url=net.url)


def by_requests(url: str, world: AnvilWorld) -> Reply:
    with x402_requests(payer_of(world.deployment)) as session:
        answer = session.post(f"{url}/chat/completions", json=CHAT, timeout=60)
    assert isinstance(answer, requests.Response)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status_code, headers, answer.content)


def by_openai(url: str, world: AnvilWorld) -> str:
    async def work() -> str:
        payer = x402Client()
        payer.set_spend_controls(allow(world.deployment))
        payer.register("eip155:*", ExactEvmScheme(Account.from_key(KEY)))
        async with (
            x402HttpxClient(payer) as paying,
            openai.AsyncOpenAI(
                base_url=url,
                api_key="none",
                http_client=paying,  # type: ignore[arg-type]  # made for httpx2, takes httpx
            ) as library,
            await library.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "hello"}],
                max_tokens=8,
                stream=True,
            ) as stream,
        ):
            return "".join(
                [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
            )

    return asyncio.run(work())


@pytest.mark.slow
async def test_x402_pays_for_what_the_gateway_answers(world: AnvilWorld) -> None:
    async with (
        serve(world=world, charges=CHARGES) as served,
        EvmChain(world.url, world.deployment, new_key()) as chain,
    ):
        reply = await trio.to_thread.run_sync(by_requests, served.url, world)
        assert reply.status == 200, reply.body
        result = read_result(reply)
        assert result.network == shapes.name_network(world.deployment.chain_id)
        price = int(result.amount or 0)
        assert await chain.fetch_balance(PAYER) == AI - price < AI
        text = await trio.to_thread.run_sync(by_openai, served.url, world)
        assert len(text.split()) == 8
        assert await chain.fetch_balance(PAYER) == AI - 2 * price
