"""ctransformers' shared library, bound by hand.

Only the .so of the package is used. Its Python layer overflows a buffer in `tokenize`, spends a
second importing a hub downloader and another in cpuinfo, and takes a missing file for a name to
download; binding a dozen functions is less than working around it.
"""

import ctypes
import importlib.metadata
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from p2p_modelex.engine.sampling import Logits
from p2p_modelex.errors import EngineError, ModelRejected, Unsupported

LOG = logging.getLogger(__name__)

BATCH_TOKENS = 64
"""Tokens evaluated in one native call, which nothing can interrupt: the grain of cancelling."""

_GUARD = "\x01"
_ints = ctypes.POINTER(ctypes.c_int)


class _Config(ctypes.Structure):
    _fields_ = (
        ("context_length", ctypes.c_int),
        ("gpu_layers", ctypes.c_int),
        ("mmap", ctypes.c_bool),
        ("mlock", ctypes.c_bool),
    )


_SIGNATURES = {
    "create": ((ctypes.c_char_p, ctypes.c_char_p, _Config), ctypes.c_void_p),
    "delete": ((ctypes.c_void_p,), None),
    "tokenize": ((ctypes.c_void_p, ctypes.c_char_p, ctypes.c_bool, _ints), ctypes.c_int),
    "detokenize": ((ctypes.c_void_p, ctypes.c_int), ctypes.c_char_p),
    "vocab_size": ((ctypes.c_void_p,), ctypes.c_int),
    "batch_eval": (
        (ctypes.c_void_p, _ints, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int),
        ctypes.c_bool,
    ),
    "logits_data": ((ctypes.c_void_p,), ctypes.POINTER(ctypes.c_float)),
    "logits_size": ((ctypes.c_void_p,), ctypes.c_int),
}


def choose_variant(cpu_flags: Sequence[str]) -> str:
    """Return which CPU build of the library to load, from the flags of /proc/cpuinfo."""
    if "avx2" in cpu_flags and "fma" in cpu_flags and "f16c" in cpu_flags:
        return "avx2"
    return "avx" if "avx" in cpu_flags and "f16c" in cpu_flags else "basic"


