import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from core import UserError
from core.models import CheckpointInfo, CustomResNet, build_module, save_checkpoint
from core.models.adapters import onnx_files
from tests.pages.viewer_data import viewers
from widgets.shared import uploader
from widgets.shared.model_picker import UPLOAD
from widgets.shared.networks import numbers_in
from widgets.shared.start_arguments import repeated

ROOT = Path(__file__).resolve().parents[3]
FACTORY = "streamlit_networks:vessels"
SOURCE = """
from torch.nn import Conv2d, Sequential, Sigmoid
from core import Segmenter
from core.models import CustomResNet

def vessels():
    return Segmenter(CustomResNet(width=2), in_channels=1, name="my vessels")

def colour():
    return CustomResNet(in_channels=3, width=2)

def lesions():
    return Segmenter(Sequential(Conv2d(1, 3, 3, padding=1), Sigmoid()), in_channels=1, class_names=("a", "b", "c"))
"""


def _page():
    import streamlit as st

    from widgets.shared.model_picker import pick_model
    from widgets.shared.user_errors import show_user_errors

    with show_user_errors():
        segmenter = pick_model()
        st.write(f"{segmenter.name}: {type(segmenter.module).__name__}")
        st.write(f"channels {segmenter.in_channels}, classes {segmenter.num_classes}")
        st.write(f"mean {segmenter.mean}, std {segmenter.std}")
        st.text(", ".join(segmenter.class_names))


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    (tmp_path / "streamlit_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("streamlit_networks", None)


def _uploaded(content: bytes, name: str = "mine.pth") -> AppTest:
    page = AppTest.from_function(_page, default_timeout=120).run()
    page.selectbox(key="model").set_value(UPLOAD).run()
    assert "--model package.module:function" in page.info[0].value
    assert any(caption.value == "Until then, vessmap stays." for caption in page.caption)
    assert page.markdown[0].value == "vessmap: CustomResNet"
    return page.file_uploader[0].upload(name, content).run()


def _asked(page: AppTest, label: str) -> Any:
    """The widget that asks for what a file does not state."""
    asking = (*page.selectbox, *page.number_input, *page.text_input)
    return next(widget for widget in asking if widget.label == label)


def _written(page: AppTest) -> list[str]:
    assert not page.exception
    assert not page.error
    return [entry.value for entry in page.markdown]


def _saved(module: nn.Module) -> bytes:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return file.getvalue()


def test_factories_on_the_command_line():
    assert repeated("--model", "Name a function.", []) == []
    given = ["--model", "a:b", "--other", "--model=c.d:e", "rest", "--model", "a:b", "--images", "x"]
    assert repeated("--model", "Name a function.", given) == ["a:b", "c.d:e"]
    assert repeated("--images", "Name a folder.", given) == ["x"]
    with pytest.raises(UserError, match="Name a function"):
        repeated("--model", "Name a function.", ["--model"])


def test_numbers():
    assert numbers_in("0.485, 0.456 0.406", "mean") == [0.485, 0.456, 0.406]
    with pytest.raises(UserError, match="The mean is one number, or one per channel"):
        numbers_in("a half", "mean")


@pytest.mark.usefixtures("own_code")
def test_the_users_own_networks_come_first_in_the_app(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", FACTORY, "--model", "streamlit_networks:colour"])
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    page.query_params["image"] = "formats/not_square"
    page.run()
    assert not page.exception
    assert not page.error
    choice = page.selectbox(key="model")
    assert choice.options[:2] == [FACTORY, "streamlit_networks:colour"]
    assert choice.options[-1] == UPLOAD
    assert choice.value == FACTORY
    assert viewers(page)
    choice.set_value("vessmap").run()
    assert not page.error


@pytest.mark.usefixtures("own_code")
def test_a_factory_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", "streamlit_networks:arteries"])
    page = AppTest.from_function(_page, default_timeout=120).run()
    assert not page.exception
    assert page.error[0].value.startswith("The module streamlit_networks has no function arteries")


@pytest.mark.usefixtures("own_code")
def test_one_of_the_labels_that_may_overlap_is_chosen(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", "streamlit_networks:lesions"])
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120).run()
    assert not page.exception
    assert not page.error
    assert page.selectbox(key="label").options == ["a", "b", "c"]
    page.selectbox(key="label").set_value("b").run()
    assert page.query_params["label"] == "b"
    assert "One of its 3 labels is explained against its absence." in [each.value for each in page.caption]


def test_labels_may_overlap_where_the_result_does_not_show_it(tmp_path):
    """As of a network trained on a sigmoid per label that returns the logits."""
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 3, "width": 2})
    path = save_checkpoint(tmp_path / "w.safetensors", CustomResNet(num_classes=3, width=2), info)
    page = _uploaded(path.read_bytes(), "w.safetensors")
    assert page.text[0].value == "class 0, class 1, class 2"
    page.selectbox(key="label").set_value("label 1").run()
    assert page.text[0].value == "not label 1, label 1"
    page.selectbox(key="model").set_value("vessmap").run()
    assert [each.key for each in page.selectbox] == ["model"]
    assert page.text[0].value == "background, vessel"
    assert not page.exception


