"""Downloads from a server on this machine that misbehaves."""

import base64
import hashlib
import io
import itertools
import os
import pathlib
import random
import tarfile
import threading
import urllib.parse
import zipfile

import file_server
import numpy as np
import pytest
from PIL import Image
from tool_process import last_line, run_tool

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    load_ground_truth,
    save_ground_truth,
)
from delg_tf.download import listing, selection, sources, verify
from delg_tf.download.run import download
from delg_tf.download.transfer import TransferOptions

PATIENCE = TransferOptions(
    timeout_seconds=0.4, attempts=3, backoff_seconds=0.01
)
LIST = "/revisitop/revisitop1m/revisitop1m.txt"
GROUND_TRUTH = "/revisitop/data/datasets/roxford5k/gnd_roxford5k.pkl"
OXFORD = "/~vgg/data/oxbuildings/oxbuild_images-v1.tgz"
TEST_3 = "/google-landmark/test/images_003.tar"
MD5_3 = "/google-landmark/md5sum/test/md5.images_003.txt"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with file_server.FileServer().running() as running:
        yield running


def _noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def _tar(members, mode="w:gz"):
    """An archive of (name, bytes, or a TarInfo without content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def _tree(folder):
    """All files but those that the downloads keep for themselves."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "downloads" not in path.parts
    }


def _list(server, folder, **options):
    """Downloads one file, the list of R1M."""
    options = {"transfer": PATIENCE, "only": "*.txt", **options}
    return download("r1m", folder, server.address, **options)


def _images(server, folder, **options):
    """Downloads one archive, the photographs of Oxford."""
    options = {"transfer": PATIENCE, "only": "oxbuild*", **options}
    return download("roxford5k", folder, server.address, **options)


def _test_3(server, folder, **options):
    """Downloads one archive that has a file with its MD5."""
    options = {"transfer": PATIENCE, "only": "*.tar", **options}
    return download("gldv2_test", folder, server.address, parts={3}, **options)


def _serve_test_3(server, images=None):
    images = images or {"0/1/2/012a.jpg": b"first", "f/e/d/fed0.jpg": b"second"}
    server.files[TEST_3] = _tar(images.items(), "w")
    md5 = hashlib.md5(server.files[TEST_3]).hexdigest()
    server.files[MD5_3] = f"{md5}  images_003.tar\n".encode()
    return {f"gldv2/test/{name}": data for name, data in images.items()}


# A whole data set, by the command line.


def test_roxford5k_is_downloaded_verified_and_repaired(server, tmp_path):
    names = [f"all_souls_{number:06}" for number in range(6)]
    images = {f"{name}.jpg": _jpeg(n) for n, name in enumerate(names)}
    ids = np.array([0, 1]), np.array([2]), np.array([], int)
    ground_truth = RevisitedGroundTruth(
        names[:1], names[1:], [RevisitedQuery(*ids, (1.0, 2.0, 9.0, 8.0))]
    )
    save_ground_truth(ground_truth, tmp_path / "gnd.pkl")
    server.files[GROUND_TRUTH] = (tmp_path / "gnd.pkl").read_bytes()
    # Folders are dropped, and so is what is no photograph.
    server.files[OXFORD] = _tar(
        [(f"./deep/er/{name}", data) for name, data in images.items()]
        + [("./README", b"no photograph"), ("./._x", b"of a Mac")]
    )
    data = tmp_path / "data"
    flags = ["--dataset=roxford5k", f"--data_dir={data}"]
    mirror = f"--mirror={server.address}/"
    tool = "tools/download_dataset.py"

    done = run_tool(tool, *flags, mirror)
    assert done.returncode == 0, done.stderr
    expected = {
        "roxford5k/gnd_roxford5k.pkl": server.files[GROUND_TRUTH],
        **{f"roxford5k/jpg/{name}": data for name, data in images.items()},
    }
    assert _tree(data) == expected
    assert not list(data.rglob("*.tgz"))
    read = load_ground_truth(data / "roxford5k" / "gnd_roxford5k.pkl")
    assert list(read.index_names) == names[1:]
    assert "Flickr" in done.stderr  # The licence is shown.

    # What is there is not asked for again.
    before = len(server.requests)
    assert download("roxford5k", data, server.address).present == 2
    assert len(server.requests) == before

    # Another size is seen at once, damage of the same size when asked for.
    jpg = data / "roxford5k" / "jpg"
    (jpg / f"{names[3]}.jpg").write_bytes(b"cut off")
    assert download("roxford5k", data, server.address).present == 1
    assert _tree(data) == expected
    changed = bytearray(images[f"{names[2]}.jpg"])
    changed[30] ^= 1
    (jpg / f"{names[2]}.jpg").write_bytes(changed)
    (data / "roxford5k" / "gnd_roxford5k.pkl").unlink()
    done = run_tool(tool, *flags, "--verify")
    assert done.returncode == 1
    assert f"damaged: roxford5k/jpg/{names[2]}.jpg" in done.stderr
    assert "missing: roxford5k/gnd_roxford5k.pkl" in done.stderr
    assert "5 files are as downloaded" in done.stderr
    assert run_tool(tool, *flags, mirror).returncode == 0
    assert _tree(data) == expected
    done = run_tool(tool, *flags, "--verify")
    assert done.returncode == 0
    assert last_line(done.stdout).startswith("7 files are as downloaded, 0 ")


