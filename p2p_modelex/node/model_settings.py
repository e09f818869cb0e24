"""What a model is sold by: one `[[models]]` table for each."""

# `option` makes a dataclass field, which is what the rule would have here.
# ruff: noqa: RUF009

from dataclasses import MISSING, dataclass

from p2p_modelex import limits
from p2p_modelex.core.exchange.parameters import OPEN_JOBS_MAX
from p2p_modelex.node.options import DIGEST, PRICE, TEXT, choice, option, texts, whole, words
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.units import AI, Wei

THREADS_MAX = 1024


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model to sell. One `[[models]]` table for each."""

    model: str = option(
        TEXT,
        MISSING,
        "Name as `modelex models` lists it; peers ask for it by this name.",
        example='"smollm2-135m-instruct"',
    )
    engine: str = option(
        choice("auto", "ctransformers", "xllamacpp", "upstream"),
        "auto",
        "What runs it. `auto` takes xllamacpp where it is installed and can run the file; "
        "`upstream` is a server that speaks the OpenAI API, and needs upstream_url.",
    )
    prompt_price: Wei = option(
        PRICE, Wei(0), "What 1,000 prompt tokens cost, in AI. At most 15 decimals."
    )
    completion_price: Wei = option(
        PRICE,
        Wei(AI // 50 // 1000),
        "What 1,000 completion tokens cost, in AI. At most 15 decimals.",
    )
    credit_tokens: int = option(
        whole(1, limits.COMPLETION_TOKENS_MAX, "tokens"),
        64,
        "Completion tokens to work ahead of the payer's vouchers. A cheat costs you this many; "
        "fewer make a distant payer wait at every voucher.",
    )
    max_tokens: int = option(
        whole(1, limits.COMPLETION_TOKENS_MAX, "tokens"),
        1024,
        "Longest completion to sell.",
    )
    context_length: int = option(
        whole(0, 2**20, "tokens"),
        0,
        "Context to load the model with; 0 takes the model's own. Memory rises with it.",
    )
    slots: int = option(
        whole(1, OPEN_JOBS_MAX, "requests"),
        2,
        "Requests to run at once where the engine can (xllamacpp, upstream); ctransformers runs "
        "one. xllamacpp holds a context for each in memory.",
    )
    queue: int = option(
        whole(0, 1024, "requests"),
        16,
        "Requests that may wait for a slot; more are refused as busy and go to other nodes.",
    )
    threads: int = option(
        whole(0, THREADS_MAX, "threads"), 0, "CPU threads; 0 takes one for each physical core."
    )
    gpu_layers: int = option(
        whole(0, 1000, "layers"),
        0,
        "Layers to put on the GPU; 1000 is all. Without a usable GPU the model runs on the CPU "
        "and the log says so.",
    )
    kinds: tuple[Kind, ...] = option(
        words("chat", "completion", "score", "embedding"),
        (),
        "What to serve; empty for what the model shows it can do: chat if it has a template, and "
        "completion; embedding if it is made for that alone.",
    )
    adapters: tuple[str, ...] = option(
        texts(8),
        (),
        "GGUF files of LoRA adapters to apply (xllamacpp); a relative path starts at the data "
        "directory. The model's digest is then one of all these files.",
        example='["adapters/finance.gguf"]',
    )
    upstream_url: str = option(
        TEXT,
        "",
        "Where the API of the engine `upstream` begins.",
        example='"http://127.0.0.1:8000/v1"',
    )
    upstream_model: str = option(
        TEXT, "", "What the model is called there; empty for the name it is offered by."
    )
    upstream_key_file: str = option(
        TEXT,
        "",
        "File whose first line is the API key; a relative path starts at the data directory.",
        example='"/etc/modelex/upstream-key"',
    )
    upstream_key_variable: str = option(
        TEXT,
        "",
        "Environment variable that holds the API key, where there is no file.",
        example='"UPSTREAM_API_KEY"',
    )
    upstream_dialect: str = option(
        choice("auto", "openai", "vllm", "sglang", "llamacpp"),
        "auto",
        "What the server is; `auto` looks at its list of models. `openai` asks for nothing that is "
        "not in OpenAI's API: no top_k, no grammars, no count of tokens.",
    )
    upstream_features: tuple[str, ...] = option(
        words("grammar", "json_schema", "logprobs", "seed", "tools"),
        (),
        "What the server can do beyond plain text. Each is tried at the start, and one that does "
        "not work is an error.",
    )
    upstream_weights: str = option(
        DIGEST,
        "",
        "SHA-256 of the weights that the server runs, as you know them; nobody can check it from "
        "here. Empty: a digest of the model's name there, which names no file.",
    )
