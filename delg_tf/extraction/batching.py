"""Items of a stream put together by what they have in common."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batches(
    items: Iterable[Item],
    key: Callable[[Item], Hashable],
    size: Callable[[Hashable], int],
    waiting: int,
) -> Iterator[list[Item]]:
    """Groups items of equal keys, wherever they stand in the stream.

    A group leaves when it is full. When too many items wait, the group whose
    first item has waited longest leaves as it is, so that no item stays
    behind.

    Args:
        items: the stream.
        key: what the items of a group have in common.
        size: items of a full group of a key; at least 1.
        waiting: items that may wait for others.

    Yields:
        Groups of 1 to `size(key)` items, in the stream's order within a group.
    """
    groups: dict[Hashable, list[Item]] = {}
    count = 0
    for item in items:
        kind = key(item)
        group = groups.setdefault(kind, [])
        group.append(item)
        count += 1
        if len(group) >= size(kind):
            count -= len(group)
            yield groups.pop(kind)
        elif count > waiting:
            # Dicts keep the order in which groups began.
            oldest = groups.pop(next(iter(groups)))
            count -= len(oldest)
            yield oldest
    yield from groups.values()
