import torch

from core.models import CustomResNet


def test_number_of_parameters_is_the_originals():
    assert sum(parameter.numel() for parameter in CustomResNet().parameters()) == 31_348_738


def test_parameter_names_are_the_originals():
    names = set(CustomResNet(width=1).state_dict())
    for name in ("conv1.weight", "bn1.weight", "resblock4.skip.0.weight", "resblock1.skip.1.bias", "resblock2.bn2.bias",
                 "upconv3.bias", "final.weight", "final.bias"):  # fmt: skip
        assert name in names
    assert "conv1.bias" not in names


def test_receptive_field_by_nan_probing():
    """An output at p is reached from [p - 62, p + 62] where p mod 16 = 0, else from [16k - 46, 16k + 62]."""
    network = CustomResNet(width=1).eval()
    images = torch.zeros(256, 1, 16, 256)
    images[range(256), :, :, range(256)] = float("nan")
    with torch.no_grad():
        reached = network(images)[:, 0].isnan().any(dim=1)  # (input position, output position)
    for output, (first, last) in {128: (66, 190), 129: (82, 190), 143: (82, 190), 127: (66, 174)}.items():
        inputs = reached[:, output].nonzero()
        assert (inputs.min().item(), inputs.max().item()) == (first, last)
