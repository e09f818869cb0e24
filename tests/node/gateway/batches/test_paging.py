"""Pages of lists, and OpenAI's iterators through them."""

from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from p2p_modelex.node.gateway.batches.paging import cut, read_page
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.home import Home
from tests.node.gateway.serving import serve


@dataclass(frozen=True)
class Thing:
    id: str
    created_at: int


THINGS = [Thing("b", 1), Thing("a", 1), Thing("c", 3), Thing("d", 2)]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_together_are_the_list(order: str, limit: int) -> None:
    seen: list[str] = []
    has_more, query = True, {"limit": str(limit), "order": order}
    while has_more:
        page, has_more = cut(THINGS, read_page(query, default=9, most=9))
        assert len(page) == limit or not has_more
        seen += [thing.id for thing in page]
        query["after"] = seen[-1]
    assert seen == sorted(seen, key="abdc".index, reverse=order == "desc")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "\u0663"}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "x"}, "after"),
    ],
)
def test_what_is_no_page_is_named(query: dict[str, str], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        cut(THINGS, read_page(query, default=20, most=100))
    assert (caught.value.status, caught.value.param) == (400, param)


def walk(library: openai.OpenAI) -> None:
    files = [library.files.create(file=(f"{n}.jsonl", b"{}"), purpose="batch").id for n in range(5)]
    assert {file.id for file in library.files.list(limit=2)} == set(files)
    page = library.files.list(limit=2, order="asc", purpose="batch")
    assert (page.has_more, len(page.data)) == (True, 2)
    assert page.model_extra is not None
    assert [page.model_extra[name] for name in ("first_id", "last_id")] == [
        file.id for file in page.data
    ]
    assert {file.id for file in page} == set(files)
    assert library.files.list(purpose="vision").data == []
    assert list(library.batches.list(limit=1)) == []
    with pytest.raises(openai.BadRequestError, match="after"):
        library.files.list(after="file-0")


async def test_openais_iterators_walk_through_all_pages(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    async with serve(home=home) as served:
        await served.use(walk)
