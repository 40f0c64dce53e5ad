"""What a report does not show because it is gone, in words."""

from collections.abc import Mapping

from absl import logging

# Files named on the page.
_NAMED = 3


def missing_notes(
    photographs: Mapping[str, str],
    features: Mapping[str, str] | None = None,
) -> list[str]:
    """Returns remarks for the page, and logs them.

    Args:
        photographs: path and what is wrong with it.
        features: whose local features are gone, and why.
    """
    notes = []
    for what, found in (
        ("Photographs", photographs),
        ("Local features", features or {}),
    ):
        if not found:
            continue
        named = [
            f"{path} ({why})" for path, why in list(found.items())[:_NAMED]
        ]
        if len(found) > _NAMED:
            named.append(f"and {len(found) - _NAMED:,} more")
        notes.append(
            f"{what} that this page would show are missing: {'; '.join(named)}."
        )
        logging.warning("%s", notes[-1])
    return notes
