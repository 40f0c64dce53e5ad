import pathlib

import pytest
from small_models import save_run, small_config, small_model
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.export.metadata import load_metadata

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), small_model())


def test_metadata_carries_the_thresholds(run, tmp_path):
    made, _ = export_model(
        run,
        tmp_path / "new" / "model",
        ExportOptions(kind="global"),
        checked=False,
    )
    read = load_metadata(tmp_path / "new" / "model")
    assert read == made
    assert (read.attention_median, read.attention_percentile_75) == (0.25, 0.75)
    assert read.model == small_config().to_dict()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]


def test_a_failed_export_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("delg_tf.export.exporter.save_metadata", fail)
    with pytest.raises(KeyboardInterrupt):
        export_model(run, tmp_path / "model", ExportOptions(kind="global"))
    assert not list(tmp_path.iterdir())


def test_existing_export_is_refused_or_replaced_when_asked(run, tmp_path):
    path = tmp_path / "model"
    export_model(run, path, ExportOptions(kind="global"), checked=False)
    with pytest.raises(InputError, match="exists already"):
        export_model(run, path, ExportOptions(kind="local"), checked=False)
    assert load_metadata(path).kind == "global"
    export_model(
        run, path, ExportOptions(kind="local"), overwrite=True, checked=False
    )
    assert load_metadata(path).kind == "local"
    # A folder of something else is never replaced.
    with pytest.raises(InputError, match="other content"):
        export_model(run, tmp_path, ExportOptions(), overwrite=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "all"}, "`kind`"),
        ({"keypoints": "middle"}, "`keypoints`"),
        ({"iou_threshold": 0.0}, "`iou_threshold`"),
        ({"pooled_scales": (1.0,)}, "kind"),
        ({"kind": "global", "pooled_scales": (1.0, -1.0)}, "positive"),
        ({"kind": "global", "pooled_scales": (float("nan"),)}, "positive"),
    ],
)
def test_bad_options(fields, message):
    with pytest.raises(InputError, match=message):
        ExportOptions(**fields)


def test_tool_exports_by_its_flags(run, tmp_path):
    done = run_tool(
        "tools/export_model.py",
        f"--logdir={run}",
        f"--export_path={tmp_path / 'model'}",
        "--kind=local",
        "--keypoints=official",
        "--block3_strides",
    )
    assert done.returncode == 0, done.stderr
    metadata = load_metadata(tmp_path / "model")
    assert (metadata.kind, metadata.keypoints) == ("local", "official")
    assert metadata.local_stride == 32
    assert "every 32 pixels" in done.stdout
    assert "serve_batch: largest difference" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # Training has not ended: there is no record of the model.
        (["--logdir={folder}", "--export_path={folder}/new"], "model.json"),
        (
            ["--logdir={folder}", "--export_path={folder}/new",
             "--kind=global", "--input_scales_list=1,half"],
            "--input_scales_list",
        ),
    ],
)  # fmt: skip
def test_tool_refuses_bad_input_without_a_traceback(
    tmp_path, arguments, message
):
    done = run_tool(
        "tools/export_model.py", *(a.format(folder=tmp_path) for a in arguments)
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
