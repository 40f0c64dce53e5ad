"""The stages of one training run of a study, from its flags to its scores."""

import dataclasses
import pathlib

from google.protobuf import text_format

from delg_tf.common.files import atomic_write
from delg_tf.extraction.config import load_config
from delg_tf.protos import study_pb2
from delg_tf.study import definition
from delg_tf.study.data import StudyData
from delg_tf.workflow import commands
from delg_tf.workflow.stages import Stage

Measures = study_pb2.Study
# Every stage, nothing learnt.
_QUICK = ("--max_iters=4", "--batch_size=8", "--eval_batches=1")


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """One run: a variant with a seed.

    Attributes:
        experiment: folder of the study.
        variant: what is trained.
        measures: of `Study.Measure`.
        data: what it is trained on and measured by.
        output: folder of the run.
        seed: of weights, input order and RANSAC.
        demo: demonstration size.
        quick: hardly any training.
        init_from: trained network that it starts from, or None.
    """

    experiment: pathlib.Path
    variant: study_pb2.Variant
    measures: tuple[int, ...]
    data: StudyData
    output: pathlib.Path
    seed: int
    demo: bool = False
    quick: bool = False
    init_from: pathlib.Path | None = None

    @property
    def logdir(self) -> pathlib.Path:
        """Folder of the training."""
        return self.output / "training"

    @property
    def flagfiles(self) -> list[pathlib.Path]:
        """Flags of the training, in their order."""
        files = [definition.flagfile(self.experiment, self.variant)]
        if self.demo:
            files.append(self.experiment / definition.DEMO_FLAGS)
        return files

    def stages(self) -> list[Stage]:
        """All stages, in order."""
        stages = [self._training()]
        if self.variant.is_start_only or self.measures == (Measures.SPARSITY,):
            return stages
        stages.append(self._export())
        if self.variant.local_pca:
            stages.append(self._pca())
        stages.append(self._extraction())
        if self._retrieval:
            stages.append(self._search())
        if Measures.PAIR_AP in self.measures:
            stages.append(self._pairs())
        return stages

    def write_extraction_config(self) -> None:
        """Writes the configuration that reduces by the learnt PCA."""
        if not self.variant.local_pca:
            return
        config = load_config(self._plain_config, str(self._model))
        local = config.delf_local_config
        local.use_pca = True
        local.pca_parameters.mean_path = str(self._pca_dir / "mean.datum")
        local.pca_parameters.projection_matrix_path = str(
            self._pca_dir / "pca_proj_mat.datum"
        )
        local.pca_parameters.pca_dim = self._pca_dim
        with atomic_write(self._config, "w") as file:
            file.write(text_format.MessageToString(config))

    @property
    def _model(self) -> pathlib.Path:
        return self.output / "model"

    @property
    def _features(self) -> pathlib.Path:
        return self.output / "features"

    @property
    def _plain_config(self) -> pathlib.Path:
        return self.experiment / definition.EXTRACTION_FILE

    @property
    def _config(self) -> pathlib.Path:
        if self.variant.local_pca:
            return self.output / definition.EXTRACTION_FILE
        return self._plain_config

    @property
    def _pca_dir(self) -> pathlib.Path:
        return self.output / "pca"

    @property
    def _pca_dim(self) -> int:
        return definition.autoencoder_dimensions(self.flagfiles)

    @property
    def _retrieval(self) -> bool:
        wanted = {Measures.GLOBAL_MAP, Measures.RERANKED_MAP}
        return bool(wanted & set(self.measures))

    def _training(self) -> Stage:
        more = []
        if self.init_from:
            more.append(f"--init_from={self.init_from}")
        elif self.data.init_checkpoint:
            more.append(f"--init_checkpoint={self.data.init_checkpoint}")
        if self.quick:
            more += _QUICK
        command = commands.train(
            self.flagfiles,
            self.logdir,
            self.data.train_records,
            self.data.validation_records,
            self.seed,
            *more,
        )
        # Flagfiles name others of their folder.
        inputs = tuple(sorted(self.experiment.glob("*.flags")))
        return Stage("training", "Training", (command,), (self.logdir,), inputs)

    def _export(self) -> Stage:
        command = commands.export(
            self.logdir, self._model, "--noblock3_strides"
        )
        return Stage("export", "Export", (command,), (self._model,))

    def _pca(self) -> Stage:
        features = self.output / "pca_features"
        return Stage(
            "pca",
            "Principal component analysis",
            (
                commands.extract(
                    self._plain_config,
                    self._model,
                    features,
                    *self.data.pca_images,
                ),
                commands.learn_pca(
                    features, self._pca_dim, self._pca_dir, self.seed
                ),
            ),
            (features, self._pca_dir),
            (self._plain_config,),
        )

    def _extraction(self) -> Stage:
        calls = []
        pairs = Measures.PAIR_AP in self.measures
        if self._retrieval or (pairs and not self.data.pairs_file):
            calls += [
                commands.extract_set(
                    self._config,
                    self._model,
                    self._features,
                    self.data.ground_truth,
                    self.data.images_dir,
                    image_set,
                )
                for image_set in ("query", "index")
            ]
        if pairs and self.data.pairs_file:
            calls.append(
                commands.extract(
                    self._config,
                    self._model,
                    self._features / "pairs",
                    f"--images_dir={self.data.pairs_images_dir}",
                )
            )
        return Stage(
            "extraction",
            "Extraction",
            tuple(calls),
            (self._features,),
            (self._plain_config,),
        )

    def _search(self) -> Stage:
        index = self.output / "index"
        calls = [commands.build_index(self._features / "index", index)]
        outputs = [index, self.output / "evaluation"]
        for name, measure, more in (
            ("global", Measures.GLOBAL_MAP, ()),
            (
                "reranked",
                Measures.RERANKED_MAP,
                ("--rerank", f"--seed={self.seed}"),
            ),
        ):
            if measure not in self.measures:
                continue
            results = self.output / f"{name}.npz"
            outputs.append(results)
            calls += [
                commands.search(
                    index,
                    self.data.ground_truth,
                    self._features / "query",
                    results,
                    *more,
                ),
                commands.evaluate(
                    self.data.ground_truth,
                    results,
                    self.output / "evaluation" / name,
                ),
            ]
        return Stage("search", "Search", tuple(calls), tuple(outputs))

    def _pairs(self) -> Stage:
        if self.data.pairs_file:
            flags = (
                f"--pairs_file={self.data.pairs_file}",
                "--query_features_dir={features}/pairs",
            )
        else:
            flags = (
                f"--dataset_file_path={self.data.ground_truth}",
                "--query_features_dir={features}/query",
                "--index_features_dir={features}/index",
            )
        output = self.output / "pairs"
        command = commands.evaluate_pairs(
            flags, self._features, output, self.seed
        )
        return Stage("pairs", "Pairs of images", (command,), (output,))
