"""U-Net++ with EfficientNet-B5 on a large image, from a checkpoint of a training loop, in a process of its own."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.models import build_module

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {"encoder_name": "efficientnet-b5", "num_classes": 1}
SIZE = 384
RUNS = """
import importlib, json, re, sys
from pathlib import Path
import core.cli
from core.models import load_segmenter

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def load(*arguments, **questions):
    segmenter = load_segmenter(*arguments, **questions)
    report.setdefault("loaded", peak())
    report.update(mean=segmenter.mean, notes=segmenter.notes, weights_sha256=segmenter.weights_hash)
    return segmenter

report, folder = {}, sys.argv[1]
importlib.import_module("core.cli.options").load_segmenter = load
common = ["ig", "--weights", f"{folder}/trained.pth", "--device", "cpu"]
core.cli.app([*common, "--images", f"{folder}/images", "--class", "1", "--steps", "1", "--out", f"{folder}/batch"],
             standalone_mode=False)
report["batch"] = peak()
core.cli.app([*common, "--image", f"{folder}/images/first.png", "--steps", "2", "--baseline", "mean",
              "--out", f"{folder}/single"], standalone_mode=False)
report["single"] = peak()
print(json.dumps(report))
"""


def graph_bytes(module: torch.nn.Module) -> int:
    """What autograd keeps of one forward pass, counted on tensors without memory."""
    module = module.to("meta").eval().requires_grad_(requires_grad=False)
    weights = {tensor.untyped_storage()._cdata for tensor in module.state_dict().values()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module(torch.zeros(1, 3, SIZE, SIZE, device="meta", requires_grad=True))
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of a process is read from /proc")
def test_a_training_checkpoint_runs_end_to_end_in_bounded_memory(tmp_path):
    torch.manual_seed(0)
    module = build_module("smp_unetplusplus", ARGUMENTS)
    optimizer = torch.optim.Adam(module.segmentation_head.parameters())
    content = {
        "epoch": 12,
        "model_state_dict": module.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "metrics": {"dice": np.float64(0.8)},
    }
    torch.save(content, tmp_path / "trained.pth")
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for stem in ("first", "second"):
        pixels = generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{stem}.png")

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", RUNS, str(tmp_path)], capture_output=True, text=True, check=False, env=environment
    )
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout.splitlines()[-1])
    assert report["mean"] == [0.485, 0.456, 0.406]
    assert any("ImageNet" in note for note in report["notes"])

    for folder, target in (("batch/first", 1), ("batch/second", 1), ("single/first", "predicted")):
        values = np.load(tmp_path / folder / "values.npy")
        assert values.shape == (3, SIZE, SIZE)
        assert np.isfinite(values).all()
        assert values.any()
        numbers = json.loads((tmp_path / folder / "statistics.json").read_text())
        manifest = json.loads((tmp_path / folder / "manifest.json").read_text())
        assert manifest["weights_sha256"] == report["weights_sha256"]
        assert manifest["target"]["class_index"] == target
        # The delta is Σ values minus the difference of the scores, however large it is after one step.
        gap = values.sum(dtype=np.float64) - numbers["score_difference"]
        assert numbers["convergence_delta"] == pytest.approx(gap, rel=1e-4, abs=1e-4 * float(np.abs(values).sum()))
        assert sum(numbers[f"channel_{index}_share"] for index in range(3)) == pytest.approx(1)
    with (tmp_path / "batch" / "statistics.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["first.png", "second.png"]

    # One graph must be held, and its backward pass frees it as it goes. Half a graph is left for what passes through;
    # a second graph, of a step or of an image before, does not fit below the bound.
    graph = graph_bytes(module)
    assert report["batch"] - report["loaded"] < 1.5 * graph
    assert report["single"] - report["batch"] < 0.5 * graph
    assert report["batch"] - report["loaded"] > 0.5 * graph  # or else the graph is not what was counted
