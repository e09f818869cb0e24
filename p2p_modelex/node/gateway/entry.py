"""Who may ask: API keys with budgets and rates; without keys, programs on this machine only.

What a key has spent lies in the node's database, and is there before the answer is given.
"""

import math
import os
from pathlib import Path

import msgspec
import structlog
import trio

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.net.bounded import TokenBucket
from p2p_modelex.node.gateway.books import Books
from p2p_modelex.node.gateway.heads import HttpRequest
from p2p_modelex.node.gateway.keyfile import RATE_MAX, ApiKey, digest_of, read_keys
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.records import codec
from p2p_modelex.records.rows import SettingRow
from p2p_modelex.records.types import U16
from p2p_modelex.units import Epoch, Wei, format_ai, rescale

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_FROM_HERE = ("none", "same-origin")
_SPENT_BYTES = 64
log = structlog.get_logger(__name__)


class _Spent(msgspec.Struct, frozen=True, array_like=True):
    """Wei of split epoch `epoch`, by one key since it was made."""

    amount: Wei
    epoch: U16


def spent_setting(key: ApiKey) -> str:
    """Return the name of the setting with what a key has spent."""
    return f"gateway/spent/{key.digest[:32]}"


def read_spent(value: bytes | None, key: ApiKey) -> tuple[Wei, Epoch]:
    """Return what such a setting says that a key has spent, in wei of an epoch."""
    if value is None:
        return Wei(0), Epoch(key.epoch)
    spent: _Spent = codec.decode(_Spent, value, limit=_SPENT_BYTES)
    return spent.amount, Epoch(spent.epoch)


class Account:
    """On whose account a request runs: a key's, or nobody's."""

    def __init__(self, key: ApiKey | None, books: Books) -> None:
        self.key = key
        self._books = books
        # Filled to the rate at the first request: a minute's worth may come at once.
        self._bucket = TokenBucket(float(RATE_MAX), trio.current_time())
        self._reserved = 0
        self._spent = _Spent(Wei(0), 0)

    @property
    def owner(self) -> str:
        """Whose files and batches are whose: the key's digest, empty where there are no keys."""
        return "" if self.key is None else self.key.digest

    @property
    def is_bounded(self) -> bool:
        """Whether there is a budget, of which no more than was reserved may be spent."""
        return self.key is not None and self.key.budget is not None

    async def restore(self) -> None:
        """Take over what was spent before; call once, first."""
        if self.key is not None:
            value = await self._books.setting(spent_setting(self.key))
            self._spent = _Spent(*read_spent(value, self.key))

    def enter(self) -> None:
        """Count a request. Raises Refusal if there were too many."""
        if self.key is None or self.key.rate is None:
            return
        rate = self.key.rate
        if not self._bucket.take(trio.current_time(), rate / 60, float(rate)):
            message = f"key {self.key.name} may ask {rate} times a minute"
            wait_s = math.ceil(60 / rate)
            raise Refusal(429, "rate_limit_exceeded", message, retry_after_s=wait_s)

    def reserve(self, wanted: Wei, epoch: Epoch) -> Wei:
        """Set aside up to `wanted` wei of an epoch, and return how much that is; `settle` undoes
        it. Raises Refusal if nothing is left.
        """
        if self.key is None:
            return wanted
        if self.key.budget_wei is None:
            self._reserved += wanted
            return wanted
        epoch = Epoch(max(epoch, self.key.epoch, self._spent.epoch))
        budget = rescale(self.key.budget_wei, self.key.epoch, epoch)
        spent = rescale(self._spent.amount, self._spent.epoch, epoch)
        left = budget - spent - self._reserved
        if left <= 0:
            message = f"key {self.key.name} has a budget of {self.key.budget} AI, and "
            message += f"{format_ai(spent)} of it spent"
            if self._reserved:
                message += f", {format_ai(self._reserved)} held for requests under way"
            raise Refusal(402, "budget_exceeded", message)
        amount = Wei(min(wanted, left))
        self._reserved += amount
        return amount

    async def settle(self, reserved: Wei, paid: Wei, epoch: Epoch) -> None:
        """Note what was paid in place of what was set aside; durable when this returns."""
        if self.key is None:
            return
        self._reserved -= reserved
        if not paid:
            return
        newer = max(epoch, self._spent.epoch)
        amount = rescale(self._spent.amount, self._spent.epoch, newer)
        self._spent = _Spent(Wei(amount + rescale(paid, epoch, newer)), newer)
        row = SettingRow(spent_setting(self.key), codec.encode(self._spent))
        await self._books.keep((row,))


