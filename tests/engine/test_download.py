from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_modelex.engine import download as downloading
from p2p_modelex.engine.download import download
from p2p_modelex.errors import BadInput, ModelRejected, NetworkError, StoreError
from tests.engine.fileserver import FileServer, serving

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses between tries too short to notice."""
    monkeypatch.setattr(downloading, "PAUSE_FIRST_S", 0.001)


async def test_fetches_a_file(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    target = tmp_path / "new" / "file"
    await download(server.url + "/x", target, on_progress=lambda *at: seen.append(at))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [file.name for file in target.parent.iterdir()] == ["file"]


async def test_goes_on_where_it_was_cut_off(server: FileServer, tmp_path: Path) -> None:
    server.cut = 300_000
    await download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    starts = [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for _, wanted in server.asked]
    assert starts == sorted(starts)
    assert len(starts) == 4
    assert starts[-1] > 0


async def test_a_later_call_goes_on_too(server: FileServer, tmp_path: Path) -> None:
    server.cut = 10
    with pytest.raises(NetworkError, match="5 tries"):
        await download(server.url, tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size == 50
    server.cut = None
    await download(server.url, tmp_path / "file")
    assert server.asked[-1][1] == "bytes=50-"
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["version", "no ranges", "no tag", "longer than it was"])
async def test_starts_over_where_the_rest_may_not_fit(
    server: FileServer, tmp_path: Path, change: str
) -> None:
    (tmp_path / "file.part").write_bytes(b"old" * 100)
    (tmp_path / "file.tag").write_text('"one"')
    if change == "version":
        server.tag = '"two"'
    elif change == "no ranges":
        server.ranges = False
    elif change == "no tag":
        (tmp_path / "file.tag").unlink()
    else:
        (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    await download(server.url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


async def test_refusals(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput):
        await download("file:///etc/passwd", tmp_path / "file")
    server.status = 404
    with pytest.raises(NetworkError, match="404"):
        await download(server.url, tmp_path / "file")
    assert len(server.asked) == 1
    server.status = 503
    with pytest.raises(NetworkError, match="503"):
        await download(server.url, tmp_path / "file")
    assert len(server.asked) == 6
    server.status = 200
    monkeypatch.setattr(downloading, "FILE_BYTES_MAX", 1000)
    with pytest.raises(ModelRejected, match="more than 1000"):
        await download(server.url, tmp_path / "file")


async def test_a_place_that_cannot_be_written_is_named(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        await download(server.url, tmp_path / "plain" / "file")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(StoreError, match="10 are free"):
        await download(server.url, tmp_path / "file")
