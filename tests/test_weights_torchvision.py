"""torchvision's files: both containers, completeness, and the features."""

import base64
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from weights_files import (
    blocks,
    network_for,
    pictures,
    relative_error,
    torchvision_forward,
    torchvision_state,
    write_safetensors,
)

from delg_tf.common.errors import InputError
from delg_tf.weights.assign import variables_by_name
from delg_tf.weights.load import describe, load_pretrained
from delg_tf.weights.safetensors import read_safetensors
from delg_tf.weights.torch_pickle import read_torch

# Written by PyTorch 2.13:
#   base = torch.arange(6, dtype=torch.float32).reshape(2, 3)
#   state = collections.OrderedDict(
#       a=base.t(), b=torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
#       h=torch.tensor([[0.5]], dtype=torch.float16), n=torch.tensor(7),
#       p=torch.nn.Parameter(torch.tensor([3.0])), v=base[1, 1:])
#   torch.save(state, path, _use_new_zipfile_serialization=new)
#   base64.b85encode(zlib.compress(open(path, "rb").read(), 9))
PTH = {
    "zip": (
        "c-p0wO>fjj7{|x<#=CJsfzXhoP+H1MH<WDb^}a;{ZR%DQk}EYaLW*)(IlCsdaMt^HC"
        "uz$mQk4{LtyFPDhznA`K(Bm-^w3LtK^zdLUitw#FB`{p61Ko-XJ^-be*gK;_<3e`$&"
        "zvi6$<E38$(m5ug-TI?38-<0@FByRu8vrvE2@Xz-?nc?Dmy!qmCQ7ov-~iRshY~AQV"
        ">wBIbbD#$nX<O07-o2Ysa#xoew#&}m_}+Yh7GR#^e5SX{}I;690T)?LVPL@|TV!MFK"
        "E1xA>l3i66X#&&NL@|KLDuxueqvcz2&wFFDr1?8bf4UAzJx8VeX*5Ct=Oycbe8%$ZN"
        "#o8xXm<Ff3yd`2dO*O?Gn6QK$IK%Zm#4u^YSr+KQR7&rb6WooprddcCW{8%6;UlUgS"
        "i&xx<HLEb_c4YGHhjW@yYOjB@0+l@9_w9XAv%1<^)3;;*;%e}8N(GDuCjn0e16PM_n"
        "gStaIqUHP~_8id@n07%Qdetk2~-MeY?)J=P;CPn18^&s6T;bLzz)qpzo`Avd5l5W!c"
        "Kn{i;&F#`!vih7Ajwr6nt05YFFwdQC)#_N8MpZvvgAnOC|SMjH-pZMjjOB$sJS9Fc$"
        ";mHqvnzkj5bXg^+d65U|3gY;@Sfxq6}aJ$$v8b_t}|7x`gHPHMHUXvvu@r?$?QH~l|"
        "`vJQltrOEgDDW{3T&l5i^W}_8qU1MfjH0jht8!j7jpjQWA2hDI-6U^|<VE^6=}#7^q"
        "p6=?{W48%Ob>CS#f~)7n0q@%&ztBuoh!e*`jSk5azo}CiRUVthJaR4gVN4#fBD1re-"
        "!0oS~m@eI?WI6QI+1GuR@9yhNyfQt5i(mCVJ2PUu1jzaPP&l;p<m;2E`RY&I5(gdym"
        ")e3}62Ys<Q%M*86VclM1-+(1W|>cT7WnmzAh$wW=+sTBE9$RlT~P)*E$|e6BYt4OLg"
        "m4ZT*bRqHkC^53S7io{2exfH0`*k|%&7(3)V@jH|SleIsQg6@mxh+`znCrfuS#qSOH"
        "L+3?SB3ZfPDG6Ibsfy2%$qE}yk&h&FQ0G}JSuAO+m^;9<ES9X2H1=x(D`&A}S){Q)5"
        "}2OFk{O-GrbiC2N)}6|vXVB*v16WNGP!2bE;)B}+AmqMe0>mjL7Gea`$>-vL_U5m@1"
        "GZPesCP{{AJfhWX_DScpm#7^xoO+"
    ),
    "legacy": (
        "c-nQ6NpI6Y6oAJ|5-_xsowAnQVF|J0X5rEZp$ci(YA(JY%XNm@$k=)IBoauKa!Dxs1"
        "`Ztg8T~u_1SAf;vD1{6V9B2Go0;!>e$ONMs}}wKw*G77{g2nnwUPYdr-ILIAiA?e2<"
        "fK@Py8fuhb+y)BnAmLI19KEg`7vsWpOX`Vvu(n4TJn+pSfB1iDjT{gQ`0v3}!)+awt"
        "*RQSdE{Ih3jDsDhEiTTr3uV1P~^H4*bUS~Bfb+G8o}Jq>-X0jb&`>5haaJdk~!q<&C"
        "y2Rw{2%}v?nAdGr0XK|LK?$Fdg(RHUH#JJPjVxSgBwDl<Q_?sfALCIOfJsqoUG|akT"
        "G+L{53(9$pet&>zm0xl=vOx(|s62tARHDiRv@d~3=NO0MHZ0^hZNg%J%3x3PB=;E2n"
        "d!v7$uO*@)ihfsECm%Rqv515$YVG~r7@f?=w~>bwc%V&58(U(`ZF(jHzQv-Ozs#aEF"
        ")P$@<l<Gs5F5~#c;WxU*T}ohHE)JhLr>K=h%@M{rUlV+q4>3p&L{BO{7<=1@RV#+cw"
        "<EiG8^HpAPlC)ce3VOEu67X;3<B=vWq1r-plZ{$sc=9uErBLk=|?9_{2W_0M3~VCLE"
        "(H2!7o_tgrDey(m%RaCnvn5}}@=FqX>vG@nyivNC2v!r=-mgkj6nfFENyp&3;CX?dY"
        "T_d~FbWYlPv&wXwt&ncFO#Z$`Ya%G(ILG^Y_YXs>?<D"
    ),
}


