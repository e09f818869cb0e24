"""What a gateway charges by x402: docs/gateway.md."""

# `option` makes a dataclass field, which is what the rule would have here.
# ruff: noqa: RUF009

from dataclasses import dataclass, replace

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import format_address, parse_address
from p2p_modelex.node.options import AMOUNT, SWITCH, Kind, option, texts, whole
from p2p_modelex.units import AI, Epoch, Wei, rescale

PRICES_MAX = 64
MARKUP_MAX = 1_000_000
_TEXTS = texts(PRICES_MAX)

Prices = tuple[tuple[str, Wei], ...]


def _read_prices(value: object) -> Prices:
    pairs = [text.rpartition("=") for text in _TEXTS.read(value)]
    prices = {model: AMOUNT.read(amount) for model, _, amount in pairs}
    if "" in prices or len(prices) < len(pairs):
        raise BadInput("a model without a name, or named twice")
    return tuple(prices.items())


def _write_prices(prices: Prices) -> str:
    shown = (f"{model}={AMOUNT.write(amount)[1:-1]}" for model, amount in prices)
    return _TEXTS.write(tuple(shown))


def _read_account(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004
    return format_address(parse_address(value)) if value else ""


_ACCOUNT = Kind("account as 0x and 40 hexadecimal digits", _read_account, '"{}"'.format)
_PRICES = Kind(f'list of at most {PRICES_MAX} texts "MODEL=AI"', _read_prices, _write_prices)


@dataclass(frozen=True, slots=True)
class X402Settings:
    """What the gateway charges those who have no key, by x402: docs/gateway.md."""

    charge: bool = option(
        SWITCH,
        False,
        "Let those without a key pay for each request by a signed transfer of $AI, which this node "
        "brings to the chain at its own gas: about 70,000. Nobody without a key is served for "
        "nothing then, programs on this machine neither.",
    )
    markup: int = option(
        whole(0, MARKUP_MAX, "hundredths of a per cent"),
        1000,
        "What is added to the most that a request can cost at any provider; 1000 is a tenth.",
    )
    least: Wei = option(
        AMOUNT,
        Wei(AI // 100),
        "What a request costs at least, in AI. It has to cover the gas: who may pay less than that "
        "can have you spend it.",
    )
    prices: Prices = option(
        _PRICES,
        (),
        "Models at a fixed price for each answer, in place of both. Providers above it are not "
        "asked.",
        example='["news-sentiment=0.001"]',
    )
    payee: str = option(
        _ACCOUNT,
        "",
        "Account that is paid; empty for the node's own.",
        example='"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"',
    )

    def move(self, written: Epoch | int, epoch: Epoch) -> "X402Settings":
        """Return the same with amounts of split epoch `written` in wei of `epoch`."""
        least = Wei(rescale(self.least, written, epoch))
        prices = ((model, Wei(rescale(price, written, epoch))) for model, price in self.prices)
        return replace(self, least=least, prices=tuple(prices))
