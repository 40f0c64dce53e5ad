"""HTML pages as trees, and what holds for every page that needs no network."""

import base64
import hashlib
import html.parser
import re


class Node:
    """An element with its text."""

    def __init__(self, tag, attributes):
        self.tag, self.attributes = tag, dict(attributes)
        self.children, self.pieces = [], []

    def all(self, tag, style=None):
        """Elements of a tag, and of a class, in the order of the page."""
        found = [node for child in self.children for node in child.all(tag)]
        if self.tag == tag:
            found.insert(0, self)
        return [
            node
            for node in found
            if style is None
            or style in node.attributes.get("class", "").split()
        ]

    def every(self):
        """This element and all in it."""
        return [self] + [n for child in self.children for n in child.every()]

    @property
    def text(self):
        """The text in it, with single blanks."""
        inner = " ".join(
            piece if isinstance(piece, str) else piece.text
            for piece in self.pieces
        )
        return " ".join(inner.split())


class _Parser(html.parser.HTMLParser):
    """Builds a tree, and fails on tags that do not fit together."""

    VOID = {"meta", "link", "img", "br", "input"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = Node("root", [])
        self.stack = [self.root]
        self.feed(text)
        assert self.stack == [self.root]

    def handle_starttag(self, tag, attrs, closed=False):
        node = Node(tag, attrs)
        self.stack[-1].children.append(node)
        self.stack[-1].pieces.append(node)
        if tag not in self.VOID and not closed:
            self.stack.append(node)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs, closed=True)

    def handle_endtag(self, tag):
        assert self.stack.pop().tag == tag

    def handle_data(self, data):
        self.stack[-1].pieces.append(data)


def parse(text):
    """The root of a page's tree."""
    return _Parser(text).root


def assert_alone(text):
    """Fails if a page needs, or may load, anything beside itself."""
    nodes = parse(text).every()
    ids = [n.attributes["id"] for n in nodes if "id" in n.attributes]
    assert len(ids) == len(set(ids))
    policies = [
        node.attributes["content"]
        for node in nodes
        if node.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    # Whatever a browser meets, it may load nothing.
    assert len(policies) == 1
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert set(rules) <= {
        "default-src", "img-src", "style-src", "script-src", "base-uri",
        "form-action",
    }  # fmt: skip
    assert rules["style-src"] == "'unsafe-inline'"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = [f"'sha256-{base64.b64encode(h).decode()}'" for h in hashes]
    assert rules["script-src"] == (" ".join(allowed) or "'none'")
    for node in nodes:
        assert node.tag not in ("iframe", "object", "base", "embed")
        assert node.tag != "script" or not node.attributes
        for key in ("src", "href", "srcset", "poster", "action"):
            link = node.attributes.get(key, "data:")
            assert link.startswith("data:") or link[1:] in ids, link
        if node.tag == "img":
            assert node.attributes["alt"]
        if node.tag == "svg" or node.attributes.get("role") == "img":
            assert node.attributes["aria-label"]
    # Neither style sheets nor SVG point outside; namespaces are left out.
    without_pictures = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", text)
    assert "xlink" not in without_pictures
    assert "://" not in without_pictures and "@import" not in text
    for target in re.findall(r"url\(([^)]*)\)", without_pictures):
        assert target.startswith("#") and target[1:] in ids
    # Every stand-in for a colour has become a variable.
    assert "#0101" not in without_pictures
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= set(
        re.findall(r"(--[\w-]+):", text)
    )
