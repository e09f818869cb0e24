"""A model's family, read off its name."""

import pytest

from p2p_modelex.records.family import family_of, split_model


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("smollm2-135m-instruct", "smollm2"),
        ("SmolLM2-1.7B-q4_k_m", "smollm2"),
        ("llama-3.1-8b-instruct", "llama-3.1"),
        ("mixtral-8x7b-v0.1", "mixtral"),
        ("gpt-oss-20b", "gpt-oss"),
        ("qwen3-235b-a22b", "qwen3"),
        ("phi-4-f16", "phi-4"),
        ("gemma-it-int8", "gemma-it"),
        ("tiny", "tiny"),
        ("7b", "7b"),
        ("8b-of-something", "8b-of-something"),
        ("", ""),
    ],
)
def test_a_family_is_what_comes_before_size_and_quantisation(model: str, family: str) -> None:
    assert family_of(model) == family


def test_a_request_asks_for_a_model_or_for_a_family() -> None:
    assert split_model("tiny") == ("tiny", None)
    assert split_model("family:SmolLM2") == (None, "smollm2")
