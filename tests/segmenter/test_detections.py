"""Networks that detect objects are refused in a sentence that says so."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection

from core import Segmenter, UserError


class Detector(nn.Module):
    """Answers as its first argument says, from a convolution of the image."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer, self.convolution = answer, nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: Tensor) -> object:
        return self.answer(self.convolution(images))


@pytest.mark.parametrize(
    "build",
    [
        lambda: detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, min_size=64),
        lambda: detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, min_size=64),
        lambda: Detector(lambda values: [SimpleNamespace(boxes=values[0].flatten(1), masks=None)]),
        lambda: Detector(lambda values: {"logits": values.flatten(2), "pred_boxes": values.flatten(2)}),
    ],
    ids=["instances", "boxes", "list of objects", "queries with boxes"],
)
def test_what_detects_objects_is_refused(build):
    with pytest.raises(UserError, match="detects objects"):
        Segmenter(build()).predict(torch.rand(3, 64, 96))
