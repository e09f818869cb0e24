"""What a node begins from: its disk, and what the chain says of its own."""

import secrets

import structlog

from p2p_modelex.core.anchoring.own import SENT
from p2p_modelex.core.funding import SALT_SEED
from p2p_modelex.core.job_states import FINAL_STATES
from p2p_modelex.core.node import NodeCore
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import validate_split_epoch
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.parts import Parts
from p2p_modelex.records.registry import RegistryEntry
from p2p_modelex.records.rows import Row, SettingRow
from p2p_modelex.store.abc import Store

log = structlog.get_logger(__name__)


async def restore(core: NodeCore, parts: Parts, configuration: Configuration) -> None:
    """Give a core what its disk has, and what the chain says of it; call before it starts.

    Raises StoreError, ChainError; ConfigurationError if the configuration is of a later split.
    """
    await _find_epoch(core, parts, configuration)
    store, now = parts.store, wall_clock()
    rows: list[Row] = [
        *await store.channels(),
        *await store.members(),
        *await store.memberships(),
        *await store.issued_vouchers(),
        *await store.received_vouchers(),
        *await store.redeemed(),
        *await store.deposits(),
        *await store.loans(),
        *await store.jobs(without=FINAL_STATES),
        await _keep_seed(store),
    ]
    sent = await store.setting(SENT)
    if sent is not None:
        rows.append(SettingRow(SENT, sent))
    cut = core.restore(rows, await _fetch_entry(parts, configuration))
    await store.apply(cut)
    forgotten = await store.prune(now, finished=FINAL_STATES)
    core.farming.book.restore(await store.farms(now), now)
    kept = core.directory.restore(await store.records(now), now)
    log.info("restored", rows=len(rows), advertisements=kept, cut=len(cut), forgotten=forgotten)


async def _find_epoch(core: NodeCore, parts: Parts, configuration: Configuration) -> None:
    """Begin in the token's split epoch; ConfigurationError if the configuration is ahead."""
    if parts.chain is None:
        return
    split = await parts.chain.fetch_split()
    validate_split_epoch(configuration, split.epoch)
    core.begin_in(split)


async def _fetch_entry(parts: Parts, configuration: Configuration) -> RegistryEntry | None:
    """Our registry entry, if we have one and are going to advertise it."""
    if parts.chain is None or configuration.role == "requester":
        return None
    return await parts.chain.fetch_registration(parts.keys.peer.public_key)


async def _keep_seed(store: Store) -> SettingRow:
    """Return what names the channels of this home, made at its first start."""
    kept = await store.setting(SALT_SEED)
    row = SettingRow(SALT_SEED, kept or secrets.token_bytes(32))
    if kept is None:
        await store.apply([row])
    return row
