import pytest
import torch
from typer.testing import CliRunner

from core import Segmenter, UserError, load_segmenter
from core.cli import app
from core.models import segmenter_from_factory
from core.models.factory import is_factory

SOURCE = """
from torch import nn
from core import Segmenter, UserError

def segmenter():
    return Segmenter(nn.Conv2d(1, 2, 1), in_channels=1, mean=0.5, name="mine")

def module():
    return nn.Conv2d(3, 2, 1)

def number():
    return 3

def fails():
    raise KeyError("weights are missing")

def complains():
    raise UserError("Give the weights.")

def needs(argument):
    return argument

constant = 3
"""


@pytest.fixture
def package(write_package):
    write_package("own_networks", vessels=SOURCE, broken="import module_that_is_not_there", wrong="1 / 0")


@pytest.mark.usefixtures("package")
def test_a_segmenter_is_taken_as_it_is():
    segmenter = segmenter_from_factory("own_networks.vessels:segmenter", "cpu")
    assert (segmenter.name, segmenter.mean, segmenter.in_channels) == ("mine", (0.5,), 1)


@pytest.mark.usefixtures("package")
def test_a_module_becomes_a_segmenter_wherever_weights_are_named():
    segmenter = load_segmenter("own_networks.vessels:module", "cpu")
    assert isinstance(segmenter, Segmenter)
    assert segmenter.name == "own_networks.vessels:module"
    image = torch.rand(3, 4, 5)
    torch.testing.assert_close(segmenter.logits(image), segmenter.module(image[None]))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("own_networks.vessels:nothing", "The module own_networks.vessels has no function nothing"),
        ("own_networks.vessels:constant", "has no function constant"),
        ("own_networks.vessels:number", "returned a int; a factory returns a Segmenter or a torch.nn.Module"),
        ("own_networks.vessels:fails", "failed with KeyError: 'weights are missing'"),
        ("own_networks.vessels:complains", "Give the weights."),
        ("own_networks.vessels:needs", "failed with TypeError"),
        ("own_networks.arteries:segmenter", "There is no module own_networks.arteries in"),
        ("other_networks.vessels:segmenter", "There is no module other_networks in"),
        (
            "own_networks.broken:segmenter",
            "failed with ModuleNotFoundError: No module named 'module_that_is_not_there'",
        ),
        ("own_networks.wrong:segmenter", "failed with ZeroDivisionError: division by zero"),
        (
            "own_networks.vessels",
            "is not the name of a function; give it as package.module:function or path/to/file.py",
        ),
        ("own_networks/vessels.py:nothing", "The file own_networks/vessels.py has no function nothing"),
        ("own_networks/vessels.py:number", "returned a int; a factory returns a Segmenter or a torch.nn.Module"),
        ("own_networks/vessels.py:fails", "failed with KeyError: 'weights are missing'"),
        (
            "own_networks/arteries.py:segmenter",
            "There is no file own_networks/arteries.py; give path/to/file.py:function",
        ),
        ("own_networks/broken.py:segmenter", "failed with ModuleNotFoundError: No module named 'module_that_is_not_"),
        ("own_networks/wrong.py:segmenter", "failed with ZeroDivisionError: division by zero"),
        (
            "core.networks:make",
            r"no module core.networks .*; core is WhyPixel's own package here, so name the file, core/networks.py:func",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence(factory, message):
    with pytest.raises(UserError, match=message) as error:
        segmenter_from_factory(factory, "cpu")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("package")
def test_a_factory_is_not_half_overruled():
    with pytest.raises(UserError, match="says all of its network itself"):
        load_segmenter("own_networks.vessels:module", "cpu", mean=0.5)


@pytest.mark.usefixtures("package")
def test_on_the_command_line():
    result = CliRunner().invoke(app, ["info", "--weights", "own_networks.vessels:segmenter", "--size", "16", "24"])
    assert result.exit_code == 0
    assert "own_networks.vessels:segmenter (Conv2d)" in result.output
    assert "mean 0.5, std 1" in result.output
    assert "0 rows up, 0 down, 0 columns left, 0 right" in result.output


def test_what_has_the_form_of_a_factory():
    assert is_factory("package.module:function")
    assert is_factory("module:function")
    for path in (
        "nets.py",
        "path/to/nets.py",
        "../my nets/v1.2.py",
        "/home/me/nets.py",
        r"C:\me\nets.py",
        "C:/nets.py",
    ):
        assert is_factory(f"{path}:make")
    for name in (
        "nets.py",
        "nets.py:",
        "nets.py:a b",
        ".py:make",
        "weights/vessmap.safetensors",
        "vessmap",
        "C:/weights.pth",
        "a:b:c",
        "module:",
        ":function",
        "a b:c",
    ):
        assert not is_factory(name)
