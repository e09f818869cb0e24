"""What a node may spend, and on whom."""

# `option` makes a dataclass field, which is what the rule would have here.
# ruff: noqa: RUF009

from dataclasses import dataclass, replace

from p2p_modelex.node.options import AMOUNT, PRICE, TEXT, choice, option, texts
from p2p_modelex.records.registry import SECTIONS
from p2p_modelex.units import AI, Epoch, Wei, rescale

EVALUATORS_MAX = 16
"""Each summary on chain looks at so many."""


@dataclass(frozen=True, slots=True)
class RequesterSettings:
    """What this node may spend when it buys completions."""

    max_cost: Wei = option(
        AMOUNT, Wei(AI), "Most that one job may cost, in AI; `--max-price` overrides it."
    )
    max_prompt_price: Wei = option(
        PRICE, Wei(AI // 1000), "Providers that ask more for 1,000 prompt tokens are not chosen."
    )
    max_completion_price: Wei = option(
        PRICE,
        Wei(AI // 1000),
        "Providers that ask more for 1,000 completion tokens are not chosen.",
    )
    max_window: Wei = option(
        AMOUNT,
        Wei(AI // 10),
        "Most to pay ahead of the tokens received. A provider that cheats gets this much; one that "
        "needs more is not chosen.",
    )
    auto_deposit: Wei = option(
        AMOUNT,
        Wei(10 * AI),
        "What to put into a new channel, or add to an exhausted one. 0 never does so by itself.",
    )
    max_deposits: Wei = option(
        AMOUNT,
        Wei(100 * AI),
        "Most that may lie in all channels together by automatic deposits. One of which it is not "
        "known whether it was made counts.",
    )
    section: str = option(
        choice(*SECTIONS),
        "any",
        "Whom to buy from, by what the registry on chain says: `any` is everybody who is not "
        "suspended, `registered` and `whitelisted` those who are, `all` the suspended too. "
        "`--section` overrides it.",
    )
    evaluators: tuple[str, ...] = option(
        texts(EVALUATORS_MAX),
        (),
        "Accounts whose ratings of providers on chain you believe, each alike; profiles weigh them "
        "(`rating`) or want a minimum. Empty: none are read.",
        example='["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]',
    )
    profile: str = option(
        TEXT,
        "default",
        "How to choose a provider: `default` weighs price, latency and load of four that are "
        "probed, `cheapest` and `fastest` do what they say, `sticky` keeps a conversation with one "
        "provider, for its cache; or the name of a [[profiles]] table.",
    )

    def move(self, written: Epoch | int, epoch: Epoch) -> "RequesterSettings":
        """Return the same with amounts of split epoch `written` in wei of `epoch`."""

        def rewrite(amount: Wei) -> Wei:
            return Wei(rescale(amount, written, epoch))

        return replace(
            self,
            max_cost=rewrite(self.max_cost),
            max_prompt_price=rewrite(self.max_prompt_price),
            max_completion_price=rewrite(self.max_completion_price),
            max_window=rewrite(self.max_window),
        )
