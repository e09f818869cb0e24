"""The JSON-RPC methods of the private chain: what a node, a wallet and web3 ask for.

Names and shapes are those of the Ethereum execution APIs; the `anvil_` and `evm_` ones are
anvil's, so that the devnet is driven the same way whichever of the two it runs on.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.chain.pyevm import rendering
from p2p_modelex.chain.pyevm.envelope import (
    BAD_PARAMETER,
    INTERNAL,
    INVALID_REQUEST,
    NO_METHOD,
    REJECTED,
    REVERTED,
    Answer,
    fail,
)
from p2p_modelex.chain.pyevm.evm import PrivateChain, Refused, Reverted
from p2p_modelex.chain.pyevm.parameters import (
    BadParameter,
    read_address,
    read_addresses,
    read_bytes,
    read_object,
    read_quantity,
    read_request,
    read_tag,
    read_topics,
)

LOG_BLOCKS_MAX = 1_000  # what public endpoints allow, and our reader asks for
LOGS_MAX = 10_000
FEE_BLOCKS_MAX = 1_024
MINE_MAX = 1_000
TIP = 10**9  # native wei a gas, what anvil suggests


class Methods:
    """Answers requests about one chain. Not thread-safe, as the chain is not."""

    def __init__(self, chain: PrivateChain) -> None:
        self._chain = chain
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: f"py-evm/{version('py-evm')}",
            "net_version": lambda: str(chain.chain_id),
            "eth_chainId": lambda: hex(chain.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_blockNumber": lambda: hex(chain.head.block_number),
            "eth_gasPrice": lambda: hex(chain.next_base_fee + TIP),
            "eth_maxPriorityFeePerGas": lambda: hex(TIP),
            "eth_feeHistory": self._fee_history,
            "eth_getBalance": self._balance,
            "eth_getTransactionCount": self._count,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": lambda raw: to_hex(chain.send(read_bytes(raw))),
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getBlockByNumber": self._block,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getLogs": self._logs,
            "anvil_setBalance": self._set_balance,
            "anvil_mine": self._mine,
            "evm_mine": self._mine,
            "evm_increaseTime": self._increase_time,
            "evm_setAutomine": self._set_automine,
        }

    def answer(self, request: Any) -> Answer:
        """Return the answer to one decoded request, an error's too."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return fail(None, INVALID_REQUEST, "not a JSON-RPC request")
        name, params = request.get("id"), request.get("params", [])
        method = self._methods.get(request["method"])
        if method is None:
            return fail(name, NO_METHOD, f"the devnet has no {request['method'][:80]}")
        if not isinstance(params, list):
            return fail(name, BAD_PARAMETER, "parameters are a list")
        try:
            return {"jsonrpc": "2.0", "id": name, "result": method(*params)}
        except Reverted as error:
            return fail(name, REVERTED, str(error), to_hex(error.reason))
        except Refused as error:
            return fail(name, REJECTED, str(error))
        except (BadParameter, TypeError) as error:  # TypeError: too many or too few of them
            return fail(name, BAD_PARAMETER, str(error))
        except Exception as error:  # a fault of py-evm or of ours must not end the devnet
            return fail(name, INTERNAL, f"{type(error).__name__}: {error}")

    def _header(self, tag: Any) -> Any | None:
        """Return the header that a tag names; None for the block to come."""
        found = read_tag(tag)
        if found == "pending":
            return None
        if isinstance(found, str):
            return self._chain.head
        header = self._chain.find_header(found)
        if header is None:
            raise BadParameter(f"there is no block {found}")
        return header

    def _execution_header(self, tag: Any) -> Any | None:
        """Calls on the newest state run in the block to come, at the time it is now."""
        return None if isinstance(read_tag(tag), str) else self._header(tag)

    def _balance(self, account: Any, tag: Any = None) -> str:
        state = self._chain.read_state(self._header(tag))
        return hex(state.get_balance(read_address(account)))

    def _count(self, account: Any, tag: Any = None) -> str:
        return hex(self._chain.read_state(self._header(tag)).get_nonce(read_address(account)))

    def _code(self, account: Any, tag: Any = None) -> str:
        return to_hex(self._chain.read_state(self._header(tag)).get_code(read_address(account)))

    def _storage(self, account: Any, slot: Any, tag: Any = None) -> str:
        state = self._chain.read_state(self._header(tag))
        word = state.get_storage(read_address(account), read_quantity(slot))
        return to_hex(word.to_bytes(32, "big"))

    def _call(self, request: Any, tag: Any = None) -> str:
        return to_hex(self._chain.call(read_request(request), self._execution_header(tag)))

    def _estimate(self, request: Any, tag: Any = None) -> str:
        return hex(self._chain.estimate(read_request(request), self._execution_header(tag)))

    def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> Answer:
        last = (self._header(newest) or self._chain.head).block_number
        wanted = min(read_quantity(count), FEE_BLOCKS_MAX, last + 1)
        headers = [self._chain.find_header(n) for n in range(last + 1 - wanted, last + 1)]
        following = self._chain.find_header(last + 1)
        next_fee = following.base_fee_per_gas if following else self._chain.next_base_fee
        answer: Answer = {
            "oldestBlock": hex(last + 1 - wanted),
            "baseFeePerGas": [hex(h.base_fee_per_gas) for h in headers if h] + [hex(next_fee)],
            "gasUsedRatio": [h.gas_used / h.gas_limit for h in headers if h],
        }
        if isinstance(percentiles, list):
            # Nobody competes for the blocks of a devnet: the tips of the past say nothing.
            answer["reward"] = [["0x0"] * len(percentiles)] * wanted
        return answer

    def _transaction(self, name: Any) -> Answer | None:
        mined = self._chain.find_transaction(read_bytes(name, 32))
        return None if mined is None else rendering.render_transaction(mined)

    def _receipt(self, name: Any) -> Answer | None:
        mined = self._chain.find_transaction(read_bytes(name, 32))
        return None if mined is None else rendering.render_receipt(mined)

    def _block(self, tag: Any, full: Any = False) -> Answer | None:
        found = read_tag(tag)
        header = self._chain.find_header(found) if isinstance(found, int) else self._chain.head
        return self._render_block(header, full)

    def _block_by_hash(self, name: Any, full: Any = False) -> Answer | None:
        return self._render_block(self._chain.find_header_by_hash(read_bytes(name, 32)), full)

    def _render_block(self, header: Any | None, full: Any) -> Answer | None:
        if header is None:
            return None
        return rendering.render_block(self._chain.read_block(header), full=bool(full))

    def _logs(self, wanted: Any) -> list[Answer]:
        fields = read_object(wanted)
        addresses, topics = read_addresses(fields.get("address")), read_topics(fields.get("topics"))
        found: list[Answer] = []
        for header in self._headers_of(fields):
            if header.bloom == 0:
                continue
            block = self._chain.read_block(header)
            logs = rendering.render_logs(block, self._chain.read_receipts(block))
            found += [log for log in logs if _matches(log, addresses, topics)]
            if len(found) > LOGS_MAX:
                raise BadParameter(f"more than {LOGS_MAX} logs: ask for fewer blocks")
        return found

    def _headers_of(self, fields: dict[str, Any]) -> list[Any]:
        if fields.get("blockHash") is not None:
            header = self._chain.find_header_by_hash(read_bytes(fields["blockHash"], 32))
            if header is None:
                raise BadParameter("unknown block")
            return [header]
        head = self._chain.head.block_number
        first, last = (read_tag(fields.get(name)) for name in ("fromBlock", "toBlock"))
        start = first if isinstance(first, int) else head
        end = min(last, head) if isinstance(last, int) else head
        if end - start >= LOG_BLOCKS_MAX:
            raise BadParameter(f"more than {LOG_BLOCKS_MAX} blocks")
        headers = (self._chain.find_header(number) for number in range(start, end + 1))
        return [header for header in headers if header is not None]

    def _set_balance(self, account: Any, amount: Any) -> None:
        self._chain.set_balance(read_address(account), read_quantity(amount))

    def _mine(self, count: Any = 1) -> str:
        blocks = read_quantity(count)
        if blocks > MINE_MAX:
            raise BadParameter(f"more than {MINE_MAX} blocks at once")
        for _ in range(blocks):
            self._chain.mine()
        return "0x0"

    def _increase_time(self, seconds: Any) -> str:
        ahead = read_quantity(seconds)
        if ahead >= 2**32:
            raise BadParameter("more than a century")
        self._chain.advance_time(ahead)
        return hex(ahead)

    def _set_automine(self, wanted: Any) -> None:
        self._chain.mines_at_once = bool(wanted)


def _matches(
    log: Answer, addresses: frozenset[bytes] | None, topics: Sequence[frozenset[bytes] | None]
) -> bool:
    if addresses is not None and bytes.fromhex(log["address"][2:]) not in addresses:
        return False
    has = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    return len(has) >= len(topics) and all(
        choice is None or topic in choice for topic, choice in zip(has, topics, strict=False)
    )
