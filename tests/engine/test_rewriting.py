from pathlib import Path

import pytest

from p2p_modelex.engine.architecture import vet_for_ctransformers
from p2p_modelex.engine.ctransformers_library import Library
from p2p_modelex.engine.rewriting import rewrite_for_ctransformers
from p2p_modelex.engine.vetting import compute_digest, read_header
from p2p_modelex.errors import ModelRejected
from tests.engine.asking import ask, chat, make_request
from tests.engine.conftest import Opening
from tests.engine.tiny import write_tiny_gpt2

TEXTS = [
    "the quick",
    "the\n\nquick the",
    "  the ",
    "日本 é 😀",
    "\x04\x06\t\U0004ffff",
    "<spare_0>",
]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "shipped.gguf")


@pytest.fixture(scope="module")
def rewritten(shipped: Path) -> Path:
    target = shipped.with_name("rewritten.gguf")
    rewrite_for_ctransformers(shipped, target)
    return target


def test_the_same_source_gives_the_same_bytes(shipped: Path, rewritten: Path) -> None:
    again = shipped.with_name("again.gguf")
    rewrite_for_ctransformers(shipped, again)
    assert compute_digest(again) == compute_digest(rewritten)
    with pytest.raises(ModelRejected, match="not SentencePiece"):
        vet_for_ctransformers(read_header(shipped))


def test_texts_survive_and_merges_keep_their_order(rewritten: Path) -> None:
    library = Library(rewritten, context_length=512, threads=1, gpu_layers=0)
    for text in TEXTS:
        ids = library.tokenize_bare(text)
        assert b"".join(map(library.detokenize, ids)).decode() == text
    tokens = read_header(rewritten).tokens
    assert [tokens[number] for number in library.tokenize_bare("the quic")] == ["the", "▁qu", "ic"]
    library.close()


def test_what_cannot_be_rewritten_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="only llama models"):
        rewrite_for_ctransformers(tiny, tmp_path / "out")
    short = write_tiny_gpt2(tmp_path / "short.gguf", spare=2)
    with pytest.raises(ModelRejected, match="no token for 3 bytes"):
        rewrite_for_ctransformers(short, tmp_path / "out")


async def test_both_engines_count_the_same_tokens(
    shipped: Path, rewritten: Path, opening: Opening
) -> None:
    async with (
        opening("xllamacpp", path=shipped) as new,
        opening("ctransformers", path=rewritten) as old,
    ):
        for request in (chat("the quick"), make_request("the quick"), chat("<|im_end|> the")):
            assert await new.count_tokens(request) == await old.count_tokens(request)
            answers = [await ask(new, request), await ask(old, request)]
            assert answers[0].done.prompt_tokens == answers[1].done.prompt_tokens
