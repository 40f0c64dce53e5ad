"""What a whole evaluation is run with."""

import dataclasses
import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.protocols.catalogue import DISTRACTORS
from delg_tf.protocols.extraction_settings import ExtractionSettings
from delg_tf.retrieval.ranking.config import RankingConfig
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.streaming.memory import DEFAULT_MEMORY_MIB

FEATURES_FOLDER = "features"


@dataclasses.dataclass(frozen=True)
class RetrievalOptions:
    """What a whole evaluation is run with.

    Attributes:
        dataset: name or folder; see `catalogue.open_data_set`.
        output_dir: folder of the results.
        extraction: model and settings.
        data_dir: folder of the data sets; may be None for a folder of one's
            own.
        features_dir: of the features that are kept; None: "features" in the
            data folder, or else in the output folder.
        crop_queries: whether queries are cropped to their boxes, as the
            protocols demand.
        reranking: settings of geometric re-ranking; None: none.
        drop_junk: see `evaluation.pipeline.evaluate_features`.
        ranking: methods around the global search.
        cutoffs: the k of precision and recall.
        all_queries: of GLDv2, search for those that are not measured, too.
        allow_missing: of GLDv2, leave out images that are not there.
        skip_damaged: index images that cannot be read count as never found;
            else they end the run.
        memory_mib: bound on the memory for descriptors while searching.
        overwrite: whether other results in the output folder are replaced.
    """

    dataset: str
    output_dir: PathLike
    extraction: ExtractionSettings
    data_dir: PathLike | None = None
    features_dir: PathLike | None = None
    crop_queries: bool = True
    reranking: RerankConfig | None = None
    drop_junk: bool = False
    ranking: RankingConfig = dataclasses.field(default_factory=RankingConfig)
    cutoffs: tuple[int, ...] = (1, 5, 10)
    all_queries: bool = False
    allow_missing: bool = False
    skip_damaged: bool = False
    memory_mib: int = DEFAULT_MEMORY_MIB
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.drop_junk and self.reranking is None:
            raise InputError("--drop_junk needs --rerank.")
        config = self.extraction.config
        if not config.use_global_features:
            raise InputError(
                "The extraction has no global features, by which images are "
                "searched: set `use_global_features`."
            )
        if self.reranking is not None and not config.use_local_features:
            raise InputError(
                "--rerank needs local features: set `use_local_features` in "
                "the extraction."
            )
        if self.reranking is not None and self.reranking.num_processes:
            raise InputError(
                "--num_processes is for features in one folder or store; "
                "those of --dataset lie in several. Leave it at 0."
            )

    @property
    def output(self) -> pathlib.Path:
        """The folder of the results."""
        return pathlib.Path(self.output_dir)

    @property
    def cache(self) -> pathlib.Path:
        """The folder of the features that are kept."""
        if self.features_dir is not None:
            return pathlib.Path(self.features_dir)
        return pathlib.Path(self.data_dir or self.output) / FEATURES_FOLDER

    @property
    def has_distractors(self) -> bool:
        """Whether the million distractors are searched, too."""
        return self.dataset.endswith(DISTRACTORS)
