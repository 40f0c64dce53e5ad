"""Requests to stop from outside."""

import signal
import types


class Interruption:
    """Notes SIGTERM within a `with` block, instead of dying of it.

    Schedulers send it some time before they kill a job.

    Example:
        with Interruption() as interruption:
            while work and not interruption.requested:
                ...
    """

    def __init__(self):
        self.requested = False
        self._previous = None

    def __enter__(self) -> "Interruption":
        try:
            self._previous = signal.signal(signal.SIGTERM, self._note)
        except ValueError:  # Not the main thread: signals are another's.
            self._previous = None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self.requested = True