# Servers that fail, and go on.


@pytest.mark.parametrize(
    "faults, ranges",
    [
        ([("cut", 300_000), ("cut", 250_000)], [None, 300_000, 550_000]),
        ([("stall", 300_000)], [None, 300_000]),
        ([("cut", 0), ("status", 503, {"Retry-After": "0"})], [None] * 3),
        ([("status", 429, {}), ("status", 500, {})], [None] * 3),
        ([("cut", 10), ("status", 502, {}), ("cut", 10)], [None, 10, 10, 20]),
    ],
)
def test_a_transfer_goes_on_where_it_was_cut_off(
    server, tmp_path, faults, ranges
):
    server.files[LIST] = _noise(1_000_000)
    server.faults[LIST] = faults
    result = _list(server, tmp_path)
    assert result.placed == ["revisitop1m.txt"]
    assert _tree(tmp_path) == {
        "revisitop1m/revisitop1m.txt": server.files[LIST]
    }
    asked = server.gets(LIST)
    assert asked == [r if r is None else f"bytes={r}-" for r in ranges]
    assert not list(tmp_path.rglob("*.part*"))


def test_a_second_run_goes_on_where_the_first_gave_up(server, tmp_path):
    server.files[LIST] = _noise(1_000_000)
    server.faults[LIST] = [("cut", 400_000), ("cut", 0), ("cut", 0)]
    with pytest.raises(InputError, match=r"ended after|connection") as error:
        _list(server, tmp_path, transfer=TransferOptions(0.4, 2, 0.01))
    assert f"{server.address}{LIST}" in str(error.value)
    assert _tree(tmp_path).keys() == {
        "revisitop1m/revisitop1m.txt.part",
        "revisitop1m/revisitop1m.txt.part.json",
    }
    _list(server, tmp_path)
    assert server.gets(LIST)[-1] == "bytes=400000-"
    assert (tmp_path / LIST[11:]).read_bytes() == server.files[LIST]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [1_000_000, 300_000])
def test_a_file_that_has_changed_starts_over(server, tmp_path, ranges, size):
    old, server.files[LIST] = _noise(1_000_000), _noise(1_000_000)
    server.faults[LIST] = [("cut", 400_000)]
    with pytest.raises(InputError):
        _list(server, tmp_path, transfer=TransferOptions(0.4, 1, 0.01))
    server.files[LIST], server.ranges = _noise(size, seed=1), ranges
    assert old != server.files[LIST]
    _list(server, tmp_path)
    assert server.gets(LIST) == [None, "bytes=400000-"]
    assert (tmp_path / LIST[11:]).read_bytes() == server.files[LIST]


