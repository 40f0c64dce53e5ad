"""SavedModels with the tensors and signatures of the released ones.

One tiny network in three forms: as a TF1-style SavedModel with TF1's
variables and loops, as a TF2 export, and derived slowly in NumPy.
"""

import cv2
import numpy as np
import tensorflow as tf

_CELL = 16  # Side and stride of the network's only spatial convolution.
_HALF = 145  # Half side of an official receptive field.
DEPTH = 6
RAW_DEPTH = 10


def weights(seed=0):
    rng = np.random.default_rng(seed)
    arrays = {
        "kernel": rng.normal(0, 1, (_CELL, _CELL, 3, RAW_DEPTH)) / _CELL,
        # Scores of hundreds, as the released models give.
        "attention": rng.normal(0, 180, (RAW_DEPTH, 1)),
        "reduction": rng.normal(size=(RAW_DEPTH, DEPTH)),
        "embedding": rng.normal(size=(RAW_DEPTH, 8)),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


# The names of the inputs are those of the specifications.
_INPUTS = (
    tf.TensorSpec([None, None, 3], tf.uint8, "input_image"),
    tf.TensorSpec([None], tf.float32, "input_scales"),
    tf.TensorSpec([], tf.int32, "input_max_feature_num"),
    tf.TensorSpec([], tf.float32, "input_abs_thres"),
    tf.TensorSpec([None], tf.int32, "input_global_scales_ind"),
)


def _level(image, scale, threshold, weight, reduced):
    size = tf.round(tf.cast(tf.shape(image)[:2], tf.float32) * scale)
    level = tf.image.resize(image, tf.cast(size, tf.int32))
    block = tf.nn.relu(
        tf.nn.conv2d(level[tf.newaxis], weight["kernel"], _CELL, "VALID")
    )
    vector = tf.reduce_mean(block, [1, 2]) @ weight["embedding"]
    rows, columns = tf.shape(block)[1], tf.shape(block)[2]
    features = tf.reshape(block, [-1, RAW_DEPTH])
    scores = tf.nn.softplus(features @ weight["attention"])[:, 0]
    if reduced:
        features = features @ weight["reduction"]
    grid = tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij")
    cells = tf.reshape(tf.stack(grid, axis=-1), [-1, 2])
    centres = tf.cast(cells * _CELL, tf.float32)
    boxes = tf.concat([centres - _HALF, centres + _HALF], 1) / scale
    kept = tf.where(scores >= threshold)[:, 0]
    scales = tf.fill([tf.shape(kept)[0]], 1 / scale)
    local = (tf.gather(part, kept) for part in (boxes, features, scores))
    return [*local, scales, vector]


def _network(image, scales, number, threshold, indices, weight, reduced):
    image = (tf.cast(image, tf.float32) - 128) / 128
    depth = DEPTH if reduced else RAW_DEPTH
    empty = [[0, 4], [0, depth], [0], [0], [0, 8]]

    def body(step, *parts):
        new = _level(image, scales[step], threshold, weight, reduced)
        pairs = zip(parts, new)
        return (step + 1, *(tf.concat(pair, 0) for pair in pairs))

    _, boxes, features, scores, sizes, vectors = tf.while_loop(
        lambda step, *_: step < tf.shape(scales)[0],
        body,
        (tf.constant(0), *(tf.zeros(shape) for shape in empty)),
        (
            tf.TensorShape([]),
            *(tf.TensorShape([None, *shape[1:]]) for shape in empty),
        ),
    )
    best = tf.image.non_max_suppression(
        boxes, scores, tf.minimum(number, tf.shape(boxes)[0]), 1.0
    )
    return {
        "boxes": tf.gather(boxes, best),
        "features": tf.gather(features, best),
        "scales": tf.gather(sizes, best),
        "scores": tf.gather(scores, best)[:, tf.newaxis],
        "global_descriptors": tf.gather(vectors, indices),
    }


def save_tf1(
    path,
    reduced=True,
    without=(),
    use_resource=False,
    unknown_depth=False,
    signature=False,
):
    """Saves as a TF1 program would.

    Args:
        path: of the SavedModel.
        reduced: local features of `DEPTH`, not `RAW_DEPTH`.
        without: names that no tensor has.
        use_resource: the newer kind of TF1 variable.
        unknown_depth: the graph does not know the features' depth.
        signature: the model has one, too.
    """
    tf.compat.v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            inputs = [
                tf.compat.v1.placeholder(
                    spec.dtype, spec.shape, _name(spec.name, without)
                )
                for spec in _INPUTS
            ]
            weight = {
                name: tf.compat.v1.get_variable(
                    name, initializer=array, use_resource=use_resource
                )
                for name, array in weights().items()
            }
            outputs = _network(*inputs, weight, reduced)
            if unknown_depth:
                outputs["features"] = tf.compat.v1.placeholder_with_default(
                    outputs["features"], [None, None]
                )
            for name, tensor in outputs.items():
                outputs[name] = tf.identity(tensor, _name(name, without))
            signatures = {}
            if signature:
                named = {spec.name: x for spec, x in zip(_INPUTS, inputs)}
                signatures["serving_default"] = (
                    tf.compat.v1.saved_model.predict_signature_def(
                        named, outputs
                    )
                )
            session.run(tf.compat.v1.global_variables_initializer())
            builder = tf.compat.v1.saved_model.Builder(str(path))
            builder.add_meta_graph_and_variables(session, ["serve"], signatures)
            builder.save()
    finally:
        tf.compat.v1.enable_control_flow_v2()
    return path


def _name(name, without):
    return f"not_{name}" if name in without else name


class _Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = {
            name: tf.Variable(array) for name, array in weights().items()
        }

    @tf.function(input_signature=_INPUTS)
    def extract(self, *inputs):
        return _network(*inputs, self.weight, reduced=True)


def save_tf2(path):
    module = _Module()
    signatures = {"serving_default": module.extract}
    tf.saved_model.save(module, str(path), signatures)
    return path


def derive(pixels, scales, threshold, reduced=True):
    """All features at or above a threshold, and raw global descriptors.

    Args:
        pixels: uint8 `[H, W, 3]`, the resized image.
        scales: of the pyramid.
        threshold: least score.
        reduced: as in `save_tf1`.

    Returns:
        Locations, raw descriptors, 1 / scales, scores by falling score, and
        the global descriptors `[S, 8]`, in float64.
    """
    weight = {name: np.float64(array) for name, array in weights().items()}
    image = (pixels.astype(np.float32) - 128) / 128
    features, vectors = [], []
    for scale in np.float32(scales):
        height, width = np.round(np.float32(pixels.shape[:2]) * scale)
        level = cv2.resize(image, (int(width), int(height)))
        rows, columns = (side // _CELL for side in level.shape[:2])
        blocks = []
        for row, column in np.ndindex(rows, columns):
            y, x = _CELL * row, _CELL * column
            cell = np.float64(level[y : y + _CELL, x : x + _CELL])
            block = np.maximum(np.tensordot(cell, weight["kernel"], 3), 0)
            blocks.append(block)
            score = np.logaddexp(0, block @ weight["attention"][:, 0])
            if reduced:
                block = block @ weight["reduction"]
            if score >= threshold:
                features.append((y / scale, x / scale, 1 / scale, score, block))
        vectors.append(np.mean(blocks, axis=0) @ weight["embedding"])
    features.sort(key=lambda feature: -feature[3])
    columns = list(zip(*features))
    locations = np.stack(columns[:2], axis=1)
    return locations, np.array(columns[4]), *columns[2:4], np.array(vectors)
