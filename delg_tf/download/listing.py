"""The table of data sets, for people."""

from collections.abc import Sequence

from delg_tf.download.selection import find_data_sets
from delg_tf.download.sources import DATA_SETS, GROUPS

# Addresses of a data set that are shown before the rest is counted.
_SHOWN = 12


def list_data_sets(names: Sequence[str] = ()) -> str:
    """Returns names, licences, checksums and addresses as text.

    Args:
        names: of data sets; all if empty.

    Raises:
        InputError: there is no such data set.
    """
    lines = []
    for data_set in find_data_sets(names) if names else DATA_SETS:
        lines += [
            f"{data_set.name}: {data_set.title}",
            f"  page: {data_set.page}",
            f"  licence: {data_set.licence}",
            f"  checksums: {data_set.checksums}",
        ]
        if data_set.by_hand:
            lines.append(f"  by hand: {data_set.by_hand}")
        for file in data_set.files[:_SHOWN]:
            lines.append(f"  {file.url} -> {file.path}")
        if len(data_set.files) > _SHOWN:
            lines.append(f"  ... {len(data_set.files)} files in all")
    if not names:
        for group, members in GROUPS.items():
            lines.append(f"{group}: {', '.join(members)}")
    return "\n".join(lines)
