"""The shipped networks under test: noise never explains them best."""

from pathlib import Path

import pytest

from core import load_segmenter, read_image
from core.trust import EvaluationSettings, RemovalSettings
from core.trust.benchmark.measurement import BenchmarkSettings, evaluate_image
from core.trust.benchmark.summary import summarise

ROOT = Path(__file__).resolve().parents[2] / "sample_data"
IMAGES = {
    "vessmap": ROOT / "vessels" / "images" / "phantom_00.tiff",
    "fundus": ROOT / "fundus" / "test" / "images",
    "scenes": ROOT / "scenes" / "test" / "images",
}
SETTINGS = BenchmarkSettings(
    methods=("gradient", "seg_hires_grad_cam", "layer_cam"),
    metrics=("deletion", "insertion", "sensitivity_n"),
    n_targets=2,
    space="log_odds",
    evaluation=EvaluationSettings(RemovalSettings("probability"), {"n_steps": 6, "n_subsets": 24}),
)


@pytest.mark.parametrize("name", IMAGES)
def test_noise_is_never_the_best_explanation(name):
    path = IMAGES[name] if IMAGES[name].is_file() else min(IMAGES[name].iterdir())
    image = read_image(path)[:, :128, :128]
    measured = evaluate_image(load_segmenter(name, "cpu"), image, path.name, SETTINGS)
    best = {row.metric: row for row in summarise(measured, SETTINGS.metrics) if row.rank == 1}
    assert set(best) == set(SETTINGS.metrics)
    for metric, row in best.items():
        assert row.candidate not in ("random", "blurred_random"), metric
