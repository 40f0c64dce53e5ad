"""Command-line flags of the methods that rank, shared by the tools."""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.retrieval.ranking.config import (
    DatabaseAugmentation,
    Diffusion,
    KReciprocal,
    QueryExpansion,
    RankingConfig,
)

FLAGS = flags.FLAGS

_AVERAGE, _ALPHA = "average", "alpha"


def define_ranking_flags() -> None:
    """Defines the flags that `ranking_config` reads."""
    _define_expansion_flags()
    _define_neighbourhood_flags()


def _define_expansion_flags() -> None:
    flags.DEFINE_enum(
        "query_expansion",
        "none",
        ("none", _AVERAGE, _ALPHA),
        "Search again with the mean of each query and its first images, plain "
        "or weighted by similarity^alpha.",
    )
    flags.DEFINE_integer(
        "query_expansion_images",
        QueryExpansion.images,
        "Images that join each query.",
    )
    flags.DEFINE_float(
        "query_expansion_alpha",
        3.0,
        "Exponent of the weights, for --query_expansion=alpha.",
    )
    flags.DEFINE_integer(
        "query_expansion_min_inliers",
        0,
        "Only images with so many inliers join a query: geometric re-ranking "
        "is then done before the expansion too. 0: inliers do not matter.",
    )
    flags.DEFINE_integer(
        "database_augmentation",
        0,
        "Replace each index image's descriptor by the mean of itself and so "
        "many nearest neighbours; 0: do not. It is done at each start, and "
        "holds all descriptors in memory.",
    )
    flags.DEFINE_float(
        "database_augmentation_alpha",
        DatabaseAugmentation.alpha,
        "Weights of the neighbours are similarity^alpha; 0: the plain mean.",
    )


def _define_neighbourhood_flags() -> None:
    flags.DEFINE_bool(
        "diffusion",
        False,
        "Order the top of each list by diffusion over its graph of mutual "
        "nearest neighbours.",
    )
    flags.DEFINE_integer(
        "diffusion_neighbours",
        Diffusion.neighbours,
        "Nearest neighbours of each image in the graph.",
    )
    flags.DEFINE_integer(
        "diffusion_query_neighbours",
        Diffusion.query_neighbours,
        "Images that diffusion starts from.",
    )
    flags.DEFINE_float(
        "diffusion_damping",
        Diffusion.damping,
        "Share that flows on at each step, from 0 and below 1.",
    )
    flags.DEFINE_float(
        "diffusion_power",
        Diffusion.power,
        "Exponent of the similarities in the graph.",
    )
    flags.DEFINE_bool(
        "k_reciprocal",
        False,
        "Order the top of each list by k-reciprocal encoding.",
    )
    flags.DEFINE_integer(
        "k_reciprocal_k1",
        KReciprocal.k1,
        "Neighbours that may be reciprocal.",
    )
    flags.DEFINE_integer(
        "k_reciprocal_k2",
        KReciprocal.k2,
        "Neighbours whose encodings are averaged.",
    )
    flags.DEFINE_float(
        "k_reciprocal_lambda",
        KReciprocal.weight,
        "Share of the original distance in the final one, from 0 to 1.",
    )
    flags.DEFINE_integer(
        "neighbourhood_depth",
        Diffusion.depth,
        "Images at the top of each list that --diffusion and --k_reciprocal "
        "order; the others follow as they are.",
    )


def ranking_config() -> RankingConfig:
    """Returns what the flags say.

    Raises:
        InputError: a flag is out of range, or flags contradict each other.
    """
    expansion = None
    if FLAGS.query_expansion != "none":
        is_alpha = FLAGS.query_expansion == _ALPHA
        expansion = QueryExpansion(
            FLAGS.query_expansion_images,
            FLAGS.query_expansion_alpha if is_alpha else 0.0,
            FLAGS.query_expansion_min_inliers,
        )
    elif FLAGS.query_expansion_min_inliers:
        raise InputError(
            "--query_expansion_min_inliers needs --query_expansion=average or "
            "alpha."
        )
    augmentation = None
    if FLAGS.database_augmentation:
        augmentation = DatabaseAugmentation(
            FLAGS.database_augmentation, FLAGS.database_augmentation_alpha
        )
    return RankingConfig(
        expansion,
        augmentation,
        _diffusion() if FLAGS.diffusion else None,
        _k_reciprocal() if FLAGS.k_reciprocal else None,
    )


def _diffusion() -> Diffusion:
    return Diffusion(
        neighbours=FLAGS.diffusion_neighbours,
        query_neighbours=FLAGS.diffusion_query_neighbours,
        damping=FLAGS.diffusion_damping,
        power=FLAGS.diffusion_power,
        depth=FLAGS.neighbourhood_depth,
    )


def _k_reciprocal() -> KReciprocal:
    return KReciprocal(
        k1=FLAGS.k_reciprocal_k1,
        k2=FLAGS.k_reciprocal_k2,
        weight=FLAGS.k_reciprocal_lambda,
        depth=FLAGS.neighbourhood_depth,
    )
