"""The generated messages are those of the .proto files and of the official
package."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from delg_tf.protos import (
    aggregation_config_pb2,
    box_pb2,
    datum_pb2,
    delf_config_pb2,
    feature_pb2,
    study_pb2,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = {
    "aggregation_config": aggregation_config_pb2,
    "box": box_pb2,
    "datum": datum_pb2,
    "delf_config": delf_config_pb2,
    "feature": feature_pb2,
    "study": study_pb2,
}

# The official package's messages: field numbers and defaults. Facts of its
# .proto files at the tree of 2024-01-02.
OFFICIAL = {
    "DelfPcaParameters": {
        1: ("mean_path", ""),
        2: ("projection_matrix_path", ""),
        3: ("pca_dim", 0),
        4: ("use_whitening", False),
        5: ("pca_variances_path", ""),
    },
    "DelfLocalFeatureConfig": {
        1: ("use_pca", True),
        2: ("layer_name", ""),
        3: ("iou_threshold", 1.0),
        4: ("max_feature_num", 1000),
        5: ("score_threshold", 100.0),
        6: ("pca_parameters", None),
        7: ("use_resized_coordinates", False),
    },
    "DelfGlobalFeatureConfig": {
        1: ("use_pca", True),
        2: ("pca_parameters", None),
        3: ("image_scales_ind", []),
    },
    "DelfConfig": {
        1: ("model_path", ""),
        2: ("image_scales", []),
        3: ("delf_local_config", None),
        4: ("max_image_size", -1),
        5: ("min_image_size", -1),
        6: ("use_square_images", False),
        7: ("use_local_features", True),
        8: ("use_global_features", False),
        9: ("delf_global_config", None),
        10: ("is_tf2_exported", False),
    },
    "DelfFeature": {
        1: ("descriptor", None),
        2: ("x", 0.0),
        3: ("y", 0.0),
        4: ("scale", 0.0),
        5: ("orientation", 0.0),
        6: ("strength", 0.0),
    },
    "DelfFeatures": {1: ("feature", [])},
    "DatumShape": {1: ("dim", [])},
    "FloatList": {1: ("value", [])},
    "Uint32List": {1: ("value", [])},
    "DatumProto": {
        1: ("shape", None),
        2: ("float_list", None),
        3: ("uint32_list", None),
    },
    "DatumPairProto": {1: ("first", None), 2: ("second", None)},
    "Box": {
        1: ("ymin", 0.0),
        2: ("xmin", 0.0),
        3: ("ymax", 0.0),
        4: ("xmax", 0.0),
        5: ("score", 0.0),
        6: ("class_index", 0),
    },
    "Boxes": {1: ("box", [])},
    "AggregationConfig": {
        1: ("codebook_size", 65536),
        2: ("feature_dimensionality", 128),
        3: ("aggregation_type", 3),
        4: ("use_l2_normalization", True),
        5: ("codebook_path", ""),
        6: ("num_assignments", 1),
        7: ("use_regional_aggregation", False),
        8: ("alpha", 3.0),
        9: ("tau", 0.0),
        10: ("feature_batch_size", 100),
    },
}


def _generated():
    return {
        name: message
        for module in MODULES.values()
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
    }


def test_official_field_numbers_and_defaults():
    generated = _generated()
    # Files of our own have messages of our own.
    ours = set(study_pb2.DESCRIPTOR.message_types_by_name)
    assert set(generated) - ours == set(OFFICIAL)
    for name, fields in OFFICIAL.items():
        found = {
            field.number: (
                field.name,
                field.default_value,
            )
            for field in generated[name].fields
        }
        ours = set(found) - set(fields)
        assert all(number >= 100 for number in ours), name
        assert {number: found[number] for number in fields} == fields


def test_messages_are_in_a_package_of_their_own():
    # The official one's names in the same process would clash otherwise.
    for module in MODULES.values():
        assert module.DESCRIPTOR.package == "delg_tf.protos"
        assert module.DESCRIPTOR.name.startswith("delg_tf/protos/")


def test_lists_are_packed_as_in_the_official_files():
    # Three float32 in one block: tag 1 with wire type 2, and 12 bytes.
    packed = datum_pb2.FloatList(value=[1, 2, 3]).SerializeToString()
    assert packed[:2] == b"\x0a\x0c"
    assert len(packed) == 14
    # Not packed: a tag a number.
    config = delf_config_pb2.DelfConfig(image_scales=[1.0, 2.0])
    assert config.SerializeToString().count(b"\x15") == 2


def test_an_official_configuration_parses():
    config = text_format.Parse(
        """
        model_path: "parameters/r50delg_gldv2clean_20200914"
        image_scales: .25
        image_scales: 1.0
        is_tf2_exported: true
        use_local_features: true
        use_global_features: true
        max_image_size: 1024
        delf_local_config {
          use_pca: false
          max_feature_num: 1000
          score_threshold: 454.6
        }
        delf_global_config {
          use_pca: false
          image_scales_ind: 1
        }
        """,
        delf_config_pb2.DelfConfig(),
    )
    assert list(config.delf_global_config.image_scales_ind) == [1]
    assert config.delf_local_config.score_threshold == pytest.approx(454.6)


# A reader of the part of the proto2 language that the files use.

_FIELD = re.compile(
    r"(optional|repeated)\s+([\w.]+)\s+(\w+)\s*=\s*(\d+)\s*(?:\[(.*?)\])?\s*;",
    re.DOTALL,
)
_ONEOF_FIELD = re.compile(r"^()\s*([\w.]+)\s+(\w+)\s*=\s*(\d+)()\s*;", re.M)
_TYPES = {
    "bool": FieldDescriptor.TYPE_BOOL,
    "float": FieldDescriptor.TYPE_FLOAT,
    "int32": FieldDescriptor.TYPE_INT32,
    "int64": FieldDescriptor.TYPE_INT64,
    "uint32": FieldDescriptor.TYPE_UINT32,
    "string": FieldDescriptor.TYPE_STRING,
}


def _blocks(text, keyword):
    """Name, content and place of each `keyword name { ... }`."""
    for match in re.finditer(rf"\b{keyword}\s+(\w+)\s*{{", text):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield match[1], text[match.end() : end - 1], slice(match.start(), end)


def _without(text, places):
    for place in sorted(places, key=lambda place: -place.start):
        text = text[: place.start] + text[place.stop :]
    return text


def _read(path):
    """Messages of a .proto file: (fields, enums) by name."""
    text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
    assert 'syntax = "proto2";' in text
    messages = {}
    for name, content, _ in _blocks(text, "message"):
        enums = list(_blocks(content, "enum"))
        oneofs = list(_blocks(content, "oneof"))
        plain = _without(content, [place for _, _, place in enums + oneofs])
        fields = [(*match, None) for match in _FIELD.findall(plain)]
        for oneof, inside, _ in oneofs:
            fields += [(*m, oneof) for m in _ONEOF_FIELD.findall(inside)]
        assert plain.count("=") == sum(
            1 + options.count("=") for *_, options, oneof in fields if not oneof
        ), f"{path.name}: the test's reader does not understand {name}"
        values = {
            enum: {
                k: int(v) for k, v in re.findall(r"(\w+)\s*=\s*(\d+);", body)
            }
            for enum, body, _ in enums
        }
        messages[name] = (fields, values)
    return messages


def _check_field(found, read, enums):
    label, kind, _, number, options, oneof = read
    options = dict(
        re.split(r"\s*=\s*", option.strip())
        for option in options.split(",")
        if option.strip()
    )
    assert found.number == int(number)
    assert (found.is_repeated) == (label == "repeated")
    assert (found.containing_oneof.name if oneof else None) == oneof
    if kind in _TYPES:
        assert found.type == _TYPES[kind]
    elif kind in enums:
        assert found.enum_type.name == kind
    else:
        assert found.message_type.name == kind
    assert found.GetOptions().packed == (options.get("packed") == "true")
    default = options.get("default")
    assert found.has_default_value == (default is not None)
    if default is None:
        return
    if kind in enums:
        assert found.default_value == enums[kind][default]
    elif kind == "bool":
        assert found.default_value == (default == "true")
    elif kind == "string":
        assert found.default_value == default.strip('"')
    else:
        assert found.default_value == float(default)


def test_every_proto_file_has_a_module():
    files = {path.stem for path in (ROOT / "protos").glob("*.proto")}
    modules = {
        path.stem.removesuffix("_pb2")
        for path in (ROOT / "delg_tf" / "protos").glob("*_pb2.py")
    }
    assert files == modules == set(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_generated_code_says_what_the_proto_file_says(name):
    messages = _read(ROOT / "protos" / f"{name}.proto")
    generated = MODULES[name].DESCRIPTOR.message_types_by_name
    assert list(generated) == list(messages)
    for message, (fields, enums) in messages.items():
        descriptor = generated[message]
        found = {field.name: field for field in descriptor.fields}
        assert set(found) == {field[2] for field in fields}, message
        for field in fields:
            _check_field(found[field[2]], field, enums)
        assert {
            enum.name: {value.name: value.number for value in enum.values}
            for enum in descriptor.enum_types
        } == enums


@pytest.mark.slow
def test_generated_code_is_what_the_generator_makes(tmp_path):
    environment = {
        **os.environ,
        "PROTO_VENV": str(tmp_path / "venv"),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        ["bash", ROOT / "tools" / "generate_protos.sh", tmp_path / "out"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode and "grpcio-tools" in done.stderr:
        pytest.skip(f"grpcio-tools cannot be installed: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    for name in MODULES:
        path = pathlib.Path("delg_tf") / "protos" / f"{name}_pb2.py"
        made = (tmp_path / "out" / path).read_text()
        assert made == (ROOT / path).read_text(), f"run {path}'s generator"
