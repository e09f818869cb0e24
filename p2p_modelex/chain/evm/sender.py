"""One account's transactions: nonces, fees, gas, signing, and waiting until they are mined.

One Sender owns a key inside a process: eight tasks that each read the nonce from the endpoint got
9 of 40 transactions accepted; through one lock and a local nonce all 40 are.
"""

from contextlib import suppress
from dataclasses import replace

import trio

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.depth import name_deep_block
from p2p_modelex.chain.evm.fees import FEE_BLOCKS, TIP_MAX, compute_fees
from p2p_modelex.chain.evm.refusals import explain_refusal, find_lack_of_coin
from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.chain.evm.sent import Sent, is_known, is_lost, is_taken, take_up
from p2p_modelex.chain.evm.transaction import Transaction
from p2p_modelex.chain.evm.wire import TransactionReceipt, read_quantity, read_receipt, to_hex
from p2p_modelex.errors import ChainUnreachable, TransactionFailed
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.eip712 import AccountSigner

# A transaction's gas may rise between estimate and block: other channels change storage from
# zero to non-zero under it. What is not used is refunded.
GAS_MARGIN_PERCENT = 30
GAS_MAX = 16_777_216  # EIP-7825, since Osaka
NONCE_ATTEMPTS = 3
RECEIPT_TIMEOUT_S = 180.0  # fifteen of mainnet's blocks
REPAIR_S = 6.0
POLL_MIN_S = 0.02
POLL_MAX_S = 2.0
# Pools take another transaction for a nonce if it offers a tenth more (geth), an eighth (erigon).
RAISE_PARTS = 8
RAISES_MAX = 32  # a tip of TIP_MIN is then 43 times that, and the base fee has had three minutes
# Transactions kept for sending again after a reorg dropped them.
KEPT_MAX = 256


