"""Files and batches as they travel over HTTP and lie on disk, in OpenAI's shapes."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Status = Literal["in_progress", "cancelling", "completed", "failed", "expired", "cancelled"]
Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
METADATA_MAX = 16


class FileObject(msgspec.Struct, frozen=True):
    """One file. created_at: unix seconds."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"


class FileList(msgspec.Struct, frozen=True):
    """GET /v1/files: a page of them. first_id, last_id: of this page."""

    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"


class FileDeleted(msgspec.Struct, frozen=True):
    """DELETE /v1/files/ID."""

    id: str
    deleted: Literal[True] = True
    object: Literal["file"] = "file"


class BatchRequest(msgspec.Struct, frozen=True):
    """POST /v1/batches."""

    input_file_id: str
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=METADATA_MAX),
        ]
        | None
    ) = None


class Counts(msgspec.Struct, frozen=True):
    """Lines of a batch. failed: those that were answered with an error."""

    total: int
    completed: int = 0
    failed: int = 0


class Batch(msgspec.Struct, frozen=True):
    """One batch. Times are unix seconds."""

    id: str
    endpoint: Endpoint
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    request_counts: Counts
    status: Status = "in_progress"
    metadata: dict[str, str] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    cancelling_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    errors: None = None
    object: Literal["batch"] = "batch"


class BatchList(msgspec.Struct, frozen=True):
    """GET /v1/batches: a page of them. first_id, last_id: of this page."""

    data: list[Batch]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"


class Line(msgspec.Struct, frozen=True):
    """A line of a batch's input: one request."""

    custom_id: Annotated[str, Meta(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: str
    body: msgspec.Raw


class LineResponse(msgspec.Struct, frozen=True):
    """What the gateway answered to a line."""

    status_code: int
    request_id: str
    body: msgspec.Raw


class LineResult(msgspec.Struct, frozen=True):
    """A line of a batch's output, or of its errors where the status is not 200."""

    id: str
    custom_id: str
    response: LineResponse
    error: None = None
