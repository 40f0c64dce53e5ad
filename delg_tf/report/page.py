"""A page: one HTML file that opens anywhere, without a network."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jinja2

from delg_tf.common.files import PathLike, atomic_write


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
    path: PathLike, template: str, content: Mapping[str, Any]
) -> None:
    """Writes a page; replaces an older one.

    Args:
        path: the file to write.
        template: its file in `report/templates`.
        content: what the template shows; text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("delg_tf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(content)
    with atomic_write(path, "w") as file:
        file.write(page)
