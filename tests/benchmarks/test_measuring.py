"""CPU time of other processes."""

import subprocess
import sys

import pytest

from benchmarks.measuring import cpu_seconds_of, exact_cpu_seconds_of

# A thread that uses 0.2 s of CPU and ends; what is read is for this side to wait for.
BUSY = """
import sys, threading, time
def work():
    while time.thread_time() < 0.2:
        pass
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(time.process_time(), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_what_threads_used_that_have_ended_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as busy:
        assert busy.stdout is not None
        said_s = float(busy.stdout.readline())
        assert said_s >= 0.2
        assert exact_cpu_seconds_of(busy.pid) == pytest.approx(said_s, abs=0.05)
        assert cpu_seconds_of(busy.pid) == pytest.approx(said_s, abs=0.05)
        busy.communicate("")
    with pytest.raises(OSError, match="Invalid argument"):
        exact_cpu_seconds_of(busy.pid)
