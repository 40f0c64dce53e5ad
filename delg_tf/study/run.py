"""Runs a study: every variant with every seed, then one table."""

import dataclasses
import pathlib
import shlex

import delg_tf
from delg_tf.common.errors import InputError
from delg_tf.protos import study_pb2
from delg_tf.study import data as study_data
from delg_tf.study.data import StudyData
from delg_tf.study.definition import (
    DEMO_FLAGS,
    STUDY_FILE,
    load_study,
)
from delg_tf.study.plan import Measures, RunPlan
from delg_tf.study.results import (
    RESULTS_FILE,
    RUN_FILE,
    run_folder,
    write_results,
    write_run,
)
from delg_tf.workflow.checkout import as_seen_from, in_checkout
from delg_tf.workflow.stages import Stage, StageRunner


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """What a study is run with.

    Attributes:
        experiment: folder of the study, relative to the checkout.
        output_directory: folder of everything made.
        seeds: each variant is run with each.
        variants: names of those to run; empty: all.
        demo: demonstration size, on the demonstration's data.
        quick: with `demo`: hardly any data or training.
        demo_data: folder of that data, which studies may share.
        data: where `demo` is not set.
        dry_run: print the commands only.
        command: that was typed, for the record.
    """

    experiment: str
    output_directory: str
    seeds: tuple[int, ...] = (0,)
    variants: tuple[str, ...] = ()
    demo: bool = False
    quick: bool = False
    demo_data: str = "runs/demo_data"
    data: StudyData | None = None
    dry_run: bool = False
    command: str = ""


def run_study(options: StudyOptions) -> str:
    """Runs all that is not done, and writes the results.

    Args:
        options: which study, where, and on what.

    Returns:
        The table of the results, as Markdown; the commands for `dry_run`.

    Raises:
        InputError: something is missing or does not fit, or a stage failed.
    """
    places = [options.output_directory, options.demo_data]
    absolute = [pathlib.Path(place).resolve() for place in places]
    with in_checkout() as root:
        output, demo_folder = (as_seen_from(root, path) for path in absolute)
        experiment = pathlib.Path(options.experiment)
        study = load_study(experiment)
        variants = _chosen(study, options.variants, experiment)
        data = _data(options, study, experiment, demo_folder)
        demo_stages = (
            study_data.demo_stages(demo_folder, options.quick)
            if options.demo
            else []
        )
        plans = [
            _plan(options, study, variant, data, output, seed)
            for seed in options.seeds
            for variant in variants
        ]
        if options.dry_run:
            return _commands(demo_stages, plans)
        upstream = delg_tf.__version__
        if options.demo:
            upstream = _make_demo_data(root, demo_folder, demo_stages)
        failures = _run(root, plans, upstream)
        table = write_results(
            study,
            output,
            options.seeds,
            options.command,
            "Demonstration size." if options.demo else "",
        )
    if failures:
        raise InputError(
            f"{len(failures)} of {len(plans)} runs failed; the others are in "
            f"{output / RESULTS_FILE}. " + " ".join(failures)
        )
    return table


def _chosen(
    study: study_pb2.Study, names: tuple[str, ...], experiment: pathlib.Path
) -> list[study_pb2.Variant]:
    """The variants to run, with those that they start from."""
    known = {variant.name: variant for variant in study.variants}
    if unknown := sorted(set(names) - set(known)):
        raise InputError(
            f"{experiment / STUDY_FILE} has no variant {', '.join(unknown)}; "
            f"it has {', '.join(known)}."
        )
    wanted = set(names or known)
    for variant in reversed(study.variants):
        if variant.name in wanted and variant.init_from:
            wanted.add(variant.init_from)
    return [known[name] for name in known if name in wanted]


def _data(
    options: StudyOptions,
    study: study_pb2.Study,
    experiment: pathlib.Path,
    demo_folder: pathlib.Path,
) -> StudyData:
    if options.demo:
        if not (experiment / DEMO_FLAGS).is_file():
            raise InputError(f"{experiment} has no {DEMO_FLAGS}.")
        return study_data.demo_data(demo_folder)
    if options.data is None or not options.data.train_records:
        raise InputError(
            "Give --train_file_pattern, or --demo for the demonstration's data."
        )
    measures = set(study.measures)
    options.data.require(
        retrieval=bool(measures & {Measures.GLOBAL_MAP, Measures.RERANKED_MAP}),
        pairs=Measures.PAIR_AP in measures,
        pca=any(variant.local_pca for variant in study.variants),
    )
    return options.data


def _plan(
    options: StudyOptions,
    study: study_pb2.Study,
    variant: study_pb2.Variant,
    data: StudyData,
    output: pathlib.Path,
    seed: int,
) -> RunPlan:
    start = None
    if variant.init_from:
        source = study_pb2.Variant(name=variant.init_from)
        start = run_folder(output, source, seed) / "training"
    return RunPlan(
        experiment=pathlib.Path(options.experiment),
        variant=variant,
        measures=tuple(study.measures),
        data=data,
        output=run_folder(output, variant, seed),
        seed=seed,
        demo=options.demo,
        quick=options.quick,
        init_from=start,
    )


def _make_demo_data(
    root: pathlib.Path, folder: pathlib.Path, stages: list[Stage]
) -> str:
    runner = StageRunner(folder / "stages.json", root, delg_tf.__version__)
    for stage in stages:
        runner.run(stage)
    study_data.list_pca_images(folder)
    return runner.upstream


def _run(root: pathlib.Path, plans: list[RunPlan], upstream: str) -> list[str]:
    """Runs the plans in order; one that fails does not end the others.

    Returns:
        What went wrong.
    """
    trained: dict[pathlib.Path, str] = {}
    failures = []
    for number, plan in enumerate(plans, start=1):
        name = f"{plan.variant.name}, seed {plan.seed}"
        print(f"\n==== {number} of {len(plans)}: {name}", flush=True)
        if plan.init_from and plan.init_from not in trained:
            failures.append(f"{name}: {plan.init_from} is not trained.")
            continue
        try:
            _run_plan(root, plan, trained, upstream)
        except InputError as error:
            print(f"error: {error}", flush=True)
            failures.append(f"{name}: {error}")
    return failures


def _run_plan(
    root: pathlib.Path,
    plan: RunPlan,
    trained: dict[pathlib.Path, str],
    upstream: str,
) -> None:
    """Runs a plan; adds its training to `trained`."""
    plan.output.mkdir(parents=True, exist_ok=True)
    (plan.output / RUN_FILE).unlink(missing_ok=True)
    plan.write_extraction_config()
    runner = StageRunner(
        plan.output / "stages.json",
        root,
        trained[plan.init_from] if plan.init_from else upstream,
    )
    for stage in plan.stages():
        runner.run(stage)
        # The first stage is the training.
        trained.setdefault(plan.logdir, runner.upstream)
    write_run(
        plan.output, plan.measures, runner.seconds, plan.variant.is_start_only
    )


def _commands(demo_stages: list[Stage], plans: list[RunPlan]) -> str:
    lines = []
    for title, stages in [
        ("data", demo_stages),
        *((f"{p.variant.name}, seed {p.seed}", p.stages()) for p in plans),
    ]:
        if stages:
            lines.append(f"# {title}")
        for stage in stages:
            lines += [f"python {shlex.join(call)}" for call in stage.commands]
    return "\n".join(lines)