class Sender:
    """Sends from one account. Safe for several tasks at once; only one Sender may own a key."""

    def __init__(
        self,
        rpc: Rpc,
        signer: AccountSigner,
        chain_id: int,
        errors: Abi,
        *,
        confirmations: int = 0,
        receipt_timeout_s: float = RECEIPT_TIMEOUT_S,
        repair_s: float = REPAIR_S,
    ) -> None:
        """errors: the custom errors of the contracts that may refuse. confirmations: blocks upon
        the one that shows that a transaction came to nothing.
        """
        self._rpc = rpc
        self._signer = signer
        self._chain_id = chain_id
        self._errors = errors
        self._confirmations = confirmations
        self._receipt_timeout_s = receipt_timeout_s
        self._repair_s = repair_s
        self._lock = trio.Lock()
        self._nonce: int | None = None
        self._kept: dict[int, Sent] = {}

    async def send(
        self,
        to: Address | None,
        payload: bytes = b"",
        value: int = 0,
        outbox: Outbox | None = None,
    ) -> TransactionReceipt:
        """Send and wait until mined. TransactionFailed if refused or reverted, TransactionPending
        if it may still be mined. outbox: if something is in it, that is waited for.
        """
        request = {"from": format_address(self._signer.address), "data": to_hex(payload)}
        request |= {"value": hex(value)} | ({"to": format_address(to)} if to else {})
        if outbox is not None and outbox.signed:
            sent = self._take_up(outbox)
        else:
            gas, tip, cap = await self._price(request)
            form = Transaction(self._chain_id, 0, tip, cap, gas, to, value, payload)
            sent = await self._broadcast_next(form, outbox)
        receipt = await self._wait(sent)
        if not receipt.succeeded:
            raise await self._find_reason(request, receipt)
        return receipt

    async def repair(self) -> None:
        """Send again what a reorg or a full pool dropped; harmless when nothing was."""
        for sent in await self._find_waiting():
            sent.refusal = ""
            try:
                await self._rpc.call("eth_sendRawTransaction", to_hex(sent.newest.raw))
            except RpcError as error:  # whoever waits for it says so in time
                sent.refusal = "" if is_known(error) else error.text

    async def _find_waiting(self) -> list[Sent]:
        mined = await self._count("latest")
        return [sent for nonce, sent in sorted(self._kept.items()) if nonce >= mined]

    async def _raise_offers(self) -> None:
        """Offer more where the base fee has left us behind: in everything of ours that waits, since
        a nonce waits for those before it.
        """
        history = await self._rpc.call("eth_feeHistory", hex(FEE_BLOCKS), "latest", (50,))
        tip, fee_cap = compute_fees(history)
        for sent in await self._find_waiting():
            before = sent.transaction
            is_behind = before.fee_cap < (fee_cap - tip) // 2
            higher = max(tip, before.tip + before.tip // RAISE_PARTS + 1)
            if is_behind and len(sent.versions) <= RAISES_MAX and higher <= TIP_MAX:
                cap = max(fee_cap, before.fee_cap + before.fee_cap // RAISE_PARTS + 1)
                raised = replace(before, tip=higher, fee_cap=max(cap, higher))
                signed = await sent.sign(raised, self._signer)
                try:
                    await self._rpc.call("eth_sendRawTransaction", to_hex(signed.raw))
                except RpcError as error:
                    # Where the account has too little for it, what was offered stands.
                    if not (is_known(error) or is_taken(error) or is_lost(error)):
                        sent.versions.remove(signed)
                        continue
                sent.transaction = raised

    async def _price(self, request: dict[str, str]) -> tuple[int, int, int]:
        """Return the gas limit, tip and fee cap for a transaction."""
        try:
            estimate, fees = await self._rpc.batch(
                [
                    Call("eth_estimateGas", (request,)),
                    Call("eth_feeHistory", (hex(FEE_BLOCKS), "latest", (50,))),
                ]
            )
        except RpcError as error:
            raise await self._refusal(error) from error
        gas = read_quantity(estimate)
        if gas > GAS_MAX:
            raise TransactionFailed(
                f"the transaction needs {gas} gas, a transaction may use {GAS_MAX}",
                hint="redeem fewer vouchers at once",
            )
        tip, fee_cap = compute_fees(fees)
        return min(GAS_MAX, gas + gas * GAS_MARGIN_PERCENT // 100), tip, fee_cap

    async def _broadcast_next(self, form: Transaction, outbox: Outbox | None) -> Sent:
        """Send it with the next nonce."""
        async with self._lock:
            for _ in range(NONCE_ATTEMPTS):
                nonce = await self._take_nonce()
                sent = Sent(replace(form, nonce=nonce), [], outbox)
                await sent.sign(sent.transaction, self._signer)
                try:
                    await self._broadcast(sent)
                except RpcError as error:
                    if not (is_known(error) or is_taken(error)):
                        raise await self._refusal(error) from error
                    # It may be ours, from an earlier call that had the same to send.
                    if is_taken(error) and await self._fetch_receipt(sent) is None:
                        continue
                self._nonce = nonce + 1
                return self._keep(sent)
        raise TransactionFailed(
            f"the nonce was taken {NONCE_ATTEMPTS} times over",
            hint="is another program sending from the same key? one node, one key",
        )

    async def _broadcast(self, sent: Sent) -> None:
        """Hand it to the endpoint. RpcError if that refuses it, TransactionPending if an answer was
        lost: a pool may have it then, whatever is said when it is sent again.
        """
        raw = to_hex(sent.newest.raw)
        try:
            await self._rpc.call("eth_sendRawTransaction", raw, retry=False)
        except (RpcError, ChainUnreachable) as first:
            if not is_lost(first):
                raise
            try:
                await self._rpc.call("eth_sendRawTransaction", raw)
            except (RpcError, ChainUnreachable) as error:
                if not is_known(error) and not await self._is_mined(sent):
                    raise sent.doubt(f"may have arrived: {error}") from error

    def _take_up(self, outbox: Outbox) -> Sent:
        sent = take_up(outbox, self._signer.address)
        kept = self._kept.get(sent.transaction.nonce)
        if kept is None:
            return self._keep(sent)
        # Of another that has taken its nonce in the pool, the other stays kept.
        return kept if kept.outbox is outbox else sent

    async def _take_nonce(self) -> int:
        """Return the next nonce and forget it: any error from here on has it read again."""
        nonce, self._nonce = self._nonce, None
        if nonce is None:
            await self.repair()  # else a dropped transaction would lose its nonce to the next one
            nonce = await self._count("pending")
        return nonce

    def _keep(self, sent: Sent) -> Sent:
        self._kept[sent.transaction.nonce] = sent
        while len(self._kept) > KEPT_MAX:
            del self._kept[min(self._kept)]
        return sent

    async def _wait(self, sent: Sent) -> TransactionReceipt:
        why = f"was not mined in {self._receipt_timeout_s:g} s"
        try:
            with trio.move_on_after(self._receipt_timeout_s):
                return await self._find_mined(sent)
        except (RpcError, ChainUnreachable) as error:
            why = f"may be mined: {error}"
        raise sent.doubt(why)

    async def _find_mined(self, sent: Sent) -> TransactionReceipt:
        """Return its receipt, once there is one. TransactionFailed if there never will be."""
        pause = POLL_MIN_S
        repair_at = trio.current_time() + self._repair_s
        while True:
            receipt = await self._fetch_receipt(sent)
            if receipt is not None and await self._is_final(sent, receipt):
                return receipt
            if trio.current_time() >= repair_at:
                await self._refuse_replaced(sent)
                # What was offered stands, and may be mined yet.
                with suppress(RpcError, ChainUnreachable):
                    await self._raise_offers()
                await self.repair()
                repair_at = trio.current_time() + self._repair_s
            await trio.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_S)

    async def _is_final(self, sent: Sent, receipt: TransactionReceipt) -> bool:
        """Whether nothing else may become of it. What reverted may be mined again after a reorg and
        not revert, which matters to who makes another one instead.
        """
        return receipt.succeeded or sent.outbox is None or await self._is_past(sent)

    async def _is_past(self, sent: Sent) -> bool:
        """Whether its nonce is used, and that deep: machines of one endpoint may be behind others,
        and a reorg gives nonces back.
        """
        block = await name_deep_block(self._rpc, self._confirmations)
        return await self._count(block) > sent.transaction.nonce

    async def _is_mined(self, sent: Sent) -> bool:
        """Whether it is known to be mined."""
        with suppress(RpcError, ChainUnreachable):
            return await self._fetch_receipt(sent) is not None
        return False

    async def _fetch_receipt(self, sent: Sent) -> TransactionReceipt | None:
        """Return the receipt of the version that was mined."""
        hashes = [to_hex(version.hash) for version in reversed(sent.versions)]
        for found in await self._rpc.batch(
            [Call("eth_getTransactionReceipt", (name,)) for name in hashes]
        ):
            if found is not None:
                return read_receipt(found)
        return None

    async def _refuse_replaced(self, sent: Sent) -> None:
        """Raise TransactionFailed if another transaction was mined with this one's nonce."""
        nonce = sent.transaction.nonce
        if await self._is_past(sent) and await self._fetch_receipt(sent) is None:
            if self._kept.get(nonce) is sent:
                del self._kept[nonce]
            raise TransactionFailed(
                f"another transaction took nonce {nonce} from {to_hex(sent.newest.hash)}",
                hint="is another program sending from the same key? one node, one key",
            )

    async def _count(self, block: str) -> int:
        account = format_address(self._signer.address)
        return read_quantity(await self._rpc.call("eth_getTransactionCount", account, block))

    async def _find_reason(
        self, request: dict[str, str], receipt: TransactionReceipt
    ) -> TransactionFailed:
        """Replay a reverted transaction to learn why; its state is near that of its block."""
        happened = f"transaction {to_hex(receipt.transaction)} reverted"
        try:
            await self._rpc.call("eth_call", request, hex(receipt.block))
        except RpcError as error:
            if error.reason:
                return await explain_refusal(self._rpc, self._errors, error.reason, happened)
            return TransactionFailed(f"{happened}: {error.text}")
        return TransactionFailed(f"{happened}: no reason found (out of gas?)")

    async def _refusal(self, error: RpcError) -> TransactionFailed:
        if error.reason:
            would = "it would revert"
            return await explain_refusal(self._rpc, self._errors, error.reason, would)
        lack = find_lack_of_coin(error.text, self._signer.address)
        return lack or TransactionFailed(f"the endpoint refused it: {error.text}")