@pytest.mark.parametrize("size", [399_999, 400_000, 900_000])
def test_another_length_is_another_version(server, tmp_path, size):
    server.files[LIST], server.careless = _noise(1_000_000), True
    server.faults[LIST] = [("cut", 400_000)]
    with pytest.raises(InputError):
        _list(server, tmp_path, transfer=TransferOptions(0.4, 1, 0.01))
    server.files[LIST] = _noise(size, seed=1)
    _list(server, tmp_path)
    assert (tmp_path / LIST[11:]).read_bytes() == server.files[LIST]


@pytest.mark.parametrize(
    "version, goes_on",
    [("strong", True), ("date", True), ("weak", False), ("none", False)],
)
def test_only_the_same_version_goes_on(server, tmp_path, version, goes_on):
    # A weak ETag may stay the same while bytes change.
    server.files[LIST], server.version = _noise(500_000), version
    server.faults[LIST] = [("cut", 200_000)]
    with pytest.raises(InputError):
        _list(server, tmp_path, transfer=TransferOptions(0.4, 1, 0.01))
    _list(server, tmp_path)
    assert server.gets(LIST)[1] == ("bytes=200000-" if goes_on else None)
    assert (tmp_path / LIST[11:]).read_bytes() == server.files[LIST]


def test_a_server_without_ranges_is_asked_for_all(server, tmp_path):
    server.files[LIST], server.ranges = _noise(500_000), False
    server.faults[LIST] = [("cut", 200_000)]
    _list(server, tmp_path)
    assert (tmp_path / LIST[11:]).read_bytes() == server.files[LIST]


def test_files_come_side_by_side(server, tmp_path):
    barrier = threading.Barrier(2)
    for path in (GROUND_TRUTH, OXFORD):
        server.faults[path] = [("meet", barrier)]
    server.files[GROUND_TRUTH] = b"labels"
    server.files[OXFORD] = _tar([("a.jpg", b"a")])
    # Neither is served before both are asked for.
    download("roxford5k", tmp_path, server.address, jobs=2)
    assert not barrier.broken


def test_one_download_at_a_time(server, tmp_path):
    server.files[LIST] = b"list"
    barrier = threading.Barrier(2)
    server.faults[LIST] = [("meet", barrier)]
    options = TransferOptions(10, 1, 0)
    first = threading.Thread(
        target=lambda: _list(server, tmp_path, transfer=options)
    )
    first.start()
    try:
        file_server.wait_until(lambda: server.gets(LIST))
        with pytest.raises(InputError, match="Another download"):
            _list(server, tmp_path)
    finally:
        barrier.wait(10)
        first.join()
    assert (tmp_path / LIST[11:]).read_bytes() == b"list"


# Servers that refuse, and what is no file.


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_names_the_address_and_the_rest_comes(
    server, tmp_path, status
):
    server.files[OXFORD] = _tar([("a.jpg", b"a")])
    server.always[GROUND_TRUTH] = ("status", status, {})
    with pytest.raises(InputError) as error:
        download("roxford5k", tmp_path, server.address, transfer=PATIENCE)
    text = str(error.value)
    assert f"{server.address}{GROUND_TRUTH}" in text and str(status) in text
    # Where it is to be had by hand, and where to put it.
    assert "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/" in text
    place = tmp_path / "roxford5k" / "gnd_roxford5k.pkl"
    assert str(place) in text
    assert _tree(tmp_path) == {"roxford5k/jpg/a.jpg": b"a"}
    assert len(server.gets(GROUND_TRUTH)) == 1
    # What is put there by hand is taken.
    place.write_bytes(b"by hand")
    download("roxford5k", tmp_path, server.address, transfer=PATIENCE)
    assert place.read_bytes() == b"by hand"
    assert verify.verify("roxford5k", tmp_path).is_complete


