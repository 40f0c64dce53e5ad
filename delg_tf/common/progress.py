"""Progress with rate and time left, on a terminal and in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm
from absl import logging

T = TypeVar("T")

# Without a terminal one line at most every so many seconds.
LOG_INTERVAL_SECONDS = 10.0


class Progress:
    """A progress bar; plain log lines where there is no terminal.

    Example:
        with Progress(len(paths), "Extraction", "image") as progress:
            for path in paths:
                progress.advance(note=path.name)
    """

    def __init__(
        self, total: int, title: str, unit: str = "item", done: int = 0
    ):
        """Starts the display.

        Args:
            total: number of units in all.
            title: name of the stage, shown first.
            unit: what is counted, singular.
            done: units that an earlier run has finished; they do not count
                for the rate.
        """
        self._total = total
        self._title = title
        self._unit = unit
        self._first = self._done = done
        self._start = time.monotonic()
        self._last_line = self._start
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=total,
                initial=done,
                desc=title,
                unit=unit,
                dynamic_ncols=True,
                smoothing=0.05,
            )

    def advance(self, count: int = 1, note: str = "") -> None:
        """Counts `count` more units as done; `note` is shown behind."""
        self._done += count
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= LOG_INTERVAL_SECONDS:
            self._last_line = time.monotonic()
            self._log(note)

    def _log(self, note: str) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self._done - self._first) / seconds
        left = (self._total - self._done) / rate if rate > 0 else float("nan")
        logging.info(
            "%s: %d/%d, %.1f %s/s, %.0f s left%s",
            self._title,
            self._done,
            self._total,
            rate,
            self._unit,
            left,
            f" ({note})" if note else "",
        )

    @property
    def rate(self) -> float:
        """Units a second since the start of this run."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        return (self._done - self._first) / seconds

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif exception[0] is None:
            logging.info(
                "%s: %d %s in %.1f s (%.1f %s/s)",
                self._title,
                self._done,
                _plural(self._unit),
                time.monotonic() - self._start,
                self.rate,
                self._unit,
            )


def _plural(unit: str) -> str:
    if unit.isupper():
        return unit  # MB
    return unit[:-1] + "ies" if unit.endswith("y") else unit + "s"


def track(
    items: Iterable[T],
    title: str,
    unit: str = "item",
    total: int | None = None,
) -> Iterator[T]:
    """Yields the items, counting each as done when the next is asked for."""
    total = len(items) if total is None else total
    with Progress(total, title, unit) as progress:
        for item in items:
            yield item
            progress.advance()
