"""Results on disk: a summary and the samples, as JSON lines, and as Parquet where pyarrow is."""

from pathlib import Path

import msgspec

from p2p_modelex.simulation.run import Result


def write_result(result: Result, folder: Path) -> list[Path]:
    """Write `summary.json` and `samples.jsonl`, and `samples.parquet`; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    summary, samples = folder / "summary.json", folder / "samples.jsonl"
    about = {
        "scenario": result.scenario,
        "seed": result.seed,
        "digest": result.digest,
        "measures": result.measures,
        "unmet": result.unmet,
    }
    summary.write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n")
    samples.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in result.samples))
    written = [summary, samples]
    try:
        from pyarrow import Table, parquet
    except ImportError:
        return written
    rows = [msgspec.structs.asdict(one) for one in result.samples]
    parquet.write_table(Table.from_pylist(rows), folder / "samples.parquet")
    return [*written, folder / "samples.parquet"]
