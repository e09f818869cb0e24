"""The error tree. Every error names what went wrong and, in `hint`, what to do about it.

Two branches matter to protocols (after h11): `LocalProtocolError` means we were about to break
the rules, `RemoteProtocolError` means the peer did. Only the second costs a peer its score.
Each class carries the exit code the command line ends with (listed in docs/errors.md).
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ModelexError(Exception):
    """Base of every error this package raises on purpose. Never raised itself."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(ModelexError):
    """A value given by the caller is malformed. For data from peers: RemoteProtocolError."""

    exit_code = 2


class ConfigurationError(ModelexError):
    """The configuration or the data directory is missing, malformed or in use."""

    exit_code = 3


class KeystoreError(ModelexError):
    """A key could not be read, written or decrypted (wrong passphrase included)."""

    exit_code = 4


class StoreError(ModelexError):
    """The local database is corrupt, full or of a newer version; what was promised still holds."""

    exit_code = 5


class ProtocolError(ModelexError):
    """Base of LocalProtocolError and RemoteProtocolError. Never raised itself."""

    exit_code = 6


class LocalProtocolError(ProtocolError):
    """We were about to break a protocol rule: a bug in the caller. The peer has seen nothing."""


class RemoteProtocolError(ProtocolError):
    """A peer broke a protocol rule. `rule` is its number in protocols/, such as `ADV-4`."""

    def __init__(self, rule: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{rule}: {message}", hint=hint)
        self.rule = rule


class NetworkError(ModelexError):
    """Base of what can go wrong between peers without anybody breaking a rule."""

    exit_code = 7


class DialFailed(NetworkError):
    """No address of the peer answered. Not raised for a peer that answered and then failed."""


class StreamClosed(NetworkError):
    """The other side closed the stream in good order; no more frames will come."""


class StreamBroken(NetworkError):
    """The stream was reset or its connection died; frames may be lost."""


class NoProvider(NetworkError):
    """No known peer can serve the request; the message says which filter removed the last one."""

    exit_code = 8


class JobRefused(ModelexError):
    """A provider refused the job. `code` is the refusal code of protocols/exchange."""

    exit_code = 9

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code, hint=hint)
        self.code = code


class JobFailed(ModelexError):
    """A job ended without a receipt: provider, engine or stream failed; or its time was up."""

    exit_code = 10


class PaymentError(ModelexError):
    """A payment could not be made or was refused: no channel, exhausted, over the window."""

    exit_code = 11


class ChainError(ModelexError):
    """Base of failures of the EVM side."""

    exit_code = 12


class ChainUnreachable(ChainError):
    """The JSON-RPC endpoint does not answer within its time limit, after bounded retries."""


class WrongNetwork(ChainError):
    """The endpoint answers for another chain, or our contracts are not there."""


class TransactionFailed(ChainError):
    """A transaction was mined and reverted, or was refused; the message has the decoded reason."""


class TransactionPending(ChainError):
    """A transaction was sent, or may have been, and whether it is mined is not known: not in time,
    or not from an endpoint that answers. The message has its hash.
    """


class Reverted(TransactionFailed):
    """A contract refuses. `name`, `arguments`: of its custom error, `""` if it is unknown."""

    def __init__(
        self, message: str, *, name: str, arguments: Mapping[str, Any], hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.arguments = arguments


class EngineError(ModelexError):
    """Base of failures of a model engine."""

    exit_code = 13


class EngineCrashed(EngineError):
    """The worker process died or hung and was killed; it is being restarted."""


class EngineBusy(EngineError):
    """The admission queue is full. `retry_after_ms` says when to ask again."""

    def __init__(self, message: str, *, retry_after_ms: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_ms = retry_after_ms


class PromptTooLong(EngineError):
    """Prompt and requested completion do not fit the model's context."""


class Unsupported(EngineError):
    """The engine lacks a capability the request needs; it is refused, never faked."""


class ModelRejected(EngineError):
    """A model file failed vetting: malformed, of an unsupported kind, or of another digest."""


class VerificationFailed(ModelexError):
    """A receipt, voucher or record does not verify; the message says which check failed."""

    exit_code = 14


class ProtocolNotSpoken(NetworkError):
    """The peer is connected but does not serve the protocol that was asked for."""


class SimulationError(ModelexError):
    """A simulation broke what must hold, always or by its scenario, or outgrew a bound."""

    exit_code = 16
