"""A file server on loopback that can be told to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves `content` at every path. cut: bytes after which each answer breaks off, or None."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.tag = '"one"'
        self.cut: int | None = None
        self.ranges = True
        self.status = 200
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range", "")
        server.asked.append((self.path, wanted))
        begins = 0
        if server.status != 200:
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if wanted and server.ranges and self.headers.get("If-Range") == server.tag:
            begins = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begins >= len(server.content):
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            last, size = len(server.content) - 1, len(server.content)
            self.send_header("Content-Range", f"bytes {begins}-{last}/{size}")
        else:
            self.send_response(200)
        body = server.content[begins:]
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.tag)
        self.end_headers()
        self.wfile.write(body if server.cut is None else body[: server.cut])


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    with FileServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
