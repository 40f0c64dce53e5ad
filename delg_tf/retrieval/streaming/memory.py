"""How many descriptors are looked at together, for the memory allowed."""

from delg_tf.common.errors import InputError

DEFAULT_MEMORY_MIB = 512
_MIB = 1 << 20


def bytes_a_row(queries: int, dimension: int) -> int:
    """Returns what a streamed row needs while it is compared.

    For each of the D numbers: 4 bytes of the block at hand, 8 of it in
    float64, 4 of the next block, which is read meanwhile, 8 while that is
    decoded and put together, and 4 of the mapped file that it comes from. For
    each of the Q queries: a score in float64 (8), its bounds one after the
    other (8), these rounded (4 + 4), whether they differ (1), scores of the
    block before (4) and sorted ones (4), with some room: 36.

    Not in this: what is there anyway, that is Q queries in float32 and
    float64, the lists of the best, places of labelled images, and names of
    all images (some 250 bytes each, with the tables that find them).
    """
    return 28 * dimension + 36 * queries


def rows_a_block(memory_mib: float, queries: int, dimension: int) -> int:
    """Returns the number of rows of a block.

    Raises:
        InputError: the memory is not enough for a row.
    """
    rows = int(memory_mib * _MIB // bytes_a_row(queries, dimension))
    if rows < 1:
        least = -(-bytes_a_row(queries, dimension) // _MIB)
        raise InputError(
            f"{queries} queries of {dimension} numbers need at least {least} "
            f"MiB, but {memory_mib} are allowed."
        )
    return rows