def test_a_server_that_stays_down_is_given_up(server, tmp_path):
    server.files[LIST] = b"list"
    server.always[LIST] = ("status", 503, {})
    with pytest.raises(InputError, match=r"answers 503 \(3 times\)"):
        _list(server, tmp_path)
    assert _tree(tmp_path) == {}


def test_a_web_page_is_no_file(server, tmp_path):
    server.files[LIST] = b"<html>Please log in</html>"
    server.headers[LIST] = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(InputError, match="web page"):
        _list(server, tmp_path)
    assert _tree(tmp_path) == {}


def test_the_encoding_of_an_archive_is_left_alone(server, tmp_path):
    # Apache announces a .tgz so; decoding it would lose its length and sum.
    server.files[OXFORD] = _tar([("a.jpg", b"a")])
    server.headers[OXFORD] = {"Content-Encoding": "x-gzip"}
    _images(server, tmp_path, keep_archives=True)
    kept = tmp_path / "downloads" / OXFORD[1:]
    assert kept.read_bytes() == server.files[OXFORD]


def test_room_on_the_disk_is_checked_before_anything_comes(server, tmp_path):
    server.files[OXFORD] = _tar([("a.jpg", b"a")])
    server.sizes[OXFORD] = 10**17
    # 10^17 bytes of archive, and 1.1 times as much of photographs.
    with pytest.raises(InputError, match=r"210,000,000\.000 GB"):
        _images(server, tmp_path)
    assert server.gets() == []


# Checksums.


def test_what_came_damaged_comes_again(server, tmp_path):
    expected = _serve_test_3(server)
    server.faults[TEST_3] = [("corrupt",)]
    result = _test_3(server, tmp_path)
    assert _tree(tmp_path) == expected
    assert len(server.gets(TEST_3)) == 2 and result.unchecked == []


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    expected = _serve_test_3(server)
    right = server.files[MD5_3][:32].decode()
    server.files[MD5_3] = b"0" * 32 + b"  images_003.tar\n"
    with pytest.raises(InputError, match="came damaged") as error:
        _test_3(server, tmp_path)
    for text in (TEST_3, MD5_3, right, "0" * 32, "--ignore_checksums"):
        assert text in str(error.value)
    assert _tree(tmp_path) == {}
    assert not list(tmp_path.rglob("*.tar*"))
    result = _test_3(server, tmp_path, ignore_checksums=True)
    assert _tree(tmp_path) == expected
    assert result.unchecked == ["images_003.tar"]


@pytest.mark.parametrize("right", [True, False])
def test_the_md5_that_google_sends_is_checked(server, tmp_path, right):
    path = "/delf/r50delg_gld_20200814.tar.gz"
    server.files[path] = _tar([("r50/saved_model.pb", b"graph")])
    digest = hashlib.md5(server.files[path]).digest()
    if not right:
        digest = digest[::-1]
    encoded = base64.b64encode(digest).decode()
    server.headers[path] = {"x-goog-hash": f"crc32c=AAAAAA==,md5={encoded}"}

    def fetch():
        return download(
            "delg_models",
            tmp_path,
            server.address,
            only="r50delg_gld_*",
            transfer=PATIENCE,
        )

    if right:
        assert fetch().unchecked == []
        assert _tree(tmp_path) == {"weights/r50/saved_model.pb": b"graph"}
    else:
        with pytest.raises(InputError, match="sent by the server"):
            fetch()


def test_published_digits_of_weights_are_checked(server, tmp_path):
    path = "/models/resnet50-0676ba61.pth"
    server.files[path] = b"not these weights"
    with pytest.raises(InputError, match="not sha256 0676ba61"):
        download(
            "imagenet_weights",
            tmp_path,
            server.address,
            only="resnet50-0*",
            transfer=PATIENCE,
        )
    assert _tree(tmp_path) == {}


# Archives.


