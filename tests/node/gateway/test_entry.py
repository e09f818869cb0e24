"""API keys: who is let in, how often, and for how much; also after a start anew."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.node.gateway.entry import Account, Entry, read_spent, spent_setting
from p2p_modelex.node.gateway.heads import HttpRequest
from p2p_modelex.node.gateway.keyfile import ApiKey, add_key, digest_of, read_keys, remove_key
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.home import Home
from p2p_modelex.records.rows import Row
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import AI, Epoch, Wei
from tests.node.gateway.serving import CHAT, Served, serve
from tests.node.world import MODEL, World

NOW = Epoch(0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


class StoreBooks:
    """Books over a store."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    async def setting(self, name: str) -> bytes | None:
        return await self.store.setting(name)

    async def keep(self, rows: Sequence[Row]) -> None:
        await self.store.apply(rows)


def key_of(budget: str | None = None, rate: int | None = None, epoch: int = 0) -> ApiKey:
    return ApiKey("k", digest_of("secret"), budget, epoch, rate)


def request(*, is_local: bool = True, **headers: str) -> HttpRequest:
    named = {"host": "localhost:4780"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("GET", "/v1/models", {}, named, b"", is_local)


async def refused(entry: Entry, asked: HttpRequest) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        await entry.admit(asked)
    return caught.value.status, caught.value.code


class TestKeyFile:
    def test_keys_are_added_listed_and_removed(self, home: Home) -> None:
        assert read_keys(home.api_keys) == ()
        secret = add_key(home.api_keys, "ada", Wei(AI // 2), NOW, 10)
        add_key(home.api_keys, "bert", None, NOW, None)
        assert home.api_keys.stat().st_mode & 0o777 == 0o600
        assert secret not in home.api_keys.read_text()
        ada, bert = read_keys(home.api_keys)
        assert ada == ApiKey("ada", digest_of(secret), "0.5", 0, 10)
        assert (ada.budget_wei, bert.budget_wei) == (AI // 2, None)
        with pytest.raises(BadInput, match="already"):
            add_key(home.api_keys, "ada", None, NOW, None)
        with pytest.raises(BadInput, match="not a key's name"):
            add_key(home.api_keys, "a b", None, NOW, None)
        remove_key(home.api_keys, "ada")
        with pytest.raises(BadInput, match="no key"):
            remove_key(home.api_keys, "ada")
        assert read_keys(home.api_keys) == (bert,)

    def test_a_damaged_file_is_no_open_door(self, home: Home) -> None:
        for text in ("", "{}", '[{"name": "x"}]', "[1"):
            home.api_keys.write_text(text)
            with pytest.raises(ConfigurationError, match="damaged"):
                read_keys(home.api_keys)
        bad = ApiKey("k", digest_of("s"), "much", 0, None)
        home.api_keys.write_bytes(msgspec.json.encode([bad]))
        with pytest.raises(ConfigurationError, match="damaged"):
            read_keys(home.api_keys)


class TestEntry:
    async def test_without_keys_this_machine_may_ask(self, home: Home) -> None:
        for path in (None, home.api_keys):
            entry = Entry(path, StoreBooks())
            for host in ("localhost", "127.0.0.1:80", "[::1]:4780"):
                assert (await entry.admit(request(host=host))).key is None
            assert await refused(entry, request(is_local=False)) == (401, "no_api_key")
            proxied = request(x_forwarded_for="203.0.113.7")
            assert await refused(entry, proxied) == (401, "no_api_key")
            assert await refused(entry, request(host="evil.example")) == (403, "browser")
            assert await refused(entry, request(origin="null")) == (403, "browser")

    async def test_with_keys_everybody_needs_one(self, home: Home) -> None:
        entry = Entry(home.api_keys, StoreBooks())
        assert (await entry.admit(request())).key is None
        secret = add_key(home.api_keys, "ada", None, NOW, None)
        assert await refused(entry, request()) == (401, "no_api_key")
        bad = request(authorization="Bearer mdx-guess")
        assert await refused(entry, bad) == (401, "invalid_api_key")
        assert await refused(entry, request(authorization=f"Basic {secret}")) == (401, "no_api_key")
        good = request(is_local=False, authorization=f"Bearer {secret}", origin="https://a.example")
        account = await entry.admit(good)
        assert account.key is not None
        assert account.key.name == "ada"
        assert await entry.admit(good) is account
        remove_key(home.api_keys, "ada")
        add_key(home.api_keys, "bert", None, NOW, None)
        assert await refused(entry, good) == (401, "invalid_api_key")
        home.api_keys.write_text("damaged")
        assert await refused(entry, good) == (503, "keys_unreadable")

    async def test_a_rate_is_kept_to(self, autojump_clock: trio.testing.MockClock) -> None:
        account = Account(key_of(rate=6), StoreBooks())
        for _ in range(6):
            account.enter()
        with pytest.raises(Refusal) as caught:
            account.enter()
        assert (caught.value.status, caught.value.retry_after_s) == (429, 10)
        assert caught.value.headers == (("retry-after", "10"),)
        await trio.sleep(10)
        account.enter()


class TestBudget:
    async def test_what_is_held_and_spent_counts(self) -> None:
        books = StoreBooks()
        account = Account(key_of("3"), books)
        await account.restore()
        assert account.reserve(Wei(AI), NOW) == AI
        assert account.reserve(Wei(5 * AI), NOW) == 2 * AI
        with pytest.raises(Refusal, match="3 AI held") as caught:
            account.reserve(Wei(1), NOW)
        assert (caught.value.status, caught.value.code) == (402, "budget_exceeded")
        await account.settle(Wei(2 * AI), Wei(AI // 2), NOW)
        await account.settle(Wei(AI), Wei(0), NOW)
        assert account.reserve(Wei(5 * AI), NOW) == 2 * AI + AI // 2
        # A start anew: what was held is forgotten, what was spent is not.
        again = Account(key_of("3"), books)
        await again.restore()
        assert again.reserve(Wei(5 * AI), NOW) == 2 * AI + AI // 2

    async def test_a_split_doubles_what_is_left_and_what_was_spent(self) -> None:
        books = StoreBooks()
        account = Account(key_of("3"), books)
        await account.settle(Wei(0), Wei(AI), NOW)
        assert account.reserve(Wei(9 * AI), Epoch(1)) == 4 * AI
        await account.settle(Wei(4 * AI), Wei(AI), Epoch(1))
        value = await books.setting(spent_setting(key_of()))
        assert read_spent(value, key_of()) == (3 * AI, 1)
        # A receipt of before the split comes late.
        await account.settle(Wei(0), Wei(AI), NOW)
        assert account.reserve(Wei(9 * AI), Epoch(1)) == AI

    async def test_no_budget_is_no_limit_and_is_counted_all_the_same(self) -> None:
        books = StoreBooks()
        account = Account(key_of(), books)
        assert account.reserve(Wei(AI), NOW) == AI
        await account.settle(Wei(AI), Wei(7), NOW)
        value = await books.setting(spent_setting(key_of()))
        assert read_spent(value, key_of()) == (7, 0)
        assert read_spent(None, key_of(epoch=2)) == (0, 2)


async def test_a_key_that_is_changed_keeps_its_account(home: Home) -> None:
    books = StoreBooks()
    entry = Entry(home.api_keys, books)
    secret = add_key(home.api_keys, "ada", None, NOW, None)
    asked = request(authorization=f"Bearer {secret}")
    account = await entry.admit(asked)
    assert account.reserve(Wei(AI), NOW) == AI
    [key] = read_keys(home.api_keys)
    changed = msgspec.structs.replace(key, budget="3", rate=1)
    home.api_keys.write_bytes(msgspec.json.encode([changed]))
    assert await entry.admit(asked) is account
    assert await refused(entry, asked) == (429, "rate_limit_exceeded")
    assert account.reserve(Wei(9 * AI), NOW) == 2 * AI
    await account.settle(Wei(AI), Wei(AI), NOW)
    await account.settle(Wei(2 * AI), Wei(0), NOW)
    assert account.reserve(Wei(9 * AI), NOW) == 2 * AI


async def ask(served: Served, secret: str, **more: object) -> tuple[int, object]:
    headers = {"authorization": f"Bearer {secret}"}
    reply = await served.ask("POST", "/v1/chat/completions", {**CHAT, **more}, **headers)
    return reply.status, reply.json


async def spent_by(served: Served, key: ApiKey) -> Wei:
    value = await served.exchange.node.parts.store.setting(spent_setting(key))
    return read_spent(value, key)[0]


async def test_spending_is_durable_before_the_answer_and_outlives_the_gateway(home: Home) -> None:
    world = World()
    secret = add_key(home.api_keys, "ada", Wei(AI // 1000), NOW, None)
    [key] = read_keys(home.api_keys)
    async with serve(home=home, world=world) as served:
        assert (await served.chat()).status == 401
        assert (await served.ask("GET", "/health")).status == 200
        status, answer = await ask(served, secret)
        assert status == 200
        cost = int(answer["choices"][0]["modelex"]["paid_wei"])  # type: ignore[index]
        assert await spent_by(served, key) == cost > 0
    async with serve(home=home, world=world) as served:
        answers = [await ask(served, secret, max_tokens=100) for _ in range(20)]
        assert [status for status, _ in answers][-1] == 402
        codes = {answer["error"]["code"] for status, answer in answers if status != 200}  # type: ignore[index]
        assert codes <= {"budget_exceeded", "over_ceiling"}
        assert cost < await spent_by(served, key) <= AI // 1000


async def test_a_small_budget_has_room_for_many_at_once(home: Home) -> None:
    """What is held is what a job can cost, which is far below the configuration's ceiling."""
    secret = add_key(home.api_keys, "ada", Wei(AI // 1000), NOW, None)
    async with serve(MemoryEngine(MODEL, delay_s=0.02), home=home) as served:
        statuses: list[int] = []

        async def ask_one() -> None:
            statuses.append((await ask(served, secret, n=2))[0])

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask_one)
        assert statuses == [200] * 4


async def test_what_a_failed_job_cost_is_spent_too(home: Home) -> None:
    crashing = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 3, jobs=99))
    secret = add_key(home.api_keys, "ada", None, NOW, None)
    [key] = read_keys(home.api_keys)
    async with serve(crashing, home=home) as served:
        status, _ = await ask(served, secret)
        assert status == 502
        assert await spent_by(served, key) > 0
