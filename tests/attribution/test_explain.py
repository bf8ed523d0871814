from dataclasses import replace

import numpy as np
import pytest
import torch

from core import Segmenter, Target, UserError
from core.attribution import cam as cam_function
from core.attribution import gradient, gradient_x_input, integrated_gradients, occlusion, smoothgrad
from core.attribution.cam import cam_methods, gradient_methods, layer_advice
from core.attribution.registry import METHODS, explain, explain_each, importance, predicted_drops, quick_methods
from core.models import UNet
from tests.networks import IMAGE_1_TO_9, TinySeg

MASK = np.zeros((3, 3), dtype=bool)
MASK[1, 1] = MASK[2, 2] = True
TINY_TARGET = Target.region(MASK, 1)
SMALL = {"n_steps": 4, "n_samples": 3, "patch": 8, "stride": 4}
TARGET = Target.region(np.eye(20, 24), 1, "probability")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Segmenter(UNet(3, 2, depth=2, width=4), size_multiple=4)


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))


def _tiny() -> Segmenter:
    return Segmenter(TinySeg(), in_channels=1)


def test_names():
    assert len(METHODS) == 13
    assert len({method.title for method in METHODS.values()}) == 13
    assert set(METHODS) - set(quick_methods()) == {"score_cam", "ablation_cam"}


@pytest.mark.parametrize("method", list(METHODS))
def test_each_method_runs_and_gives_maps_of_the_images_size(network, image, method):
    found = explain(network, image, TARGET, method, SMALL)
    assert found.method == method
    for values in (importance(found), predicted_drops(found, image, np.zeros((3, 20, 24)))):
        assert values.shape == (20, 24)
        assert np.isfinite(values).all()
    assert predicted_drops(found, image, np.zeros((3, 20, 24))).any()
    assert importance(found).dtype == np.float32
    assert predicted_drops(found, image, np.zeros((3, 20, 24))).dtype == np.float64


def test_settings_reach_their_methods(network, image):
    settings = SMALL | {
        "baseline": "blur", "sigma": 2.0, "noise": 0.3, "fill": "random", "seed": 5, "layer": "encoder.1",
        "window": (2, 1),
    }  # fmt: skip
    found = dict(explain_each(network, image, TARGET, list(METHODS), settings))
    given = network, image, TARGET
    expected = {
        "gradient": gradient(*given),
        "gradient_x_input": gradient_x_input(*given),
        "smoothgrad": smoothgrad(*given, 3, 0.3, 5),
        "integrated_gradients": integrated_gradients(*given, "blur", 4, sigma=2.0),
        "occlusion": occlusion(*given, 8, 4, "random", seed=5),
    }
    for method in cam_methods():
        window = (2, 1) if method == "seg_xres_cam" else None
        expected[method] = cam_function(*given, "encoder.1", method, window)
    for method, attribution in expected.items():
        np.testing.assert_allclose(found[method].values, attribution.values, rtol=1e-4, atol=1e-7)
        assert found[method].parameters.keys() == attribution.parameters.keys()


def test_several_are_the_same_as_each_and_come_in_order(network, image):
    order = ["layer_cam", "occlusion", "gradient", "seg_xres_cam", "ablation_cam"]
    together = list(explain_each(network, image, TARGET, order, SMALL))
    assert [name for name, _ in together] == order
    for name, attribution in together:
        alone = explain(network, image, TARGET, name, SMALL)
        np.testing.assert_allclose(attribution.values, alone.values, rtol=1e-5, atol=1e-8)
        assert attribution.manifest()["parameters"] == alone.manifest()["parameters"]


def test_gradient_cams_share_one_pass(network, image):
    runs = []
    handle = network.module.register_forward_hook(lambda *_: runs.append(1))
    try:
        found = dict(explain_each(network, image, TARGET, gradient_methods(), SMALL | {"layer": "encoder.2"}))
    finally:
        handle.remove()
    assert len(runs) == 1
    assert set(found) == set(gradient_methods())