def test_a_factory_may_be_named_by_its_file(tmp_path, monkeypatch):
    """In a project with a package `core` of its own, and with a colon in its folder's name as on Windows."""
    (tmp_path / "C:" / "core").mkdir(parents=True)
    (tmp_path / "C:" / "core" / "sizes.py").write_text("WIDTH = 3")
    source = SOURCE.replace("from core", "from whypixel").replace("width=2", "width=WIDTH")
    (tmp_path / "C:" / "nets.py").write_text(f"from core.sizes import WIDTH\n{source}")
    factory = f"{tmp_path}/C:/nets.py:vessels"
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", factory])
    page = AppTest.from_function(_page, default_timeout=120).run()
    assert page.selectbox(key="model").value == factory
    assert _written(page)[0] == "my vessels: CustomResNet"


def test_a_folder_of_transformers_is_named_as_a_function_is(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path / "streets")
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", str(tmp_path / "streets")])
    page = AppTest.from_function(_page, default_timeout=120).run()
    assert _written(page)[0] == "streets: SegformerForSemanticSegmentation"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter that needs no further package
def test_files_are_named_as_functions_are(tmp_path, monkeypatch):
    pytest.importorskip("onnx2torch")
    own, exported = str(tmp_path / "own.safetensors"), str(tmp_path / "exported.onnx")
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,))
    save_checkpoint(own, CustomResNet(width=2), info)
    images = (torch.rand(1, 1, 64, 64),)
    torch.onnx.export(nn.Conv2d(1, 2, 3, padding=1), images, exported, dynamo=False, opset_version=17)
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", own, "--model", exported])
    page = AppTest.from_function(_page, default_timeout=120).run()
    assert _written(page)[0] == "own: CustomResNet"
    page.selectbox(key="model").set_value(exported).run()
    assert _written(page)[:2] == ["exported: _Converted", "channels 1, classes 2"]
    assert any("does not state how images were normalised" in caption.value for caption in page.caption)


def test_a_recognised_upload_offers_its_normalisation():
    content = _saved(build_module("smp_unet", {"encoder_name": "resnet18", "num_classes": 1}))
    page = _uploaded(content)
    assert _written(page) == ["mine: Unet", "channels 3, classes 2",
                              "mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)"]  # fmt: skip
    assert any("Architecture smp_unet recognised" in caption.value for caption in page.caption)
    _asked(page, "Normalisation").set_value("none").run()
    assert _written(page)[-1] == "mean (0.0, 0.0, 0.0), std (1.0, 1.0, 1.0)"
    _asked(page, "Normalisation").set_value("numbers").run()
    _asked(page, "Mean").set_value("0.1, 0.2, 0.3").run()
    _asked(page, "Std").set_value("0.25").run()
    assert _written(page)[-1] == "mean (0.1, 0.2, 0.3), std (0.25, 0.25, 0.25)"
    _asked(page, "Std").set_value("a quarter").run()
    assert page.error[0].value.startswith("The std is one number")


