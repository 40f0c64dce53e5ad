"""The one table of official addresses.

Where each address is from stands beside it. Where no checksum is published,
`checksums` says so: size, the archive's own checks and the SHA-256 of the first
download (in its receipt) are then all there is.
"""

from delg_tf.download.table import DataSet, RemoteFile

_NO_CHECKSUM = "none published"

# Oxford and Paris. Since 2022 the archives end in -v1: faces are blurred.
# Addresses: revisitop, python/download.py (images and ground truth).
_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_VGG_LICENCE = (
    "photographs from Flickr; Flickr's terms of use and the terms of access "
    "and the privacy notice on the page of the data set apply"
)
_REVISITOP = "http://cmp.felk.cvut.cz/revisitop/data/datasets"
_JPEGS = ("*.jpg", "*.JPG")


def _images(url: str, path: str) -> RemoteFile:
    return RemoteFile(url, path, unpack=True, flatten=True, members=_JPEGS)


_OXFORD_IMAGES = (
    _images(f"{_VGG}/oxbuildings/oxbuild_images-v1.tgz", "roxford5k/jpg"),
)
_PARIS_IMAGES = tuple(
    _images(f"{_VGG}/parisbuildings/paris_{part}-v1.tgz", "rparis6k/jpg")
    for part in (1, 2)
)


def _labels(url: str, path: str) -> RemoteFile:
    return RemoteFile(
        url, path, unpack=True, flatten=True, members=("*_[0-9]_*.txt",)
    )


def _revisited(name: str, title: str, images: tuple, page: str) -> DataSet:
    ground_truth = f"{name}/gnd_{name}.pkl"
    return DataSet(
        name=name,
        title=title,
        page=page,
        licence=_VGG_LICENCE,
        checksums=_NO_CHECKSUM,
        files=(
            RemoteFile(f"{_REVISITOP}/{ground_truth}", ground_truth),
            *images,
        ),
    )


# One million distractors, 100 archives. revisitop, python/download.py.
_R1M = "http://ptak.felk.cvut.cz/revisitop/revisitop1m"

# Google Landmarks v2. github.com/cvdfoundation/google-landmark, README.md.
_GLDV2 = "https://s3.amazonaws.com/google-landmark"
_GLDV2_PAGE = "https://github.com/cvdfoundation/google-landmark"
_GLDV2_LICENCE = (
    "labels CC BY 4.0; images of train CC BY and of index and test CC0 or "
    "public domain, each one's in train_attribution.csv, to be verified by "
    "who uses it"
)
_GLDV2_CHECKSUMS = (
    "MD5 files beside the archives (that of train's images_000.tar has been "
    "reported not to match: google-landmark issue 4, tensorflow-federated "
    "issue 3880); none for CSV files"
)
_GLDV2_CSV = {
    "train": (
        "metadata/train.csv",
        "metadata/train_clean.csv",
        "metadata/train_attribution.csv",
        "metadata/train_label_to_category.csv",
        "metadata/train_label_to_hierarchical.csv",
    ),
    "index": (
        "metadata/index.csv",
        "metadata/index_image_to_landmark.csv",
        "metadata/index_label_to_category.csv",
        "metadata/index_label_to_hierarchical.csv",
    ),
    "test": (
        "metadata/test.csv",
        "ground_truth/recognition_solution_v2.1.csv",
        "ground_truth/retrieval_solution_v2.1.csv",
    ),
}
_GLDV2_ARCHIVES = {"train": 500, "index": 100, "test": 20}
_GLDV2_SIZES = {"train": "1 GB", "index": "850 MB", "test": "500 MB"}


def _gldv2_csv(split: str) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{_GLDV2}/{path}", "gldv2/" + path.split("/")[1])
        for path in _GLDV2_CSV[split]
    )


def _gldv2(split: str) -> DataSet:
    count = _GLDV2_ARCHIVES[split]
    archives = tuple(
        RemoteFile(
            f"{_GLDV2}/{split}/images_{part:03}.tar",
            f"gldv2/{split}",
            unpack=True,
            members=_JPEGS,
            md5_url=f"{_GLDV2}/md5sum/{split}/md5.images_{part:03}.txt",
            part=part,
        )
        for part in range(count)
    )
    return DataSet(
        name=f"gldv2_{split}",
        title=(
            f"Google Landmarks v2, {split}: {count} archives of about "
            f"{_GLDV2_SIZES[split]} and CSV files"
        ),
        page=_GLDV2_PAGE,
        licence=_GLDV2_LICENCE,
        checksums=_GLDV2_CHECKSUMS,
        files=(*_gldv2_csv(split), *archives),
    )