def _torch_file(tmp_path, kind):
    path = tmp_path / f"{kind}.pth"
    path.write_bytes(zlib.decompress(base64.b85decode(PTH[kind])))
    return path


@pytest.mark.parametrize("kind", PTH)
def test_files_of_pytorch(tmp_path, kind):
    state = read_torch(_torch_file(tmp_path, kind))
    expected = {
        "a": [[0, 3], [1, 4], [2, 5]],
        "b": [1.5, -2],
        "h": [[0.5]],
        "n": 7,
        "p": [3],
        "v": [4, 5],
    }
    assert list(state) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(state[name], values)
        assert state[name].shape == np.shape(values)


@pytest.mark.parametrize("kind", PTH)
def test_damaged_files_of_pytorch(tmp_path, kind):
    path = _torch_file(tmp_path, kind)
    content = path.read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=rf"{kind}\.pth"):
            read_torch(path)


def test_a_pickle_cannot_run_code(tmp_path):
    # "print" called with "boo", in the oldest pickle protocol.
    (tmp_path / "evil.pth").write_bytes(b"cbuiltins\nprint\n(S'boo'\ntR.")
    with pytest.raises(InputError, match=r"builtins\.print"):
        read_torch(tmp_path / "evil.pth")


def test_safetensors(tmp_path):
    floats = np.float32([[1.5, -2.0, 0.15625]])
    bits = (floats.view(np.uint32) >> 16).astype(np.uint16)
    path = write_safetensors(
        tmp_path / "a.safetensors", {"f": floats, "b": bits, "n": np.array(3)}
    )
    state = read_safetensors(path)
    np.testing.assert_array_equal(state["f"], floats)
    # These three numbers are bfloat16 numbers, too.
    np.testing.assert_array_equal(state["b"], floats)
    assert state["n"] == 3 and state["n"].shape == ()
    content = path.read_bytes()
    for damaged in (b"", content[:30], content[:-1], b"\xff" * 8 + content[8:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.safetensors"):
            read_safetensors(path)


@pytest.fixture(scope="module")
def state():
    return torchvision_state()


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchvision")
    return write_safetensors(folder / "small.safetensors", state)


@pytest.mark.parametrize("size", [(96, 128), (101, 75)])
def test_features_are_torchvisions(state, file, size):
    source = describe(file)
    assert (source.format, source.backbone) == ("torchvision", "resnet_small")
    model = network_for(source, local_stride=16)
    report = load_pretrained(model, file)
    images = pictures(*size, batch=2)
    expected = torchvision_forward(state, images)
    for actual, stage in zip(blocks(model, images), expected[2:]):
        assert relative_error(actual, stage) < 1e-5
    assert report.variables == {
        "backbone": len(model.trunk.variables) + len(model.conv5.variables)
    }
    # Two of the classifier, one counter for each normalisation.
    norms = sum(name.endswith("running_mean") for name in state)
    assert len(report.left_out) == 2 + norms
    assert report.untouched == (
        *("whitening", "attention", "local_reduction"),
        *("global_head", "local_head"),
    )


def test_names_behind_a_wrapper(state, tmp_path, file):
    wrapped = {f"module.{name}": array for name, array in state.items()}
    path = write_safetensors(tmp_path / "wrapped.safetensors", wrapped)
    a, b = network_for(describe(file)), network_for(describe(path))
    load_pretrained(a, file)
    load_pretrained(b, path)
    for name, variable in variables_by_name(a).items():
        if name.startswith(("conv1_", "block")):
            np.testing.assert_array_equal(variable, variables_by_name(b)[name])


def test_another_epsilon_is_made_up_for(state, file):
    images = pictures(64, 64)
    expected = torchvision_forward(state, images)[3]
    for epsilon in (1e-5, 1e-3, 0.1):
        model = network_for(describe(file), bn_epsilon=epsilon)
        load_pretrained(model, file)
        assert relative_error(blocks(model, images)[1], expected) < 1e-5


# --- completeness ---------------------------------------------------------


def _change_and_load(tmp_path, state, **network):
    path = write_safetensors(tmp_path / "changed.safetensors", state)
    model = network_for(describe(path), **network)
    before = [variable.numpy() for variable in model.variables]
    try:
        load_pretrained(model, path)
    finally:
        for old, variable in zip(before, model.variables):
            np.testing.assert_array_equal(old, variable)


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda s: s.pop("layer3.1.bn2.running_var"),
            r"1 missing: block3_unit2_2_bn/moving_variance\.",
        ),
        (
            lambda s: s.pop("conv1.weight"),
            r"1 missing: conv1_conv/kernel\.",
        ),
        (
            lambda s: s.update({"layer1.0.conv2.extra": s["bn1.bias"]}),
            r"no part of .*: layer1\.0\.conv2\.extra\.",
        ),
        (
            lambda s: s.update({"layer2.0.conv4.weight": s["conv1.weight"]}),
            r"no part of .*: layer2\.0\.conv4\.weight\.",
        ),
        (
            lambda s: s.update({"bn1.weight": s["bn1.weight"][:-1]}),
            r"1 of another shape: conv1_bn/gamma is \(15,\) instead of \(16,\)",
        ),
        (
            lambda s: s.update(
                {"layer3.0.downsample.0.bias": s["layer3.0.bn1.bias"]}
            ),
            r"bias block3_unit1_shortcut_conv/bias of shape \(64,\)",
        ),
        (
            lambda s: s.update({"bn1.bias": s["bn1.bias"] * np.float32("nan")}),
            r"bn1\.bias has values that are not finite",
        ),
    ],
    ids=["lost", "no stem", "more", "odd", "shape", "bias", "nan"],
)
def test_incomplete_files_name_the_array(tmp_path, state, change, words):
    changed = dict(state)
    change(changed)
    with pytest.raises(InputError, match=words):
        _change_and_load(tmp_path, changed)


