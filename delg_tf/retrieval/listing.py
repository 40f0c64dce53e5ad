"""Names in, ranked lists out, as text."""

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.text_table import markdown_table


def read_names(path: PathLike) -> list[str]:
    """Reads a list of image names, one a line; empty lines are skipped.

    Raises:
        InputError: the file is missing, empty or no text.
    """
    path = existing_file(path, "list of names")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputError(f"{path} lists no names.")
    return names


def ranked_table(results: SearchResults, top: int = 10) -> str:
    """Returns the first images of each list as a Markdown table.

    Args:
        results: the lists.
        top: number of images for each query.
    """
    header = ["query", "rank", "image", "similarity"]
    rows = [
        [row.query, str(row.rank), row.image, f"{row.similarity:.4f}"]
        for row in results.to_rows(top)
    ]
    if results.scores is not None:
        header.append("score")
        for cells, row in zip(rows, results.to_rows(top)):
            cells.append(f"{row.score:.4f}")
    if results.inliers is not None:
        header.append("inliers")
        for cells, row in zip(rows, results.to_rows(top)):
            cells.append(str(row.inliers))
    return markdown_table(header, rows)
