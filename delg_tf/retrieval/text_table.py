"""Tables that read well in a terminal and as Markdown."""

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns aligned Markdown; columns of numbers are flush right.

    Args:
        header: C titles.
        rows: lines of C cells each.
    """
    widths = [
        max(3, *(len(line[column]) for line in [header, *rows]))
        for column in range(len(header))
    ]
    right = [
        bool(rows) and all(_is_number(row[column]) for row in rows)
        for column in range(len(header))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(cells, widths, right)
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if flush else "-" * width
        for width, flush in zip(widths, right)
    ]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(".", "", 1).lstrip("-").isdigit()
