"""The data sets by their names, and folders of one's own."""

import pathlib
from collections.abc import Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.protocols.data_set import RetrievalDataSet
from delg_tf.protocols.distractors import FOLDER as DISTRACTORS_FOLDER
from delg_tf.protocols.distractors import with_distractors
from delg_tf.protocols.gldv2_data import open_gldv2
from delg_tf.protocols.locations import first_folder
from delg_tf.protocols.oxford_data import open_oxford
from delg_tf.protocols.revisited_data import open_revisited

REVISITED_NAMES = ("roxford5k", "rparis6k")
# Old data sets, and the revisited ones that have the same photographs.
OXFORD_NAMES = {"oxford5k": "roxford5k", "paris6k": "rparis6k"}
NAMES = (*REVISITED_NAMES, *OXFORD_NAMES, "gldv2")
DISTRACTORS = "+r1m"


def downloads_of(name: str) -> tuple[str, ...]:
    """Returns the names by which the parts of a data set are downloaded.

    Raises:
        InputError: it is a folder, or unknown.
    """
    base = name.removesuffix(DISTRACTORS)
    if base not in NAMES:
        raise InputError(
            f"{name!r} cannot be downloaded; {_known()} can. Leave out "
            "--download."
        )
    parts = ("gldv2_index", "gldv2_test") if base == "gldv2" else (base,)
    return parts if base == name else (*parts, DISTRACTORS_FOLDER)


def open_data_set(
    name: str,
    data_dir: PathLike | None,
    all_queries: bool = False,
    allow_missing: bool = False,
) -> RetrievalDataSet:
    """Opens a data set, and checks that it is complete.

    Args:
        name: one of `NAMES`, or a folder with `gnd_*.pkl` (or .mat) and
            `jpg` (or `images`), or with the old `gt/*.txt`; with "+r1m" the
            distractors are added.
        data_dir: folder in which data sets are downloaded; may be None for a
            folder without distractors.
        all_queries: of GLDv2 also those that are not measured.
        allow_missing: of GLDv2 leave out images that are not there.

    Raises:
        InputError: the name is unknown, or something is missing or damaged.
    """
    base = name.removesuffix(DISTRACTORS)
    named = base in NAMES
    if base == "gldv2" and base != name:
        raise InputError("The distractors +r1m do not belong to gldv2.")
    if data_dir is None and (named or base != name):
        raise InputError(f"--dataset={name} needs --data_dir.")
    data = pathlib.Path(data_dir or ".")
    if not named and not pathlib.Path(base).is_dir():
        raise InputError(
            f"There is no data set {name!r}: neither a folder nor one of "
            f"{_known()}."
        )
    if not named:
        data_set = _open_folder(pathlib.Path(base))
    elif base == "gldv2":
        remedy = _download(base, data)
        data_set = open_gldv2(data / base, remedy, all_queries, allow_missing)
    elif base in OXFORD_NAMES:
        data_set = _open_old(base, data)
    else:
        remedy = _download(base, data)
        folder = first_folder([data / base], f"folder of {base}", remedy)
        data_set = open_revisited(base, folder, remedy)
    if base == name:
        return data_set
    return with_distractors(data_set, data, _download(DISTRACTORS_FOLDER, data))


def _open_folder(folder: pathlib.Path) -> RetrievalDataSet:
    remedy = (
        "A folder of your own needs gnd_*.pkl (or .mat) and jpg/ (or images/), "
        "or gt/*.txt and jpg/."
    )
    name = folder.resolve().name
    if (folder / "gt").is_dir():
        return open_oxford(name, folder / "gt", [folder], remedy)
    return open_revisited(name, folder, remedy)


def _open_old(name: str, data: pathlib.Path) -> RetrievalDataSet:
    remedy = _download(name, data)
    truth = first_folder(
        [data / name / "gt"], f"ground truth of {name}", remedy
    )
    folders: Sequence[pathlib.Path] = [data / name, data / OXFORD_NAMES[name]]
    return open_oxford(name, truth, folders, remedy)


def _download(name: str, data: pathlib.Path) -> str:
    names = ",".join(downloads_of(name)) if name in NAMES else name
    return (
        "Download it: python tools/download_dataset.py "
        f"--dataset={names} --data_dir={data}"
    )


def _known() -> str:
    names = [*NAMES, *(f"{name}{DISTRACTORS}" for name in REVISITED_NAMES)]
    return ", ".join(names)
