"""A page: one HTML file that opens anywhere, without a network."""

import base64
import dataclasses
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from delg_tf.common.files import PathLike, atomic_write

_NONE = "'none'"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        uri: its content as a data URI.
        alt: what it shows, for those who do not see it.
        caption: text below it.
        mark: of a ranked image ("right", "wrong"), or "".
    """

    uri: str
    alt: str
    caption: str
    mark: str = ""


def write_page(
    path: PathLike,
    template: str,
    content: Mapping[str, Any],
    scripts: Sequence[str] = (),
) -> None:
    """Writes a page; replaces an older one.

    The page's content security policy forbids browsers to load anything: what
    is not in the file is not shown, and only the scripts given here run.

    Args:
        path: the file to write.
        template: its file in `report/templates`.
        content: what the template shows; text is escaped.
        scripts: files in `report/templates` to put into the page.
    """
    folder = importlib.resources.files("delg_tf.report") / "templates"
    sources = [(folder / name).read_text(encoding="utf-8") for name in scripts]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("delg_tf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(
        content,
        scripts=[markupsafe.Markup(source) for source in sources],
        policy=_policy(sources),
    )
    with atomic_write(path, "w") as file:
        file.write(page)


def _policy(scripts: Sequence[str]) -> str:
    """Returns a content security policy that allows just these scripts."""
    allowed = [
        "'sha256-"
        + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        + "'"
        for source in scripts
    ]
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {' '.join(allowed or [_NONE])}; "
        "base-uri 'none'; form-action 'none'"
    )