def _link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize("name", ["../../evil.jpg", "a/../../../evil.jpg"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_nothing_is_unpacked_outside(server, tmp_path, name, kind):
    path = "/cnnimageretrieval/data/train/ims/ims.tar.gz"
    if kind == "tar":
        server.files[path] = _tar([("a.jpg", b"a"), (name, b"evil")])
    else:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as zipped:
            zipped.writestr("a.jpg", b"a")
            zipped.writestr(name, b"evil")
        server.files[path] = buffer.getvalue()
    with pytest.raises(InputError, match="not safe"):
        download("sfm120k_images", tmp_path / "data", server.address, jobs=1)
    assert not list(tmp_path.rglob("evil.jpg"))
    assert not list(tmp_path.rglob("a.jpg"))


def test_links_of_an_archive_lead_nowhere(server, tmp_path):
    path = "/cnnimageretrieval/data/train/ims/ims.tar.gz"
    outside = tmp_path / "outside"
    outside.mkdir()
    link = _link("x", str(outside))
    server.files[path] = _tar([("x", link), ("x/a.jpg", b"a"), ("b", b"b")])
    download("sfm120k_images", tmp_path / "data", server.address)
    assert _tree(tmp_path / "data") == {
        "sfm120k/ims/x/a.jpg": b"a",
        "sfm120k/ims/b": b"b",
    }
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_damaged_archive_without_checksum_comes_again(server, tmp_path, mode):
    whole = _tar([("a.jpg", _noise(9000)), ("b.jpg", _noise(9000, 1))], mode)
    server.files[OXFORD] = whole[:9000]
    with pytest.raises(InputError, match="came damaged 3 times"):
        _images(server, tmp_path)
    assert _tree(tmp_path) == {}
    server.files[OXFORD] = whole
    _images(server, tmp_path)
    assert len(_tree(tmp_path)) == 2


@pytest.mark.parametrize("moved", range(4))
def test_an_interrupted_extraction_is_repeated(
    server, tmp_path, monkeypatch, moved
):
    images = {f"{n}.jpg": _noise(2000, n) for n in range(3)}
    server.files[OXFORD] = _tar(images.items())
    calls, replace = itertools.count(), pathlib.Path.replace

    def failing(path, target):
        if "jpg" in pathlib.Path(target).parts and next(calls) == moved:
            raise OSError("the disk is gone")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", failing)
        if moved < 3:
            with pytest.raises(OSError, match="disk is gone"):
                _images(server, tmp_path)
            # A file that was half on the disk when the power went.
            for path in tmp_path.rglob("0.jpg"):
                path.write_bytes(b"")
            assert not verify.verify(
                "roxford5k", tmp_path, only="oxbuild*"
            ).is_complete
    _images(server, tmp_path)
    assert _tree(tmp_path) == {
        f"roxford5k/jpg/{name}": data for name, data in images.items()
    }
    # The archive had come: it is not downloaded again.
    assert len(server.gets(OXFORD)) == 1
    assert not list(tmp_path.rglob("*.unpacking"))


def test_other_files_are_not_overwritten(server, tmp_path):
    server.files[OXFORD] = _tar([("a.jpg", b"a"), ("b.jpg", b"b")])
    mine = tmp_path / "roxford5k" / "jpg" / "b.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"b\.jpg exists"):
        _images(server, tmp_path)
    assert _tree(tmp_path) == {"roxford5k/jpg/b.jpg": b"mine"}
    _images(server, tmp_path, overwrite=True)
    assert _tree(tmp_path) == {
        "roxford5k/jpg/a.jpg": b"a",
        "roxford5k/jpg/b.jpg": b"b",
    }


def test_an_archive_put_there_by_hand_is_taken(server, tmp_path):
    place = tmp_path / "downloads" / OXFORD[1:]
    place.parent.mkdir(parents=True)
    whole = _tar([("a.jpg", b"a")])
    place.write_bytes(whole)
    server.files[OXFORD] = whole + b"more"
    with pytest.raises(InputError, match=f"has {len(whole)} bytes"):
        _images(server, tmp_path)
    del server.files[OXFORD]
    _images(server, tmp_path, keep_archives=True)
    assert _tree(tmp_path) == {"roxford5k/jpg/a.jpg": b"a"}
    assert server.gets() == [] and place.exists()
    # A damaged one is the user's: it is not thrown away.
    os.remove(tmp_path / "roxford5k" / "jpg" / "a.jpg")
    place.write_bytes(b"no archive")
    with pytest.raises(InputError, match="Remove it"):
        _images(server, tmp_path)
    assert place.read_bytes() == b"no archive"


# What is asked for.


def test_parts_are_numbers_and_ranges():
    rng = random.Random(0)
    for _ in range(50):
        ranges = [
            (first, first + rng.randrange(4))
            for first in rng.choices(range(30), k=rng.randrange(1, 5))
        ]
        text = ",".join(
            str(a) if a == b and rng.random() < 0.5 else f"{a}-{b}"
            for a, b in ranges
        )
        expected = {n for a, b in ranges for n in range(a, b + 1)}
        assert selection.parse_parts(text) == expected
    for wrong in ("", "a", "3-1", "1,,2", "-1", "1-2-3"):
        with pytest.raises(InputError, match="--parts"):
            selection.parse_parts(wrong)


def test_parts_choose_archives_and_keep_lists():
    sets = selection.find_data_sets(["gldv2"])
    files = selection.select_files(sets, frozenset({0, 19}))
    archives = [file.url for file in files if file.part is not None]
    assert archives == [
        f"https://s3.amazonaws.com/google-landmark/{split}/images_{part}.tar"
        for split in ("train", "index", "test")
        for part in ("000", "019")
    ]
    assert {f.path for f in files if f.part is None} == {
        f.path
        for f in selection.select_files(selection.find_data_sets(["gldv2_csv"]))
    }
    with pytest.raises(InputError, match="gldv2_test has parts 0-19, not 20"):
        selection.select_files(sets, frozenset({20}))
    with pytest.raises(InputError, match="revisitop1m has parts 1-100, not 0"):
        selection.select_files(
            selection.find_data_sets(["r1m"]), frozenset({0})
        )


def test_the_table_keeps_what_mirrors_and_receipts_need():
    by_url = {f.url: f for s in sources.DATA_SETS for f in s.files}
    # On a mirror, and in downloads/, only the path tells files apart.
    paths = [urllib.parse.urlsplit(url).path for url in by_url]
    assert len(set(paths)) == len(paths)
    plain = [file.path for file in by_url.values() if not file.unpack]
    assert len(set(plain)) == len(plain)
    for data_set in sources.DATA_SETS:
        assert data_set.page and data_set.licence and data_set.checksums
        assert bool(data_set.files) != bool(data_set.by_hand)
    # As google-landmark's README has them.
    base = "https://s3.amazonaws.com/google-landmark"
    file = by_url[f"{base}/index/images_000.tar"]
    assert file.md5_url == f"{base}/md5sum/index/md5.images_000.txt"
    assert sum(file.part is not None for file in by_url.values()) == 720


def test_a_mirror_is_an_address(server, tmp_path):
    for mirror in ("localhost:80", "ftp://host", "/folder"):
        with pytest.raises(InputError, match="--mirror"):
            download("roxford5k", tmp_path, mirror)
    with pytest.raises(InputError, match="no data set 'oxford'"):
        download("oxford", tmp_path)


def test_what_a_person_must_fetch_says_how(tmp_path):
    with pytest.raises(InputError, match="by a program") as error:
        download(["roxford5k", "gldv1"], tmp_path / "data")
    assert "https://www.kaggle.com/" in str(error.value)
    assert not (tmp_path / "data").exists()
    text = listing.list_data_sets()
    for data_set in sources.DATA_SETS:
        assert f"\n{data_set.name}: " in f"\n{text}"
        assert data_set.licence in text