def test_another_network_is_named(tmp_path, state):
    deep = torchvision_state((3, 4, 23, 3), width=1)
    with pytest.raises(
        InputError, match=r"'resnet50'.*\(3, 4, 23, 3\).*resnet101"
    ):
        _change_and_load(tmp_path, deep, backbone="resnet50")
    # ResNet-18 has two convolutions a unit; one unit less is no known network.
    short = {k: v for k, v in state.items() if not k.startswith("layer3.1")}
    with pytest.raises(InputError, match=r"\(1, 1, 1, 1\).*no network known"):
        _change_and_load(tmp_path, short, backbone="resnet_small")


def test_another_input_or_geometry_is_refused_unless_wanted(file):
    source = describe(file)
    wrong = {
        "input_normalisation": "delg",
        "stride_position": "first_unit_1x1",
        "stem": "official",
    }
    for field, value in wrong.items():
        model = network_for(source, **{field: value})
        with pytest.raises(InputError, match=f"{field} is '{value}'"):
            load_pretrained(model, file)
    report = load_pretrained(model, file, check_network=False)
    assert report.parameters > 0


def test_weights_reach_all_replicas(state, file):
    strategy = tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    with strategy.scope():
        model = network_for(describe(file))
    load_pretrained(model, file)
    kernel = variables_by_name(model)["conv1_conv/kernel"]
    copies = strategy.experimental_local_results(kernel)
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_array_equal(
            copy.numpy(), state["conv1.weight"].transpose(2, 3, 1, 0)
        )
    keras.backend.clear_session()