class Entry:
    """Lets requests in. The file of keys is read again when it has changed."""

    def __init__(self, keys: Path | None, books: Books) -> None:
        """keys: the file, None for no keys at all."""
        self._path = keys
        self._books = books
        self._stamp: object = ()
        self._keys: dict[str, ApiKey] = {}
        self._accounts: dict[str, Account] = {}
        self.nobody = Account(None, books)

    @property
    def has_keys(self) -> bool:
        """Whether only those with a key may ask."""
        self._refresh()
        return bool(self._keys)

    async def admit(self, request: HttpRequest) -> Account:
        """Return on whose account a request runs. Raises Refusal."""
        if not self.has_keys:
            _check_local(request)
            return self.nobody
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Refusal(401, "no_api_key", "send a key: Authorization: Bearer mdx-...")
        key = self._keys.get(digest_of(secret.strip()))
        if key is None:
            raise Refusal(401, "invalid_api_key", "there is no such key; modelex keys add NAME")
        account = await self._account_of(key)
        account.enter()
        return account

    async def find(self, owner: str) -> Account:
        """Return whose owner that is, who asked before. Raises Refusal if the key is gone."""
        key = self._keys.get(owner) if self.has_keys else None
        if key is not None:
            return await self._account_of(key)
        if self.has_keys or owner:
            raise Refusal(401, "invalid_api_key", "the key with which this was asked is gone")
        return self.nobody

    async def _account_of(self, key: ApiKey) -> Account:
        account = self._accounts.get(key.digest)
        if account is None:
            account = Account(key, self._books)
            await account.restore()
            account = self._accounts.setdefault(key.digest, account)
        return account

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            status = os.stat(self._path)  # noqa: PTH116  # a third of Path.stat's time
            stamp: object = (status.st_mtime_ns, status.st_size, status.st_ino)
        except FileNotFoundError:
            stamp = None
        if stamp == self._stamp:
            return
        try:
            keys = {key.digest: key for key in read_keys(self._path)}
        except ConfigurationError as error:
            log.warning("keys_unreadable", reason=str(error))
            raise Refusal(503, "keys_unreadable", "the gateway's keys cannot be read") from error
        self._stamp, self._keys = stamp, keys
        # An account outlives a change of its key: it knows what is held and spent.
        self._accounts = {
            digest: account for digest, account in self._accounts.items() if digest in keys
        }
        for digest, account in self._accounts.items():
            account.key = keys[digest]


def _check_local(request: HttpRequest) -> None:
    """Without keys whoever can connect may spend, so it must be a program on this machine.

    A web page can send requests to this machine as well, by itself or under a name of its own
    (DNS rebinding); what it sends has an origin, or another host than this one.
    """
    is_forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if not request.is_local or is_forwarded:  # a proxy on this machine speaks for others
        raise Refusal(
            401, "no_api_key", "without a key only this machine may ask: modelex keys add NAME"
        )
    name = request.headers.get("host", "").rpartition(":")
    host = name[0] if name[2].isdigit() else request.headers.get("host", "")
    site = request.headers.get("sec-fetch-site", "none")
    if "origin" in request.headers or site not in _FROM_HERE or host not in _LOCAL_NAMES:
        raise Refusal(403, "browser", "without a key no web page may ask: modelex keys add NAME")
