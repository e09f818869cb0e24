"""Forms as libraries write them, and as nobody should."""

import httpx
import pytest

from p2p_modelex.node.gateway.batches.form import PARTS_MAX, read_form
from p2p_modelex.node.gateway.refusal import Refusal

KIND = "multipart/form-data; boundary=xyz"


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\r\n--b\r\n\r\nc", b"\x00\xff--"])
def test_what_httpx_writes_is_read(content: bytes) -> None:
    files = {"file": ("a b.jsonl", content, "application/jsonl")}
    request = httpx.Request("POST", "http://x", data={"purpose": "batch"}, files=files)
    form = read_form(request.headers["content-type"], request.read())
    assert form["purpose"].content == b"batch"
    assert (form["file"].filename, form["file"].content) == ("a b.jsonl", content)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", b""),
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        (KIND, b""),
        (KIND, b"--xyz--"),
        (KIND, b"--xyz\r\nno name\r\n\r\nx\r\n--xyz--"),
        (KIND, b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n--xyz--'),
        (KIND, b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nnot ended'),
        (KIND, b"before\r\n--xyz--"),
        (KIND, b'--xyz\r\nx; name="a"\r\n\r\nb\r\n' * (PARTS_MAX + 1) + b"--xyz--"),
    ],
)
def test_what_is_no_form_is_told_so(kind: str, body: bytes) -> None:
    if body == b"--xyz--":
        assert read_form(kind, body) == {}
        return
    with pytest.raises(Refusal) as caught:
        read_form(kind, body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_value")
