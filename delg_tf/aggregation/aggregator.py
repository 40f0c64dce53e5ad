"""Local features of an image to its aggregated representation."""

from collections.abc import Sequence

import numpy as np

from delg_tf.aggregation.asmk import binarise, unit_residuals
from delg_tf.aggregation.assignment import nearest_words
from delg_tf.aggregation.codebook import Codebook, check_codebook
from delg_tf.aggregation.config import check_aggregation_config
from delg_tf.aggregation.representation import Aggregated
from delg_tf.aggregation.vlad import SparseVlad, sparse_rvlad, sparse_vlad
from delg_tf.common.errors import InputError
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig


class Aggregator:
    """Aggregates images by one configuration and one codebook.

    Raises:
        InputError: the two do not fit, or a value is out of range.
    """

    def __init__(self, config: AggregationConfig, codebook: Codebook):
        check_aggregation_config(config)
        check_codebook(codebook, config)
        self.config = config
        self.codebook = codebook

    def aggregate(
        self,
        descriptors: np.ndarray,
        regions: Sequence[np.ndarray] | None = None,
    ) -> Aggregated:
        """Aggregates one image.

        Args:
            descriptors: float32 [N, D]; [0, any] for an image without
                features.
            regions: for regional aggregation the rows of `descriptors` that
                lie in each region, the whole image being the first; a row may
                lie in several. None: one region, with all rows.

        Returns:
            The representation of the configuration's type. Of no features:
            VLAD is zeros, ASMK has no words.

        Raises:
            InputError: the descriptors have another length than the words.
        """
        dimension = self.codebook.dimension
        if not len(descriptors):
            descriptors = np.zeros((0, dimension), np.float32)
        if descriptors.shape[1] != dimension:
            raise InputError(
                f"The descriptors have {descriptors.shape[1]} numbers, the "
                f"words of the codebook {dimension}. Learn a codebook from "
                "features of this model."
            )
        vlad = self._vlad(descriptors, regions)
        if self.config.aggregation_type == AggregationConfig.VLAD:
            return Aggregated(vlad.dense(len(self.codebook)), None)
        vlad = unit_residuals(vlad)
        rows = vlad.residuals
        if self.config.aggregation_type == AggregationConfig.ASMK_STAR:
            rows = binarise(rows)
        return Aggregated(rows, vlad.words.astype(np.uint32))

    def _vlad(
        self, descriptors: np.ndarray, regions: Sequence[np.ndarray] | None
    ) -> SparseVlad:
        config, words = self.config, self.codebook.words
        assignment = nearest_words(
            descriptors,
            words,
            config.num_assignments,
            config.feature_batch_size,
        )
        whole = config.aggregation_type == AggregationConfig.VLAD
        l2_normalise = whole and config.use_l2_normalization
        if not config.use_regional_aggregation:
            vlad = sparse_vlad(descriptors, words, assignment)
            return vlad.normalised() if l2_normalise else vlad
        if regions is None:
            regions = [np.arange(len(descriptors))]
        if not regions:
            regions = [np.zeros(0, np.int64)]
        parts = [
            sparse_vlad(descriptors[rows], words, assignment[rows])
            for rows in regions
        ]
        return sparse_rvlad(parts, l2_normalise)