def read_cpu_flags() -> list[str]:
    """Return this machine's CPU flags, or none where /proc/cpuinfo does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def version() -> str:
    """Return the installed version; Unsupported if the package is missing."""
    try:
        return importlib.metadata.version("ctransformers")
    except importlib.metadata.PackageNotFoundError as error:
        raise Unsupported(
            "ctransformers is not installed", hint="pip install ctransformers"
        ) from error


class Library:
    """One model in ctransformers' native code. Make one in a process, use it from one thread.

    path: a vetted GGUF file. gpu_layers: 0, or how many layers to put on a GPU: if the CUDA build
    does not load, the CPU runs all of them and a warning says so. `variant` is what was loaded.
    """

    def __init__(self, path: Path, *, context_length: int, threads: int, gpu_layers: int) -> None:
        if not path.is_file():
            raise ModelRejected(f"no file at {path}", hint="Check the path; `modelex models list`.")
        self._threads = threads
        self._context_length = context_length
        self._past: list[int] = []
        self.variant, gpu_layers = self._load(gpu_layers)
        config = _Config(context_length, gpu_layers, True, False)
        self._model = self._library.ctransformers_llm_create(str(path).encode(), b"gguf", config)
        if not self._model:
            raise ModelRejected(f"ctransformers could not load {path.name}")
        self._words = int(self._library.ctransformers_llm_vocab_size(self._model))

    def _load(self, gpu_layers: int) -> tuple[str, int]:
        if gpu_layers > 0:
            try:
                _require_cuda_device()
                _load_cuda_runtime()
                self._library = _bind("cuda")
            except OSError as error:
                LOG.warning("no usable GPU for ctransformers (%s): all layers on the CPU", error)
            else:
                return "cuda", gpu_layers
        variant = choose_variant(read_cpu_flags())
        self._library = _bind(variant)
        return variant, 0

    def _call(self, name: str, *arguments: object) -> object:
        return getattr(self._library, f"ctransformers_llm_{name}")(self._model, *arguments)

    def close(self) -> None:
        """Free the model; call nothing afterwards."""
        if self._model:
            self._library.ctransformers_llm_delete(self._model)
            self._model = None

    def tokenize_bare(self, text: str) -> list[int]:
        """Tokenize without the space that the native code puts before every text.

        A character that joins nothing stands between the two; both are cut off again.
        """
        guard = self.tokenize(_GUARD)
        ids = self.tokenize(_GUARD + text)
        if ids[: len(guard)] != guard:
            raise EngineError("the vocabulary joins a control character to other text")
        return ids[len(guard) :]

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of plain text; special tokens are not parsed and none is added."""
        raw = text.encode()
        # One id a byte is the most byte fallback makes, and the native code adds a space and BOS.
        room = (ctypes.c_int * (len(raw) + 8))()
        count = self._call("tokenize", raw, False, room)
        if not isinstance(count, int) or not 0 <= count <= len(room):
            raise EngineError("ctransformers returned a token count out of range")
        return room[:count]

    def detokenize(self, token: int) -> bytes:
        """Return a token's bytes, which need not be whole characters."""
        self._check([token])
        found = self._call("detokenize", token)
        return found if isinstance(found, bytes) else b""

    def _check(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            if not 0 <= token < self._words:
                raise EngineError(f"token {token} is not in the vocabulary of {self._words}")

    def rewind(self, prompt: Sequence[int]) -> int:
        """Forget all but what the past shares with `prompt`; return how many tokens that is.

        One token is always left to evaluate, since logits exist only for the last one evaluated.
        """
        shared = 0
        for ours, theirs in zip(self._past, prompt[:-1], strict=False):
            if ours != theirs:
                break
            shared += 1
        del self._past[shared:]
        return shared

    def evaluate(self, tokens: Sequence[int]) -> None:
        """Append at most BATCH_TOKENS tokens to the past and compute the logits after them."""
        self._check(tokens)
        if not 0 < len(tokens) <= BATCH_TOKENS:
            raise EngineError(f"{len(tokens)} tokens in one step")
        if len(self._past) + len(tokens) > self._context_length:
            raise EngineError("the context is full")
        ids = (ctypes.c_int * len(tokens))(*tokens)
        past, count = len(self._past), len(tokens)
        if not self._call("batch_eval", ids, count, past, BATCH_TOKENS, self._threads):
            self._past.clear()
            raise EngineError("ctransformers failed to evaluate tokens")
        self._past.extend(tokens)

    def logits(self) -> Logits:
        """Return a copy of the logits after the last evaluated token."""
        count = self._call("logits_size")
        if count != self._words:
            raise EngineError("ctransformers has no logits to give")
        pointer = self._call("logits_data")
        return np.ctypeslib.as_array(pointer, (self._words,)).astype(np.float32)


def _bind(variant: str) -> ctypes.CDLL:
    spec = importlib.util.find_spec("ctransformers")
    if spec is None or spec.origin is None:
        raise Unsupported("ctransformers is not installed", hint="pip install ctransformers")
    file = Path(spec.origin).parent / "lib" / variant / "libctransformers.so"
    library = ctypes.CDLL(str(file))
    for name, (arguments, result) in _SIGNATURES.items():
        function = getattr(library, f"ctransformers_llm_{name}")
        function.argtypes, function.restype = arguments, result
    return library


def _require_cuda_device() -> None:
    """Raise OSError unless there is a CUDA device: without one the CUDA build ends the process.

    Source: CUDA driver API, cuInit and cuDeviceGetCount (0 is CUDA_SUCCESS).
    """
    driver = ctypes.CDLL("libcuda.so.1")
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        raise OSError("the CUDA driver finds no device")


def _load_cuda_runtime() -> None:
    """Load the CUDA 12 libraries of `ctransformers[cuda]` if there; the linker finds others."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for part, name in (("cuda_runtime", "libcudart.so.12"), ("cublas", "libcublas.so.12")):
            if (file := Path(folder) / part / "lib" / name).is_file():
                ctypes.CDLL(str(file))
