"""``siamcorr-server`` whose observers sleep after the word ``off`` on stdin, and wake after ``on``.

Without observers a server runs the same code as one that was started without metrics. So what metrics cost
can be measured within one process, whose threads and memory lie where they lie.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

import siamcorr_server.observers
from siamcorr_server.__main__ import main
from siamcorr_server.observers import Observer, Observers


class Switched(Observers):
    """Observers that are told nothing while they sleep. Each word is answered with itself."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        """Start awake."""
        super().__init__(observers)
        self._awake = self._observers
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            word = line.strip()
            self._observers = {"on": self._awake, "off": ()}[word]
            print(word, flush=True)


if __name__ == "__main__":
    siamcorr_server.observers.Observers = Switched  # type: ignore[misc] # before the server is made
    sys.exit(main())
