"""Networks of segmentation_models_pytorch, with encoders of its own and of timm, and of torchvision."""

from collections.abc import Callable
from functools import partial

import segmentation_models_pytorch as smp
import torchvision
from torch import Tensor, nn

from tests.conformance.network import NORMALISED, SIZES, Network

PLAIN_ENCODER = "resnet18"
TIMM_ENCODER = "tu-regnetx_002"
"""Its batch normalisations hold their activation (timm's BatchNormAct2d)."""
_LARGER_SIZES = ((128, 128), (125, 117), (128, 160))
"""PAN pools its features, a sixteenth of the image, three times more."""
_NEEDS_VISION_TRANSFORMER = ("dpt",)
_TRANSFORMER_ENCODER = "tu-test_vit"


class Then(nn.Module):
    """A network and what is done with its result."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Tensor) -> object:
        return self.change(self.network(images))


def smp_module(decoder: str, encoder: str, **arguments: object) -> nn.Module:
    arguments = {"classes": 3} | arguments
    return smp.create_model(decoder, encoder, encoder_weights=None, in_channels=3, **arguments)


def small_unet(**arguments: object) -> nn.Module:
    return smp_module("unet", PLAIN_ENCODER, **{"encoder_depth": 3, "decoder_channels": (16, 8, 8)} | arguments)


def torchvision_module(name: str) -> nn.Module:
    return getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, num_classes=4)


def fully_convolutional_network() -> nn.Module:
    """torchvision's FCN on a ResNet-18: its own ones have 50 layers and more."""
    backbone = torchvision.models.resnet18(weights=None)
    features = torchvision.models._utils.IntermediateLayerGetter(backbone, {"layer4": "out"})
    head = torchvision.models.segmentation.fcn.FCNHead(512, 4)
    return torchvision.models.segmentation.FCN(features, head)


def _smp_networks() -> dict[str, Network]:
    networks = {}
    for decoder in smp.MODEL_ARCHITECTURES_MAPPING:
        if decoder in _NEEDS_VISION_TRANSFORMER:
            continue
        for encoder in (PLAIN_ENCODER, TIMM_ENCODER):
            build = partial(smp_module, decoder, encoder)
            sizes = _LARGER_SIZES if decoder == "pan" else SIZES
            networks[f"smp-{decoder}+{encoder}"] = Network(build, sizes=sizes)
    build = partial(smp_module, "dpt", _TRANSFORMER_ENCODER, dynamic_img_size=True)
    networks[f"smp-dpt+{_TRANSFORMER_ENCODER}"] = Network(build)
    for encoder in ("tu-mobilenetv3_small_050", "tu-efficientnet_lite0", "mobilenet_v2"):
        networks[f"smp-unet+{encoder}"] = Network(partial(smp_module, "unet", encoder))
    one_channel = partial(smp_module, "unet", "tu-resnet18", classes=1)
    networks["smp-unet-one-channel+tu-resnet18"] = Network(one_channel, space="logit")
    return networks | {
        "smp-unet-softmax": Network(partial(small_unet, activation="softmax2d"), read=Tensor.log),
        "smp-unet-one-sigmoid": Network(partial(small_unet, activation="sigmoid", classes=1), read=Tensor.logit),
        "smp-unet-one-label": Network(
            partial(small_unet, activation="sigmoid"),
            options=NORMALISED | {"label": 2},
            read=lambda scores: scores[:, 2:].logit(),
        ),
        "smp-unet-one-label-logits": Network(
            small_unet, options=NORMALISED | {"label": 2}, space="logit", read=lambda scores: scores[:, 2:]
        ),
        "smp-unet-and-a-class": Network(partial(small_unet, aux_params={"classes": 3})),
        "smp-unet-classes-last": Network(
            lambda: Then(small_unet(), lambda scores: scores.movedim(1, -1)), read=lambda scores: scores.movedim(-1, 1)
        ),
    }


def _torchvision_networks() -> dict[str, Network]:
    builders = {
        name: partial(torchvision_module, name)
        for name in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")
    }
    builders["fcn_resnet18"] = fully_convolutional_network
    return {f"torchvision-{name}": Network(build) for name, build in builders.items()}


NETWORKS = _smp_networks() | _torchvision_networks()
