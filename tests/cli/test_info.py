import re

import numpy as np
import torch
from typer.testing import CliRunner

from core.cli import app
from core.models import build_module


def _info(*arguments):
    result = CliRunner().invoke(app, ["info", *map(str, arguments)])
    assert result.exit_code == 0, result.exception
    return result.output


def _value(output, name):
    return re.search(rf"^{name}  +(.*)$", output, re.MULTILINE).group(1)


def test_a_training_checkpoint_of_the_users(tmp_path):
    """ResNet-18 has strides 2, 4, 8, 16, 32 after its stem, its pooling and its layers."""
    module = build_module("smp_unet", {"encoder_name": "resnet18", "num_classes": 1})
    content = {"epoch": 3, "state_dict": module.state_dict(), "metrics": {"iou": np.float64(0.75)}}
    torch.save(content, tmp_path / "mine.pth")
    output = _info("--weights", tmp_path / "mine.pth", "--size", 64, 128)
    assert _value(output, "architecture") == "smp_unet (Unet)"
    assert _value(output, "arguments") == "encoder_name resnet18, in_channels 3, num_classes 1"
    assert _value(output, "scores") == "epoch 3, metrics (iou 0.75)"
    assert _value(output, "classes") == "0 class 0, 1 class 1"
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert _value(output, "parameters") == f"{parameters:,} ({4 * parameters / 1e6:.1f} MB)"
    assert _value(output, "normalisation") == "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225"
    assert "ImageNet's mean and std assumed" in _value(output, "note")
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.startswith("encoder.")}
    assert rows["encoder.conv1"] == ["Conv2d", "64", "32", "64", "2"]
    assert rows["encoder.maxpool"] == ["MaxPool2d", "64", "16", "32", "4"]
    assert rows["encoder.layer4"] == ["Sequential", "512", "2", "4", "32"]


def test_dense_networks_are_said_to_be_so():
    output = _info("--weights", "smp_unetplusplus", "--size", 64, 64)
    assert "fresh weights, seed 0" in _value(output, "note")
    assert not _value(output, "receptive field").startswith("dense")  # ResNet-34 and U-Net++ are convolutions only
    assert _value(_info("--weights", "smp_manet", "--size", 64, 64), "receptive field").startswith("dense")


def test_a_size_between_multiples_is_padded():
    output = _info("--weights", "vessmap", "--size", 50, 40)
    assert _value(output, "image sizes") == "multiples of 16; others are padded"
    assert re.search(r"^final +Conv2d +2 +64 +48 +1$", output, re.MULTILINE)


def test_the_label_that_is_asked_about(shell):
    code, out, _ = shell("info", "--model", "scenes", "--label", "car")
    assert code == 0
    assert "0 not car, 1 car" in out
    code, _, err = shell("info", "--model", "scenes", "--label", "lorry")
    assert (code, 'has no label "lorry"; its labels are road' in err) == (2, True)
    code, _, err = shell("info", "--model", "scenes", "--prompt", 3, 4)
    assert (code, "takes no point beside the image" in err) == (2, True)
