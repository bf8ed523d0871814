from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import Target, load_segmenter, read_image
from core.attribution.registry import explain, importance
from core.pixel_sets import PixelSet
from core.target import PREDICTED
from core.trust import EvaluationSettings, PerturbedRuns, removal_curve
from core.trust.benchmark.measurement import BenchmarkSettings
from core.trust.benchmark.same_question import Outcomes, SameQuestion, ask_each_image, found_anywhere
from core.trust.controls import CONTROLS, controls

FOLDER = Path(__file__).resolve().parents[2] / "sample_data" / "scenes" / "test"
CAR = 5


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture
def question():
    evaluation = EvaluationSettings(values={"n_steps": 2})
    settings = BenchmarkSettings(methods=("gradient",), metrics=("deletion",), evaluation=evaluation)
    return SameQuestion(PixelSet("class"), Target.region(np.ones((4, 4)), CAR, "logit", "mean"), settings)


def test_several_images_are_as_many_single_runs_and_one_that_fails_is_listed(segmenter, question, tmp_path):
    green = tmp_path / "green.png"
    Image.new("RGB", (256, 128), (0, 255, 0)).save(green)
    paths = {name: FOLDER / "images" / f"{name}.png" for name in ("scene_00", "scene_01")}
    files = {"scene_00": (paths["scene_00"], None), "green": (green, None), "none": (tmp_path / "none.png", None),
             "scene_01": (paths["scene_01"], FOLDER / "masks" / "scene_01.png")}  # fmt: skip
    reports: list[tuple[int, int]] = []
    shown: list[Outcomes] = []
    found = ask_each_image(segmenter, files, question, lambda done, total: reports.append((done, total)), shown.append)
    assert list(found.failed) == ["green", "none"]
    assert "No pixel is predicted as class 5 (car)" in found.failed["green"]
    assert {one.image for one in found.measurements} == set(paths)
    for one in found.measurements:
        image = read_image(paths[one.image])
        target = PixelSet("class").target(segmenter.predict(image), CAR, "logit", "mean")
        is_control = one.candidate in CONTROLS
        values = (
            controls(image, target)[one.candidate]
            if is_control
            else importance(explain(segmenter, image, target, one.candidate))
        )
        expected = removal_curve(PerturbedRuns(segmenter, image, target), values, 2, "quadratic").auc
        assert one.values["deletion"] == pytest.approx(expected, rel=1e-4)
        assert (one.is_control, one.pixels) == (is_control, int(target.pixels(image.shape[1:]).sum()))
    # Hundredths of the images are counted, never backwards.
    assert reports == sorted(reports)
    assert len({done for done, _ in reports if done < 100}) > 2, "the pace is known within the first image"
    assert reports[-1] == (400, 400)
    counts = [(len({one.image for one in part.measurements}), len(part.failed)) for part in shown]
    assert counts == [(1, 0), (1, 1), (1, 2), (2, 2)]
    # Of an image that is known nothing is made again.
    known = {"scene_00": [one for one in found.measurements if one.image == "scene_00"]}
    reports.clear()
    again = ask_each_image(
        segmenter, {name: files[name] for name in paths}, question,
        lambda done, total: reports.append((done, total)), known=known,
    )  # fmt: skip
    assert min(reports) > (100, 0)
    assert [one.image for one in again.measurements] == [one.image for one in found.measurements]
    assert all(one is before for one, before in zip(again.measurements, known["scene_00"], strict=False))


def test_what_a_report_raises_stops_it(segmenter, question):
    class Stopped(BaseException):
        pass

    def stop(_done: int, _total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        ask_each_image(segmenter, {"a": (FOLDER / "images" / "scene_00.png", None)}, question, stop)


def test_a_set_in_one_place_becomes_its_class_elsewhere():
    one, region = Target.pixel(1, 2, CAR), np.ones((3, 3))
    labels = np.full((3, 3), CAR)
    assert found_anywhere(PixelSet("point", 1, 2), one).name == "class"
    assert (
        found_anywhere(PixelSet("box", box=(0, 0, 1, 1)), Target.prediction(labels, mask=region)).name == "prediction"
    )
    assert Target.prediction(labels).class_index == PREDICTED
    assert found_anywhere(PixelSet("border", width=3), one).width == 3
