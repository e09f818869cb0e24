from collections import Counter

import numpy as np
import pytest

from p2p_modelex.engine.sampling import choose_token, compute_logprobs

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], dtype=np.float32))


def draw(**options: object) -> Counter[int]:
    settings = {"seed": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0} | options
    return Counter(choose_token(LOGITS, step=step, **settings) for step in range(1000))  # type: ignore[arg-type]


def test_draws_follow_the_probabilities() -> None:
    found = draw()
    for token, share in enumerate((0.1, 0.4, 0.2, 0.3)):
        assert found[token] / 1000 == pytest.approx(share, abs=0.05)
    assert draw() == found
    assert draw(seed=2) != found


def test_cuts() -> None:
    assert set(draw(top_k=2)) == {1, 3}
    assert set(draw(top_p=0.5)) == {1, 3}
    assert set(draw(top_p=0.01)) == {1}
    assert set(draw(temperature=0.0)) == {1}
    assert set(draw(allowed=[2, 0])) == {0, 2}
    assert set(draw(allowed=[2, 0], temperature=0.0)) == {2}
    assert draw(temperature=2.0)[0] > draw(temperature=0.5)[0]


def test_the_log_probability_is_the_models_own() -> None:
    logprob, none = compute_logprobs(LOGITS + 7, 2, 0)
    assert logprob == pytest.approx(np.log(0.2), abs=1e-6)
    assert none == []
    _, likeliest = compute_logprobs(LOGITS, 2, 2)
    assert [token for token, _ in likeliest] == [1, 3]
    assert likeliest[1][1] == pytest.approx(np.log(0.3), abs=1e-6)
