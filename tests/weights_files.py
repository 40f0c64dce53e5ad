"""Random ResNets in torchvision's layout, and files of them."""

import json

import numpy as np
import tensorflow as tf


def torchvision_state(depths=(1, 1, 2, 1), width=16, seed=0):
    """A state dictionary: float32 arrays by torchvision's names."""
    random = np.random.default_rng(seed)
    state = {}

    def conv(name, inputs, outputs, kernel):
        shape = (outputs, inputs, kernel, kernel)
        deviation = np.sqrt(2 / (inputs * kernel * kernel))
        state[f"{name}.weight"] = random.normal(0, deviation, shape)

    def norm(name, size):
        state[f"{name}.weight"] = random.uniform(0.5, 1.5, size)
        state[f"{name}.bias"] = random.normal(0, 0.3, size)
        state[f"{name}.running_mean"] = random.normal(0, 0.3, size)
        state[f"{name}.running_var"] = random.uniform(0.5, 1.5, size)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv1", 3, width, 7)
    norm("bn1", width)
    inputs = width
    for stage, depth in enumerate(depths):
        inner = width * 2**stage
        for unit in range(depth):
            name = f"layer{stage + 1}.{unit}"
            sizes = [
                (inputs, inner, 1),
                (inner, inner, 3),
                (inner, 4 * inner, 1),
            ]
            for index, size in enumerate(sizes, start=1):
                conv(f"{name}.conv{index}", *size)
                norm(f"{name}.bn{index}", size[1])
            if unit == 0:
                conv(f"{name}.downsample.0", inputs, 4 * inner, 1)
                norm(f"{name}.downsample.1", 4 * inner)
            inputs = 4 * inner
    state["fc.weight"] = random.normal(size=(10, inputs))
    state["fc.bias"] = random.normal(size=10)
    return {
        name: array.astype(np.int64 if array.ndim == 0 else np.float32)
        for name, array in state.items()
    }


def torchvision_forward(state, images):
    """The network written out again, for uint8 RGB images.

    Returns:
        Outputs of the four stages.
    """

    def conv(x, name, stride=1, pad=0):
        kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
        padding = [[0, 0], [pad, pad], [pad, pad], [0, 0]]
        return tf.nn.conv2d(x, kernel, stride, padding)

    def norm(x, name):
        scale = state[f"{name}.weight"] / np.sqrt(
            state[f"{name}.running_var"] + 1e-5
        )
        return (x - state[f"{name}.running_mean"]) * scale + state[
            f"{name}.bias"
        ]

    # torchvision.transforms: ToTensor, then Normalize.
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = (np.float32(images) / 255 - np.float32(mean)) / np.float32(deviation)
    x = tf.nn.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    # Max pooling pads with minus infinity; after a ReLU zeros do the same.
    x = tf.nn.max_pool2d(
        tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID"
    )
    stages = []
    for stage in range(1, 5):
        unit = 0
        while f"layer{stage}.{unit}.conv1.weight" in state:
            name = f"layer{stage}.{unit}"
            stride = 2 if stage > 1 and unit == 0 else 1
            y = tf.nn.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
            y = conv(y, f"{name}.conv2", stride, 1)
            y = tf.nn.relu(norm(y, f"{name}.bn2"))
            y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
            if unit == 0:
                x = conv(x, f"{name}.downsample.0", stride)
                x = norm(x, f"{name}.downsample.1")
            x = tf.nn.relu(x + y)
            unit += 1
        stages.append(x.numpy())
    return stages


def write_safetensors(path, state):
    """By the format's description: length, JSON, bytes."""
    names = {"float32": "F32", "int64": "I64", "uint16": "BF16"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in state.items():
        content = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": names[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def pictures(height, width, batch=1, seed=0):
    """uint8 RGB noise with some structure: coarse blocks."""
    random = np.random.default_rng(seed)
    coarse = random.integers(
        0, 256, (batch, height // 8 + 1, width // 8 + 1, 3)
    )
    fine = random.integers(-20, 21, (batch, height, width, 3))
    image = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width] + fine
    return np.clip(image, 0, 255).astype(np.uint8)


def relative_error(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


def network_for(source, **changes):
    """A network as the weights need it, with random variables."""
    from delg_tf.models.config import DelgConfig
    from delg_tf.models.delg import Delg

    fields = {
        "num_classes": 5,
        "embedding_dim": 16,
        "attention_dim": 8,
        "autoencoder_dim": 4,
    }
    model = Delg(DelgConfig(**(fields | source.config_fields() | changes)))
    model.build_variables()
    return model


def blocks(model, images):
    """block3 and block4 of uint8 images."""
    outputs = model.trunk((np.float32(images) - 128) / 128)
    return outputs["block3"], model.conv5(outputs["conv5_input"])