def test_an_upload_that_is_not_recognised_is_asked_about():
    """Without normalisation in its decoder, which is read from no shape; the encoder and the classes are."""
    arguments = {"encoder_name": "resnet34", "num_classes": 4, "in_channels": 2, "decoder_use_norm": False}
    page = _uploaded(_saved(build_module("smp_unet", arguments)))
    assert not page.exception
    assert not page.error
    assert "name the architecture" in page.info[0].value
    _asked(page, "Architecture").set_value("smp_unet").run()
    assert _asked(page, "Encoder").value == "resnet34"
    assert (_asked(page, "Channels of the image").value, _asked(page, "Channels of the output").value) == (2, 4)
    assert "do not fit the architecture smp_unet" in page.error[0].value
    _asked(page, "Further arguments").set_value("[4]").run()
    assert page.error[0].value.startswith("Further arguments are a JSON object")
    _asked(page, "Further arguments").set_value("[" * 100_000).run()
    assert page.error[0].value.startswith("Further arguments are a JSON object")
    for text, problem in (
        ('{"encoder_depth": 1000000}', "encoder_depth is a number beyond"),
        ('{"in_channels": "x"}', "in_channels is 'x'"),
        ('{"in_channels": NaN}', "the argument in_channels is not a finite number"),
    ):
        _asked(page, "Further arguments").set_value(text).run()
        assert not page.exception
        assert page.error[0].value.startswith("Further arguments cannot be used: ")
        assert problem in page.error[0].value
    _asked(page, "Further arguments").set_value('{"decoder_use_norm": false}').run()
    assert _written(page) == ["mine: Unet", "channels 2, classes 4", "mean (0.0, 0.0), std (1.0, 1.0)"]
    assert _asked(page, "Normalisation").options == ["None", "Numbers…"], "ImageNet's is for three channels"


def test_an_upload_that_several_networks_fit_offers_these_first():
    page = _uploaded(_saved(build_module("smp_pspnet", {"encoder_name": "vgg11", "num_classes": 2})))
    assert "alike" in page.info[0].value
    assert _asked(page, "Architecture").options[0] == "smp_pspnet"
    _asked(page, "Architecture").set_value("smp_pspnet").run()
    assert _written(page)[:2] == ["mine: PSPNet", "channels 3, classes 2"]


def test_a_timm_encoder_is_asked_for():
    page = _uploaded(_saved(build_module("smp_unet", {"encoder_name": "tu-resnet18", "num_classes": 4})))
    _asked(page, "Architecture").set_value("smp_unet").run()
    assert page.info[0].value == "Choose the network's encoder."


def test_an_upload_with_more_channels_than_any_image_is_still_asked_about():
    """The keys of the encoder tell 1001 channels, one more than can be chosen."""
    shapes = {"encoder_name": "resnet18", "num_classes": 4}
    state_dict = build_module("smp_unet", shapes | {"decoder_use_norm": False}).state_dict()
    state_dict["encoder.conv1.weight"] = torch.zeros(64, 1001, 7, 7)
    file = io.BytesIO()
    torch.save(state_dict, file)
    page = _uploaded(file.getvalue())
    _asked(page, "Architecture").set_value("smp_unet").run()
    assert not page.exception
    assert _asked(page, "Channels of the image").value == 1000


def test_an_upload_that_says_all_is_not_asked_about(tmp_path):
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,))
    path = save_checkpoint(tmp_path / "w.safetensors", CustomResNet(width=2), info)
    page = _uploaded(path.read_bytes(), "w.safetensors")
    assert _written(page) == ["w: CustomResNet", "channels 1, classes 2", "mean (0.5,), std (1.0,)"]
    assert [box.key for box in page.selectbox] == ["model"]


def test_a_network_is_kept_with_its_options_and_not_asked_about_again(tmp_path, monkeypatch):
    monkeypatch.setattr(uploader, "browser_token", lambda: "one browser")
    monkeypatch.setenv("WHYPIXEL_FILES", str(tmp_path))
    arguments = {"encoder_name": "resnet18", "num_classes": 4, "in_channels": 2, "decoder_use_norm": False}
    page = _uploaded(_saved(build_module("smp_unet", arguments)), "street.pth")
    assert page.selectbox(key="model").value == "street.pth"
    assert page.markdown[0].value == "vessmap: CustomResNet", "until the questions are answered"
    _asked(page, "Architecture").set_value("smp_unet").run()
    _asked(page, "Further arguments").set_value('{"decoder_use_norm": false}').run()
    _asked(page, "Normalisation").set_value("numbers").run()
    _asked(page, "Mean").set_value("0.25, 0.5").run()
    answered = _written(page)
    assert answered == ["street: Unet", "channels 2, classes 4", "mean (0.25, 0.5), std (0.5, 0.5)"]
    assert not page.expander
    reloaded = AppTest.from_function(_page, default_timeout=120)
    reloaded.query_params["model"] = "street.pth"
    reloaded.run()
    assert _written(reloaded) == answered
    assert reloaded.selectbox(key="model").options[-2:] == ["street.pth", UPLOAD]
    assert [expander.label for expander in reloaded.expander] == ["Options of street.pth"]
    _asked(reloaded, "Normalisation").set_value("none").run()
    assert _written(reloaded.run())[-1] == "mean (0.0, 0.0), std (1.0, 1.0)"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter that needs no further package