def test_the_suggested_layer_is_taken(network, image):
    assert explain(network, image, TARGET, "layer_cam").layer == layer_advice(network, (20, 24)).suggested


def test_each_comes_as_soon_as_it_is_there(network, image):
    runs = []
    handle = network.module.register_forward_hook(lambda *_: runs.append(1))
    try:
        results = explain_each(network, image, TARGET, ["gradient", "smoothgrad"], SMALL)
        assert not runs
        next(results)
        assert len(runs) == 1
    finally:
        handle.remove()


def test_progress_counts_the_passes_of_all(network, image):
    seen = []
    methods = ["gradient", "smoothgrad", "layer_cam", "xgrad_cam", "score_cam", "occlusion", "integrated_gradients"]
    settings = SMALL | {"layer": "encoder.2"}  # 16 channels
    list(explain_each(network, image, TARGET, methods, settings, lambda *a: seen.append(a)))
    total = 1 + 3 + 1 + 16 + 4 * 5 + 4
    assert {of for _, of in seen} == {total}
    done = [part for part, _ in seen]
    assert done == sorted(done)
    assert done[-1] == total
    assert {1, 4, 5, 21, 41, 45} <= set(done)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain(network, image, TARGET, "occlusion", SMALL, stop)


def test_importance_of_tiny_seg_by_hand():
    settings = {"layer": "relu", "patch": 1, "stride": 1, "fill": "zero"}
    found = dict(
        explain_each(
            _tiny(), IMAGE_1_TO_9, TINY_TARGET, ["gradient", "gradient_x_input", "occlusion", "layer_cam"], settings
        )
    )
    assert importance(found["gradient"]).tolist() == [[1, 1, 1], [1, 2, 2], [1, 2, 2]]
    assert importance(found["gradient_x_input"]).tolist() == [[-1, -2, -3], [-4, 10, -12], [-7, -16, 18]]
    assert importance(found["occlusion"]).tolist() == [[-1, -2, -3], [-4, -2, -12], [-7, -16, 6]]
    assert importance(found["layer_cam"]).tolist() == [[0, 0, 0], [0, 8, 0], [0, 0, 24]]


def test_predicted_drops_of_tiny_seg_by_hand():
    settings = {"layer": "relu", "n_steps": 64}
    found = dict(
        explain_each(
            _tiny(),
            IMAGE_1_TO_9,
            TINY_TARGET,
            ["gradient", "integrated_gradients", "seg_hires_grad_cam"],
            settings,
        )
    )
    fill = np.ones((1, 3, 3))
    drops = {name: predicted_drops(attribution, IMAGE_1_TO_9, fill) for name, attribution in found.items()}
    assert drops["gradient"].tolist() == [[0, -1, -2], [-3, 8, -10], [-6, -14, 16]]
    assert drops["seg_hires_grad_cam"].tolist() == [[0, 0, 0], [0, -27, 0], [0, 0, 6]]
    np.testing.assert_allclose(drops["integrated_gradients"].sum(), -21, rtol=0.02)
    assert importance(found["seg_hires_grad_cam"]).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 6]]


def test_mistakes(network, image):
    with pytest.raises(UserError, match='"magic" was given'):
        explain_each(network, image, TARGET, ["gradient", "magic"])
    with pytest.raises(UserError, match="every pixel is covered"):
        explain(network, image, TARGET, "occlusion", {"patch": 4, "stride": 8})
    found = explain(network, image, TARGET, "gradient")
    with pytest.raises(UserError, match="one size"):
        predicted_drops(found, image, np.zeros((3, 1, 1)))
    other = replace(found, method="influence")
    for read in (importance, lambda found: predicted_drops(found, image, np.zeros((3, 20, 24)))):
        with pytest.raises(UserError, match='this map is of "influence"'):
            read(other)
