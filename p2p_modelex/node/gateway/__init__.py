"""The gateway: an OpenAI-style API over HTTP/1.1 in front of the mesh. See docs/gateway.md.

`http.py` serves connections, `gateway.py` takes each request through the rest: `entry.py` lets it
in, or `charging/` has it paid for, `asking.py` turns it into a request of ours, `answering.py` runs
it, `rendering.py` writes the answer.
"""
