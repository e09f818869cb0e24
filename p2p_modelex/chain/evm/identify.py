"""Is this endpoint the network we think it is? Chain id, then our contracts' code."""

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.deployment import list_contracts
from p2p_modelex.chain.evm.artifacts import Contracts, mask_immutables
from p2p_modelex.chain.evm.rpc import Call, Rpc
from p2p_modelex.chain.evm.wire import read_bytes, read_quantity
from p2p_modelex.errors import WrongNetwork
from p2p_modelex.ids import Address, format_address

_TYPED = "check the address, and that it is of this network"


async def check_network(rpc: Rpc, deployment: Deployment, contracts: Contracts) -> None:
    """Raise WrongNetwork, saying what differs, or ChainUnreachable."""
    places = (
        ("AIToken", deployment.token),
        ("NodeRegistry", deployment.registry),
        ("PaymentChannels", deployment.channels),
    )
    code_calls = [Call("eth_getCode", (format_address(at), "latest")) for _, at in places]
    chain_id, *codes = await rpc.batch([Call("eth_chainId"), *code_calls])
    _check_chain(rpc, deployment, read_quantity(chain_id))
    for (name, at), code in zip(places, codes, strict=True):
        _check_code(name, at, read_bytes(code), contracts)


async def check_contract(
    rpc: Rpc, deployment: Deployment, name: str, at: Address, contracts: Contracts
) -> None:
    """Raise WrongNetwork unless the chain is the network's and the contract `name` is there."""
    calls = [Call("eth_chainId"), Call("eth_getCode", (format_address(at), "latest"))]
    chain_id, code = await rpc.batch(calls)
    _check_chain(rpc, deployment, read_quantity(chain_id))
    is_listed = at in list_contracts(deployment).values()
    _check_code(name, at, read_bytes(code), contracts, "" if is_listed else _TYPED)


def _check_chain(rpc: Rpc, deployment: Deployment, chain_id: int) -> None:
    if chain_id != deployment.chain_id:
        raise WrongNetwork(
            f"{rpc.name} serves chain {chain_id}, "
            f"network {deployment.name} is on chain {deployment.chain_id}",
            hint="give the URL of an endpoint of that chain, or name another network",
        )


def _check_code(name: str, at: Address, code: bytes, contracts: Contracts, hint: str = "") -> None:
    """hint: in place of what to do about a network file."""
    if not code:
        raise WrongNetwork(
            f"there is no {name} at {format_address(at)}",
            hint=hint or "was the devnet started afresh? deploy again, or mend the network file",
        )
    artifact = contracts.artifacts[name]
    if mask_immutables(code, artifact) != mask_immutables(artifact.deployed, artifact):
        raise WrongNetwork(
            f"the contract at {format_address(at)} is not this version's {name}",
            hint=hint
            or "mend the addresses in the network file, or use the version they were made with",
        )