# SfM120k. Lists and images: cirtorch, utils/download.py (cnnimageretrieval-
# pytorch); the ECCV 2020 validation list: research/delf, sfm120k.
_SFM = "http://cmp.felk.cvut.cz/cnnimageretrieval/data/train"
_SFM_LISTS = (
    f"{_SFM}/dbs/retrieval-SfM-120k.pkl",
    f"{_SFM}/dbs/retrieval-SfM-120k-whiten.pkl",
    f"{_SFM}/dbs/retrieval-SfM-30k-whiten.pkl",
    "http://ptak.felk.cvut.cz/personal/toliageo/share/how/dataset/"
    "retrieval-SfM-120k-val-eccv2020.pkl",
)
_SFM_PAGE = "http://cmp.felk.cvut.cz/cnnimageretrieval/"
_SFM_LICENCE = "none stated for the lists; photographs from Flickr"

# Weights of ImageNet. Keras: tf_keras, applications/resnet.py (with MD5);
# torchvision: models/resnet.py (eight digits of the SHA-256 in the name);
# TF-Slim: its table of checkpoints; Google's: research/delf, training/README.
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet"
_KERAS_FILE = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_MD5 = {
    "resnet50": "4d473c1dd8becc155b73f8504c6f6626",
    "resnet101": "88cf7a10940856eca736dc7b7e228a21",
}
_TORCHVISION = {"resnet50": "0676ba61", "resnet101": "63fe2227"}
_SLIM = ("resnet_v1_50_2016_08_28", "resnet_v1_101_2016_08_28")

# Google's models. research/delf, README.md and D2R instructions. Google Cloud
# Storage sends an MD5 (x-goog-hash) with files that were uploaded in one piece.
_DELF = "https://storage.googleapis.com/delf"
_DELF_PAGE = "https://github.com/tensorflow/models/tree/master/research/delf"
_DELF_LICENCE = "Apache-2.0, as the repository that publishes them"
_DELF_CHECKSUMS = "none published; an MD5 that the server sends is checked"
_DELF_MODELS = (
    "r50delg_gldv2clean_20200914",
    "r101delg_gldv2clean_20200914",
    "r50delg_gld_20200814",
    "r101delg_gld_20200814",
    "rn101_af_gldv2clean_20200814",
    "delf_gld_20190411",
    "delf_v1_20171026",
    "d2r_frcnn_20190411",
    "d2r_mnetssd_20190411",
)
_CODEBOOKS = tuple(
    f"{data}_codebook_{size}"
    for data in ("rparis6k", "roxford5k")
    for size in (65536, 1024)
)


def _weights(url: str, folder: str = "", **known: str) -> RemoteFile:
    """Weights in `weights/`; an archive's content in `weights/<folder>`."""
    if url.endswith(".tar.gz"):
        path = f"weights/{folder}" if folder else "weights"
        return RemoteFile(url, path, unpack=True, **known)
    return RemoteFile(url, "weights/" + url.rsplit("/", 1)[-1], **known)


_IMAGENET = (
    *(
        _weights(f"{_KERAS}/{_KERAS_FILE.format(name)}", md5=md5)
        for name, md5 in _KERAS_MD5.items()
    ),
    *(
        _weights(
            f"https://download.pytorch.org/models/{name}-{digits}.pth",
            sha256=digits,
        )
        for name, digits in _TORCHVISION.items()
    ),
    *(
        _weights(f"http://download.tensorflow.org/models/{name}.tar.gz", name)
        for name in _SLIM
    ),
    _weights(
        f"{_DELF}/resnet50_imagenet_weights.tar.gz", "resnet50_imagenet_weights"
    ),
)