def test_an_onnx_file_is_uploaded_kept_and_normalised_as_chosen(tmp_path, monkeypatch):
    pytest.importorskip("onnx2torch")
    monkeypatch.setattr(uploader, "browser_token", lambda: "one browser")
    monkeypatch.setenv("WHYPIXEL_FILES", str(tmp_path))
    file = io.BytesIO()
    torch.onnx.export(nn.Conv2d(3, 2, 3, padding=1), (torch.rand(1, 3, 64, 64),), file, dynamo=False, opset_version=17)
    page = _uploaded(file.getvalue(), "streets.onnx")
    assert _written(page) == ["streets: _Converted", "channels 3, classes 2", f"mean {(0.0,) * 3}, std {(1.0,) * 3}"]
    assert any("differs from ONNX Runtime by" in caption.value for caption in page.caption)
    _asked(page, "Normalisation").set_value("imagenet").run()
    reloaded = AppTest.from_function(_page, default_timeout=120)
    reloaded.query_params["model"] = "streets.onnx"
    reloaded.run()
    assert _written(reloaded)[0] == "streets: _Converted"
    assert _written(reloaded)[2] == "mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_file_that_cannot_be_explained_is_refused_in_one_sentence_and_not_kept(monkeypatch):
    pytest.importorskip("onnx2torch")
    file = io.BytesIO()
    torch.onnx.export(nn.Conv2d(1, 2, 3, padding=1), (torch.rand(1, 1, 64, 64),), file, dynamo=False, opset_version=17)
    whole = file.getvalue()

    def refused(content: bytes) -> str:
        page = _uploaded(content, "net.onnx")
        assert not page.exception
        assert "net.onnx" not in page.selectbox(key="model").options
        assert page.markdown[0].value == "vessmap: CustomResNet"
        (error,) = page.error
        return error.value

    assert refused(whole[: len(whole) // 2]).startswith("net.onnx is not a whole ONNX file: ")
    with monkeypatch.context() as context:
        context.setattr(onnx_files, "_difference", lambda *_: 2e-4)
        assert refused(whole).startswith(
            "net.onnx converted to torch gives other values than ONNX Runtime (they differ by 0.0002 of the largest"
        )
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    assert refused(whole).startswith("An ONNX file needs the package onnx2torch; install it with ")


def test_a_file_without_weights_is_refused_and_not_kept():
    page = _uploaded(b"nothing", "broken.pth")
    assert [error.value for error in page.error] == [
        "broken.pth is not a PyTorch checkpoint, although its name says so."
    ]
    assert len(page.toast) == 1
    assert "broken.pth" not in page.selectbox(key="model").options
    page.run()
    assert (len(page.error), len(page.toast)) == (1, 0)
    page.selectbox(key="model").set_value("fundus").run()
    assert not page.error


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vesmap", "There is no model “vesmap” here; did you mean “vessmap”?"),
        ("x", "There is no model “x” here."),
        ("mine.pth", "mine.pth is not here; upload the file again."),
    ],
)
def test_a_model_in_a_link_that_is_not_here_is_named_in_one_sentence(name, sentence):
    page = AppTest.from_function(_page, default_timeout=120)
    page.query_params["model"] = name
    page.run()
    assert [error.value for error in page.error] == [sentence]
    assert page.markdown[0].value == "vessmap: CustomResNet"
    page.selectbox(key="model").set_value("fundus").run()
    assert not page.error
