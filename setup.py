"""Package metadata of delg-tf."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "delg_tf" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)

setuptools.setup(
    name="delg-tf",
    version=VERSION,
    description=(
        "DELG image retrieval in TensorFlow 2: training, extraction, search, "
        "geometric re-ranking and evaluation."
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=setuptools.find_packages(include=["delg_tf", "delg_tf.*"]),
    package_data={
        "delg_tf.evaluation": ["published.csv"],
        "delg_tf.report": ["templates/*"],
    },
    python_requires=">=3.10,<3.14",
    # The role of each one is stated in WORKSPACE.md.
    install_requires=[
        "absl-py>=2.1",
        "faiss-cpu>=1.9",
        "filelock>=3.13",
        "h5py>=3.11",
        "jinja2>=3.1",
        "markupsafe>=2.1",
        "matplotlib>=3.8",
        "ml_dtypes>=0.5",
        "numba>=0.61",
        "numpy>=2.0,<3",
        "opencv-python-headless>=4.10",
        "openvino>=2025.0",
        "pillow>=10.3",
        "psutil>=5.9",
        "protobuf>=6.31.1,<8",
        "pyarrow>=18",
        "requests>=2.32",
        "scikit-image>=0.24",
        "scipy>=1.13",
        "tensorboard>=2.19",
        "tensorflow>=2.21,<2.22",
        "tf_keras>=2.21,<2.22",
        "threadpoolctl>=3.2",
        "tqdm>=4.66",
        "urllib3>=2.2",
    ],
    extras_require={
        # TFRecords and extraction on clusters (--runner).
        "beam": ["apache-beam>=2.70"],
        # Photographs of the demonstration data set.
        "demo": ["scikit-learn>=1.5"],
        # CUDA libraries for NVIDIA GPUs, as pip packages.
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        # int8 copies of exports (tools/quantise_model.py).
        "int8": ["nncf>=2.17"],
        # ONNX copies of exports and --runtime=onnxruntime.
        "onnx": ["onnx>=1.18", "onnxruntime>=1.20", "tf2onnx>=1.17"],
        # An index on Milvus: a file of Milvus Lite, or a server.
        "milvus": [
            "pymilvus>=2.6",
            'milvus-lite>=3.0; sys_platform != "win32"',
        ],
        # LiteRT (TensorFlow Lite) files of exports, float16 and int8.
        "litert": ["ai-edge-litert>=2.0", "ai-edge-quantizer>=0.10"],
        # Independent references that tests may compare with; never imported
        # by the product (see WORKSPACE.md).
        "reference": [
            'tensorflow-addons==0.23.0; python_version < "3.12"',
            "tf-slim==1.1.0",
        ],
        "test": [
            "ai-edge-litert>=2.0",
            "ai-edge-quantizer>=0.10",
            "apache-beam>=2.70",
            "import-linter>=2.0",
            'milvus-lite>=3.0; sys_platform != "win32"',
            "nncf>=2.17",
            "onnx>=1.18",
            "onnxruntime>=1.20",
            "pymilvus>=2.6",
            "pytest>=8.0",
            "pytest-xdist>=3.7",
            "ruff>=0.9",
            "scikit-learn>=1.5",
            "tf2onnx>=1.17",
        ],
    },
)