DATA_SETS: tuple[DataSet, ...] = (
    _revisited(
        "roxford5k",
        "Revisited Oxford: 5,063 photographs (1.9 GB), 70 queries",
        _OXFORD_IMAGES,
        f"{_VGG}/oxbuildings/",
    ),
    _revisited(
        "rparis6k",
        "Revisited Paris: 6,392 photographs (2.5 GB), 70 queries",
        _PARIS_IMAGES,
        f"{_VGG}/parisbuildings/",
    ),
    DataSet(
        name="revisitop1m",
        title="R1M: a million distractors, 100 archives (over 400 GB in all)",
        page="http://cmp.felk.cvut.cz/revisitop/",
        licence="photographs from Flickr (YFCC100M), each under its own "
        "Creative Commons licence",
        checksums=_NO_CHECKSUM,
        files=(
            RemoteFile(
                f"{_R1M}/revisitop1m.txt", "revisitop1m/revisitop1m.txt"
            ),
            *(
                RemoteFile(
                    f"{_R1M}/jpg/revisitop1m.{part}.tar.gz",
                    "revisitop1m/jpg",
                    unpack=True,
                    part=part,
                )
                for part in range(1, 101)
            ),
        ),
    ),
    DataSet(
        name="oxford5k",
        title="Oxford5k: the old labels; photographs as in roxford5k",
        page=f"{_VGG}/oxbuildings/",
        licence=_VGG_LICENCE,
        checksums=_NO_CHECKSUM,
        files=(
            _labels(f"{_VGG}/oxbuildings/gt_files_170407.tgz", "oxford5k/gt"),
            *_OXFORD_IMAGES,
        ),
    ),
    DataSet(
        name="paris6k",
        title="Paris6k: the old labels; photographs as in rparis6k",
        page=f"{_VGG}/parisbuildings/",
        licence=_VGG_LICENCE,
        checksums=_NO_CHECKSUM,
        files=(
            _labels(f"{_VGG}/parisbuildings/paris_120310.tgz", "paris6k/gt"),
            *_PARIS_IMAGES,
        ),
    ),
    *(_gldv2(split) for split in _GLDV2_ARCHIVES),
    DataSet(
        name="gldv2_csv",
        title="Google Landmarks v2: all CSV files, no images",
        page=_GLDV2_PAGE,
        licence=_GLDV2_LICENCE,
        checksums=_NO_CHECKSUM,
        files=tuple(file for split in _GLDV2_CSV for file in _gldv2_csv(split)),
    ),
    DataSet(
        name="sfm120k",
        title="retrieval-SfM-120k: lists of training and validation tuples",
        page=_SFM_PAGE,
        licence=_SFM_LICENCE,
        checksums=_NO_CHECKSUM,
        files=tuple(
            RemoteFile(url, "sfm120k/" + url.rsplit("/", 1)[-1])
            for url in _SFM_LISTS
        ),
    ),
    DataSet(
        name="sfm120k_images",
        title="retrieval-SfM-120k: the photographs",
        page=_SFM_PAGE,
        licence=_SFM_LICENCE,
        checksums=_NO_CHECKSUM,
        files=(
            RemoteFile(f"{_SFM}/ims/ims.tar.gz", "sfm120k/ims", unpack=True),
        ),
    ),
    DataSet(
        name="imagenet_weights",
        title="ResNet-50 and -101 trained on ImageNet, for --init_checkpoint",
        page="https://keras.io/api/applications/resnet/",
        licence="Keras and TF-Slim Apache-2.0, torchvision BSD-3-Clause; "
        "ImageNet's terms ask for non-commercial research",
        checksums="MD5 (Keras), eight digits of SHA-256 (torchvision); none "
        "published for TF-Slim and Google's, whose server sends an MD5",
        files=_IMAGENET,
    ),
    DataSet(
        name="delg_models",
        title="Google's DELG, DELF and Detect-to-Retrieve models",
        page=_DELF_PAGE,
        licence=_DELF_LICENCE,
        checksums=_DELF_CHECKSUMS,
        files=tuple(
            _weights(f"{_DELF}/{name}.tar.gz") for name in _DELF_MODELS
        ),
    ),
    DataSet(
        name="delf_codebooks",
        title="Google's codebooks of DELF features for aggregation",
        page=_DELF_PAGE,
        licence=_DELF_LICENCE,
        checksums=_DELF_CHECKSUMS,
        # These archives have no folder of their own.
        files=tuple(
            _weights(f"{_DELF}/{name}.tar.gz", name) for name in _CODEBOOKS
        ),
    ),
    DataSet(
        name="gldv1",
        title="Google Landmarks v1",
        page="https://www.kaggle.com/google/google-landmarks-dataset",
        licence="Kaggle's, to be accepted by a person who is logged in",
        checksums=_NO_CHECKSUM,
        by_hand="Its publishers say that it is no longer available "
        "(google-landmark, README.md). Google's models that were trained on "
        "it are: --dataset=delg_models.",
    ),
    DataSet(
        name="rgldv2_clean",
        title="RGLDv2-clean: the list without landmarks of Oxford and Paris",
        page="https://github.com/dealicious-inc/RGLDv2-clean",
        licence="as its page says; read it before you download",
        checksums=_NO_CHECKSUM,
        by_hand="Follow its page, and put the list into gldv2/. The images are "
        "those of --dataset=gldv2_train.",
    ),
)

# Names for several data sets.
GROUPS: dict[str, tuple[str, ...]] = {
    "gldv2": ("gldv2_train", "gldv2_index", "gldv2_test"),
    "r1m": ("revisitop1m",),
}
