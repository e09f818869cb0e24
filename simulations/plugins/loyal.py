"""A routing policy: buy where it went well before. `modelex simulate priceliars --plugin ...`."""

from p2p_modelex.simulation.plugin import measure, scorer


@scorer("loyal", picker="power_of_d", weight=8, beside={"load": 2})
def be_loyal(candidates, want, sight):
    """Score by our own jobs there: 1 where none failed, a half for strangers, less for thieves."""
    scores = []
    for candidate in candidates:
        past = sight.history.get(candidate.peer)
        good, bad = (past.good, past.bad) if past is not None else (0.0, 0.0)
        scores.append((good + 0.5) / (good + 4 * bad + 0.5) if good + bad else 0.5)
    return scores


@measure("ai_for_1000_tokens")
def measure_price(run):
    """What honest buyers paid for a thousand tokens of completions, in AI."""
    return 1000 * run.customers.paid / max(1, run.customers.tokens) / 10**18
