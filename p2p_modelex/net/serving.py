"""How a network runs the handler of an inbound stream."""

import logging

from p2p_modelex.errors import RemoteProtocolError, StreamBroken, StreamClosed
from p2p_modelex.net.abc import Stream, StreamHandler

_log = logging.getLogger(__name__)


async def serve_stream(handler: StreamHandler, stream: Stream) -> None:
    """Run `handler`, then close the stream or reset it; whatever it raises ends here."""
    try:
        await handler(stream)
    except StreamClosed:
        await stream.aclose()
    except (StreamBroken, RemoteProtocolError) as error:
        _log.debug("a stream of %s ended: %s", stream.protocol, error)
        await stream.reset()
    except Exception:  # a handler's fault costs its stream and nothing more
        _log.exception("the handler of %s failed", stream.protocol)
        await stream.reset()
    else:
        await stream.aclose()
