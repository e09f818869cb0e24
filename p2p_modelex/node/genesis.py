"""Is this chain the one that a home was used with? Its id and addresses do not tell on a devnet."""

from urllib.parse import urlsplit

from p2p_modelex.chain.abc import Chain
from p2p_modelex.errors import WrongNetwork
from p2p_modelex.records.rows import SettingRow
from p2p_modelex.store.abc import Store

_GENESIS = "genesis"


async def check_genesis(chain: Chain, store: Store, url: str) -> None:
    """Raise WrongNetwork if the chain's block 0 is not the one the store was bound to.

    url: the endpoint's, for the message. A store that is bound to none passes.
    """
    bound = await store.setting(_GENESIS)
    if bound is None or bound == await chain.fetch_genesis():
        return
    # Keys of paid endpoints are in the rest of the URL.
    host = urlsplit(url).netloc.rpartition("@")[2]
    raise WrongNetwork(
        f"the chain at {host} is not the one this home was used with",
        hint="a devnet was restarted: run it with --state to keep it, or use a new home",
    )


async def bind_genesis(chain: Chain, store: Store, url: str) -> None:
    """Bind a store to the chain it is first used with; then as `check_genesis`.

    Channels and vouchers of another chain are worth nothing on this one, so a home that has
    them neither buys nor sells here.
    """
    if await store.setting(_GENESIS) is None:
        await store.apply([SettingRow(_GENESIS, await chain.fetch_genesis())])
    else:
        await check_genesis(chain, store, url)
