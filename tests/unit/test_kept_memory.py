"""The allocator keeps what it has: seen in the page faults of a fresh process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

USE_MEMORY = """
import resource, sys
from siamcorr.kept_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def messages():
    blocks = [b"x" * (1 << 20) for _ in range(4)]
messages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    messages()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", USE_MEMORY, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_kept_memory_is_used_again_without_page_faults() -> None:
    assert page_faults("keep") < 100
    assert page_faults("give back") > 1000, "else this test sees nothing"
