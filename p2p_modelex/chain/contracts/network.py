"""A network's contracts from one account, or from nobody's, who can only read."""

from collections.abc import Sequence
from typing import Self

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.identify import check_contract
from p2p_modelex.chain.evm.refusals import ask
from p2p_modelex.chain.evm.rpc import AnswerTooLarge, Rpc, RpcError
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.wire import (
    Header,
    Log,
    TransactionReceipt,
    read_header,
    read_logs,
    to_hex,
)
from p2p_modelex.errors import ChainUnreachable, ConfigurationError
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.eip712 import AccountSigner

# What a command's contracts and farms come to; a bound all the same.
CHECKED_MAX = 256


class LogsRefused(ChainUnreachable):
    """The endpoint does not give the logs of so many blocks, or there are too many in them."""


class Network:
    """What the contracts' wrappers share: endpoint, addresses, and the key if there is one.

    Use as `async with`. One for each key and process: it owns the account's nonces. Reads are of
    the newest block, which a reorg may still undo.
    """

    def __init__(
        self,
        url: str,
        deployment: Deployment,
        signer: AccountSigner | None = None,
        account: Address | None = None,
    ) -> None:
        """account: whom reads are about where there is no signer. ConfigurationError for a URL
        that is not http(s).
        """
        self.deployment = deployment
        self._rpc = Rpc(url)
        self._signer = signer
        self._account = signer.address if signer else account
        self._errors = load_contracts().errors
        self._checked: set[tuple[str, Address]] = set()
        self._sender = (
            Sender(self._rpc, signer, deployment.chain_id, self._errors) if signer else None
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._rpc.aclose()

    @property
    def account(self) -> Address:
        """Who sends, or whom reads are about; ConfigurationError if nobody is named."""
        if self._account is None:
            raise ConfigurationError("whose account?", hint="name the account, or give --home")
        return self._account

    @property
    def signer(self) -> AccountSigner:
        """The account's key; ConfigurationError if there is none."""
        if self._signer is None:
            raise _lack_of_key()
        return self._signer

    def find(self, key: str) -> Address:
        """Return the address of a contract by its name in the network file; ConfigurationError if
        the file lacks it.
        """
        address: Address | None = getattr(self.deployment, key)
        if address is None:
            raise ConfigurationError(
                f"network {self.deployment.name} has no {key} contract in its file",
                hint="`modelex chain deploy` deploys what is missing and writes the file",
            )
        return address

    async def check(self, artifact: str, address: Address) -> None:
        """Raise WrongNetwork unless this chain has our contract there; asked once for each."""
        if (artifact, address) in self._checked:
            return
        await check_contract(self._rpc, self.deployment, artifact, address, load_contracts())
        if len(self._checked) < CHECKED_MAX:
            self._checked.add((artifact, address))

    async def ask(
        self, questions: Sequence[tuple[Address, bytes]], block: str = "latest"
    ) -> list[bytes]:
        """Read from contracts, as of one block. Reverted, TransactionFailed, ChainUnreachable."""
        return await ask(self._rpc, self._errors, questions, block)

    async def fetch_head(self) -> Header:
        """The newest block."""
        return read_header(await self._rpc.call("eth_getBlockByNumber", "latest", False))

    async def fetch_logs(
        self, address: Address, topics: Sequence[bytes], first: int, last: int
    ) -> tuple[Log, ...]:
        """A contract's logs with these first topics, in blocks `first` to `last`. LogsRefused where
        fewer blocks may do.
        """
        wanted = {
            "address": format_address(address),
            "topics": [to_hex(topic) for topic in topics],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        try:
            return read_logs(await self._rpc.call("eth_getLogs", wanted))
        except RpcError as error:
            raise LogsRefused(f"the endpoint refused to search its log: {error.text}") from error
        except AnswerTooLarge as error:
            raise LogsRefused(error.message) from error

    async def send(self, to: Address | None, payload: bytes) -> TransactionReceipt:
        """Send and wait until mined; `to` None creates a contract. Errors as Sender.send."""
        if self._sender is None:
            raise _lack_of_key()
        return await self._sender.send(to, payload)


def _lack_of_key() -> ConfigurationError:
    return ConfigurationError(
        "without a key the contracts can only be read", hint="give a home or a key file"
    )
