"""Who may import whom."""

import ast
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "delg_tf").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
# At the end of their life; references for tests at most.
RETIRED = {"tensorflow_addons", "tf_slim", "object_detection"}


def _imported(path):
    """Top-level names of all that a file imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module.split(".")[0])
    return names


def test_data_flows_one_way_through_the_rooms():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; "
            "raise SystemExit(lint_imports(no_cache=True))",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_has_its_place_in_the_rules():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.search(r"^layers = \[(.*?)^\]", text, re.M | re.S)[1]
    rooms = {
        path.stem
        for path in (ROOT / "delg_tf").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(re.findall(r"\w+", layers)) == rooms - {"__init__"}


@pytest.mark.parametrize(
    "path", PACKAGE + TOOLS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_retired_is_imported(path):
    assert not _imported(path) & RETIRED


def test_everything_imported_is_a_declared_requirement():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    required = re.search(r"install_requires=\[(.*?)\]", setup, re.S)[1]
    # Extras of the product itself, which it asks for where they are missing.
    optional = "".join(
        re.search(rf'"{extra}": \[(.*?)\]', setup, re.S)[1]
        for extra in ("beam", "int8", "onnx", "litert", "milvus")
    )
    declared = set(re.findall(r"""["']([\w-]+)[><=]""", required + optional))
    modules = {
        "absl": "absl-py",
        "ai_edge_litert": "ai-edge-litert",
        "ai_edge_quantizer": "ai-edge-quantizer",
        "apache_beam": "apache-beam",
        "cv2": "opencv-python-headless",
        "faiss": "faiss-cpu",
        "google": "protobuf",
        "milvus_lite": "milvus-lite",
        "PIL": "pillow",
        "skimage": "scikit-image",
    }
    used = set().union(*map(_imported, PACKAGE + TOOLS))
    outside = {
        name
        for name in used - {"delg_tf"}
        if name not in sys.stdlib_module_names
    }
    assert {modules.get(name, name) for name in outside} <= declared


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.name)
def test_tools_are_thin(path):
    outside = _imported(path) - set(sys.stdlib_module_names)
    assert outside <= {"absl", "delg_tf"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    ]
    assert "main" in functions
    assert ast.get_docstring(tree)


def test_the_rules_of_this_file_can_fail(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import os\ndef f():\n    import tf_slim.nets\n    from a.b import c\n"
    )
    assert _imported(path) == {"os", "tf_slim", "a"}
    assert importlib.util.find_spec("delg_tf") is not None
