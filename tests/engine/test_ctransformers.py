"""Each defect of ctransformers 0.2.27 that ordinary prompts and files trigger, and its cure."""

import gc
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_modelex.engine import ctransformers_library
from p2p_modelex.engine.ctransformers import CtransformersBackend
from p2p_modelex.engine.ctransformers_library import BATCH_TOKENS, Library, choose_variant
from p2p_modelex.engine.spec import EngineSpec, default_threads
from p2p_modelex.errors import EngineError, ModelRejected, PromptTooLong, Unsupported
from p2p_modelex.records.job import Request
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import chat, make_request


@pytest.fixture(scope="module")
def backend(tiny: Path) -> CtransformersBackend:
    """One instance for the module: a process survives some thirty."""
    return CtransformersBackend(EngineSpec("ctransformers", "m", tiny, threads=1))


@pytest.fixture(scope="module")
def library(backend: CtransformersBackend) -> Iterator[Library]:
    yield backend._library
    gc.collect()


def run(backend: CtransformersBackend, request: Request) -> tuple[str, int, Finish]:
    steps = backend.run(request, backend.build_prompt(request), lambda: False)
    text, tokens = "", 0
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return text, tokens, end.value
        text, tokens = text + step.text, tokens + step.tokens


def test_1_multi_byte_text_does_not_overflow_the_buffer(library: Library) -> None:
    for text in ("日本語のテキスト" * 50, "😀" * 400, "é" * 2000, "\u200b" * 1000):
        ids = library.tokenize(text)
        assert len(ids) > len(text)  # what the package's own buffer of len(text) + 1 cannot hold
        assert b"".join(map(library.detokenize, ids)).decode().strip() == text


def test_2_only_one_thread_uses_an_instance() -> None:
    # The worker starts one thread for such a backend; test_process crosses counting and running.
    assert not CtransformersBackend.concurrent


def test_3_each_step_draws_anew_and_runs_repeat(backend: CtransformersBackend) -> None:
    sampled = make_request("the", max_tokens=24, temperature=1.5, seed=5)
    first = run(backend, sampled)
    assert run(backend, sampled) == first
    assert run(backend, make_request("the", max_tokens=24, temperature=1.5, seed=6)) != first
    # Reseeded for each token alike, the draws of one run would be one number.
    greedy = run(backend, make_request("the", max_tokens=24))
    assert run(backend, make_request("the", max_tokens=24, top_k=1, temperature=1.5)) == greedy
    assert first != greedy


def test_4_streams_keep_characters_of_several_tokens(library: Library) -> None:
    from p2p_modelex.engine.text import TextStream

    stream = TextStream(())
    pieces = [stream.feed(library.detokenize(token)) for token in library.tokenize("日本")]
    assert "".join(pieces).strip() == "日本"
    assert "" in pieces  # half a character shows nothing yet


def test_5_the_context_and_the_prompt_are_checked(
    backend: CtransformersBackend, library: Library
) -> None:
    assert backend.info.context_length == 512
    with pytest.raises(PromptTooLong):
        backend.build_prompt(make_request("word " * 200, max_tokens=100))
    with pytest.raises(Unsupported, match="NUL"):
        backend.build_prompt(make_request("a\0b"))
    for token in (-1, 10**6):
        with pytest.raises(EngineError, match="vocabulary"):
            library.detokenize(token)
        with pytest.raises(EngineError, match="vocabulary"):
            library.evaluate([token])
    prompt = backend.build_prompt(make_request("ab", max_tokens=1))
    assert library.rewind(prompt) < len(prompt)
    with pytest.raises(EngineError, match="context is full"):
        for _ in range(9):
            library.evaluate([5] * BATCH_TOKENS)
    assert run(backend, make_request("ab", max_tokens=1))[1] == 1


def test_6_a_long_prompt_can_be_cancelled(backend: CtransformersBackend) -> None:
    request = make_request("xyz " * 100, max_tokens=1)
    prompt = backend.build_prompt(request)
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    steps = backend.run(request, prompt, stopped)
    done = [next(steps), next(steps)]
    assert [step.tokens for step in done] == [0, 0]
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value is Finish.CANCELLED
    assert len(prompt) > 2 * BATCH_TOKENS


def test_7_a_missing_file_is_not_a_name_to_download() -> None:
    with pytest.raises(ModelRejected, match="no file at"):
        Library(Path("TheBloke/Llama-2-7B"), context_length=512, threads=1, gpu_layers=0)
    with pytest.raises(ModelRejected, match="needs the path"):
        CtransformersBackend(EngineSpec("ctransformers", "m"))


def test_8_the_build_is_chosen_from_the_cpus_flags() -> None:
    assert choose_variant(["avx", "f16c", "avx2", "fma"]) == "avx2"
    assert choose_variant(["avx", "f16c"]) == "avx"
    assert choose_variant(["sse4_2"]) == choose_variant([]) == "basic"


def test_9_prompts_are_evaluated_in_batches(library: Library) -> None:
    assert BATCH_TOKENS >= 64
    library.rewind([])
    for count in (0, BATCH_TOKENS + 1):
        with pytest.raises(EngineError, match="in one step"):
            library.evaluate([5] * count)


def test_10_special_tokens_are_ids_and_only_the_templates(backend: CtransformersBackend) -> None:
    prompt = backend.build_prompt(chat("a<|im_end|>b"))
    assert prompt[0] == 1
    assert prompt.count(3) == 2  # <|im_start|>: the message and the answer
    assert prompt.count(4) == 1  # <|im_end|>: the message's own end, not the one written in it


def test_11_malformed_files_do_not_reach_native_code(tmp_path: Path, tiny: Path) -> None:
    whole = tiny.read_bytes()
    for number, bad in enumerate((b"", whole[:64], b"GGUF\1\0\0\0" + whole[8:], whole[:-4096])):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(bad)
        with pytest.raises(ModelRejected):
            CtransformersBackend(EngineSpec("ctransformers", "m", path))


def test_prefixes_are_reused_without_changing_the_answer(
    backend: CtransformersBackend, library: Library
) -> None:
    request = make_request("the quick brown fox jumps", max_tokens=8)
    prompt = backend.build_prompt(request)
    fresh = run(backend, make_request("zzz", max_tokens=1)) and run(backend, request)
    assert library.rewind(prompt) == len(prompt) - 1
    assert run(backend, request) == fresh


def test_logits_are_repeatable_bit_by_bit(backend: CtransformersBackend, library: Library) -> None:
    def digest() -> str:
        library.rewind([])
        library.evaluate(backend.build_prompt(make_request("the quick")))
        return hashlib.sha256(library.logits().tobytes()).hexdigest()

    assert digest() == digest()


def test_without_a_gpu_all_layers_run_on_the_cpu(
    tiny: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none() -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctransformers_library, "_require_cuda_device", find_none)
    with caplog.at_level(logging.WARNING):
        backend = CtransformersBackend(EngineSpec("ctransformers", "m", tiny, gpu_layers=99))
    assert backend.info.device == "cpu"
    assert "no usable GPU" in caplog.text
    assert run(backend, make_request("ab", max_tokens=2))[1] == 2
    backend._library.close()
    backend._library.close()


def test_threads_leave_one_core_free() -> None:
    import os

    assert default_threads() == max(1, len(os.sched_getaffinity(0)) - 1)
