"""JSON-RPC 2.0's own shapes: bodies, batches and errors."""

import json
from typing import Any

from p2p_modelex.chain.evm.rpc import BATCH_MAX, NESTING_MAX, measure_nesting

# JSON-RPC 2.0, section 5.1; 3 and -32003 are what Ethereum nodes use.
PARSE_ERROR, INVALID_REQUEST, NO_METHOD = -32700, -32600, -32601
BAD_PARAMETER, INTERNAL, REJECTED, REVERTED = -32602, -32603, -32003, 3

Answer = dict[str, Any]


def decode(body: bytes) -> tuple[list[Any], bool] | Answer:
    """Return the requests in a body and whether they came as a batch; or an error's answer."""
    # See NESTING_MAX: py-evm raises the recursion limit past what json's parser survives.
    if measure_nesting(body) > NESTING_MAX:
        return fail(None, INVALID_REQUEST, f"nested deeper than {NESTING_MAX}")
    try:
        decoded = json.loads(body)
    except ValueError:  # bytes that are no text included
        return fail(None, PARSE_ERROR, "not JSON")
    if not isinstance(decoded, list):
        return [decoded], False
    if not 0 < len(decoded) <= BATCH_MAX:
        return fail(None, INVALID_REQUEST, f"a batch holds 1 to {BATCH_MAX} requests")
    return decoded, True


def fail(name: Any, code: int, message: str, revert: str | None = None) -> Answer:
    """Return an error's answer to the request of that id. revert: revert bytes in hex."""
    error: Answer = {"code": code, "message": message[:500]}
    if revert is not None:
        error["data"] = revert
    return {"jsonrpc": "2.0", "id": name, "error": error}
