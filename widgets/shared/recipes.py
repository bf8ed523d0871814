"""How what a page shows is made again, in Python and on the command line."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from core.attribution.registry import METHODS
from core.drawn_regions import parts_text
from core.pixel_sets import NEEDS_PIXEL, NEEDS_TRUTH, TITLES, PixelSet
from core.segmenter import Segmenter
from core.target import PREDICTED, Reduction, Score
from widgets.shared.networks import kept_networks
from widgets.shared.sidebar import Selection, score_words
from widgets.shared.sources import PickedImage
from widgets.viewer.scene import Recipe

_OUT = "explanation"


def attribution_recipe(
    selection: Selection,
    pixel_set: PixelSet,
    score: Score,
    method: str,
    settings: Mapping[str, Any],
    reduction: Reduction = "sum",
) -> Recipe:
    """How the attribution of one of `METHODS` is made again, with those settings that are not its defaults."""
    segmenter, image = selection.segmenter, selection.image
    own = {
        one.name: settings[one.name]
        for one in METHODS[method].settings
        if one.name in settings and not np.array_equal(settings[one.name], one.default)
    }
    files = {name: f"{name}.png" for name, value in own.items() if isinstance(value, np.ndarray)}
    given = ", ".join(
        f"{name!r}: {f'read_image({files[name]!r})' if name in files else repr(value)}" for name, value in own.items()
    )
    needs_truth = pixel_set.name in NEEDS_TRUTH
    arguments = ["prediction", str(score.class_index), repr(score.space), repr(reduction)]
    if needs_truth:
        arguments.append(f"truth=read_mask({image.truth_file!r})")
    if score.against is not None:
        arguments += ["class_names=segmenter.class_names", f"against={score.against}"]
    imports = [
        "from core.attribution.registry import explain",
        *(["from core.data.images import read_mask"] if needs_truth else []),
        *(["from core.drawn_regions import parts_of"] if pixel_set.parts else []),
        "from core.pixel_sets import PixelSet",
    ]
    lines = [
        "prediction = segmenter.predict(image)",
        f"target = {_pixel_set_code(pixel_set)}.target({', '.join(arguments)})",
        f"attribution = explain(segmenter, image, target, {method!r}, {{{given}}})",
        f'attribution.save("{_OUT}")',
    ]
    flags = {one.name: one.option for one in METHODS[method].settings}
    options = {flags[name]: files.get(name, value) for name, value in own.items()}
    shell = _explain_command(selection, pixel_set, score, reduction, method, options)
    facts = {
        "Pixels": _where(pixel_set),
        "Score": score_words(score, segmenter.class_names),
        "Method": METHODS[method].title,
        **{name.replace("_", " ").capitalize(): str(files.get(name, value)) for name, value in own.items()},
    }
    return _recipe(selection, facts, imports, lines, shell)


def influence_recipe(selection: Selection, row: int, column: int, score: Score) -> Recipe:
    """How an influence map is made again; the command line does not offer it."""
    against = "" if score.against is None else f", against={score.against}"
    lines = [
        f"attribution = influence(segmenter, image, {row}, {column}, {score.class_index}, {score.space!r}{against})",
        f'attribution.save("{_OUT}")',
    ]
    facts = {"Input pixel": f"row {row}, column {column}", "Score": score_words(score, selection.segmenter.class_names)}
    return _recipe(selection, facts, ["from core.attribution import influence"], lines, "")


def jacobian_recipe(selection: Selection, stride: int, *, keeps_rows: bool) -> Recipe:
    """How a Jacobian is computed again."""
    score = selection.score
    against = "" if score.against is None else f", against={score.against}"
    rows = "" if keeps_rows else ", keep_rows=False"
    arguments = f"{score.class_index}, {score.space!r}, 'run.zarr', {stride}{against}{rows}"
    lines = [f"found = jacobian(segmenter, image, {arguments})"]
    options = [*_class_options(selection.segmenter, score), "--stride", str(stride)]
    shell = _command("jacobian", selection, [*options, *([] if keeps_rows else ["--summaries"]), "--out", "runs"])
    facts = {"Score": score_words(score, selection.segmenter.class_names), "Stride": f"{stride} pixels"}
    return _recipe(selection, facts, ["from core.jacobian import jacobian"], lines, shell)


def _recipe(selection: Selection, facts: Mapping[str, str], imports: list[str], lines: list[str], shell: str) -> Recipe:
    """The network, the image and their facts first, then what is given."""
    segmenter, image = selection.segmenter, selection.image
    all_facts = {
        "Network": f"{segmenter.name}, weights {segmenter.weights_hash[:12]}",
        "Image": f"{image.name}, {' × '.join(map(str, image.values.shape[1:]))} pixels, hash {image.hash[:12]}",
        "Intensities": "; ".join(image.notes),
        **facts,
    }
    first_imports, first_lines = _network_and_image(segmenter, image)
    python = [*sorted([*first_imports, *imports]), "", *first_lines, *lines]
    return Recipe(list(all_facts.items()), "\n".join(python), shell)


def _network_and_image(segmenter: Segmenter, image: PickedImage) -> tuple[list[str], list[str]]:
    """The imports and the lines that make `segmenter` and `image`."""
    model = _model(segmenter)
    is_function = ":" in model
    load = "segmenter_from_factory" if is_function else "load_segmenter"
    kept = kept_networks().get(model)
    given = (kept.details.get("options") or {}) if kept else {}
    options = "".join(f", {name}={value!r}" for name, value in given.items())
    question = "" if (label := _label(segmenter)) is None else f".for_label({label!r})"
    if segmenter.prompt is not None:
        point = "({:g}, {:g})".format(*segmenter.prompt)
        options, question = (options, f".for_prompt({point})") if is_function else (f", prompt={point}", question)
    scaling = "" if image.scaling == "dtype" else f", {image.scaling!r}"
    imports = [
        "from core.models.factory import segmenter_from_factory" if is_function else "from core import load_segmenter",
        "from core.data.images import read_image" + (", with_channels" if image.is_converted else ""),
    ]
    lines = [f"segmenter = {load}({model!r}{options}){question}", f"image = read_image({image.file!r}{scaling})"]
    if image.is_converted:
        lines.append("image = with_channels(image, segmenter.in_channels)")
    return imports, lines


def _model(segmenter: Segmenter) -> str:
    """What the network is loaded by: a name, a file or a function."""
    return str(st.session_state.get("_former_model", segmenter.name))


def _label(segmenter: Segmenter) -> str | int | None:
    """The label that is explained, by its name where that is known."""
    label, names = segmenter.asked.label, segmenter.given_names
    return label if label is None or names is None else names[label]


def _pixel_set_code(pixel_set: PixelSet) -> str:
    arguments = [repr(pixel_set.name)]
    if pixel_set.name in NEEDS_PIXEL:
        arguments += [str(pixel_set.row), str(pixel_set.column)]
    elif pixel_set.parts:
        arguments.append(f"parts=parts_of({parts_text(pixel_set.parts)!r})")
    elif pixel_set.name == "border":
        arguments.append(f"width={pixel_set.width}")
    return f"PixelSet({', '.join(arguments)})"


def _where(pixel_set: PixelSet) -> str:
    if pixel_set.name in NEEDS_PIXEL:
        return f"{TITLES[pixel_set.name]}: row {pixel_set.row}, column {pixel_set.column}"
    return f"{TITLES[pixel_set.name]}{': ' if pixel_set.parts else ''}{parts_text(pixel_set.parts)}"


def _explain_command(
    selection: Selection, pixel_set: PixelSet, score: Score, reduction: Reduction, method: str,
    options: Mapping[str, Any],
) -> str:  # fmt: skip
    """The command; empty where the region is drawn in a way that has no option."""
    words = ["--method", method, "--pixel-set", pixel_set.name]
    if pixel_set.name in NEEDS_PIXEL:
        words += ["--row", str(pixel_set.row), "--column", str(pixel_set.column)]
    elif pixel_set.parts:
        if len(pixel_set.parts) > 1 or pixel_set.parts[0].kind == "brush":
            return ""
        points = pixel_set.parts[0].points
        if pixel_set.parts[0].kind == "box":
            (top, left), (bottom, right) = points
            low = [math.ceil(min(pair)) for pair in ((top, bottom), (left, right))]
            high = [math.floor(max(pair)) for pair in ((top, bottom), (left, right))]
            words += ["--box", ",".join(map(str, low + high))]
        else:
            words += ["--lasso", " ".join(f"{row:g},{column:g}" for row, column in points)]
    elif pixel_set.name == "border":
        words += ["--border-width", str(pixel_set.width)]
    if pixel_set.name in NEEDS_TRUTH:
        words += ["--masks", str(selection.image.truth_file.rpartition("/")[0] or ".")]
    words += [*_class_options(selection.segmenter, score), "--reduction", reduction]
    for name, value in options.items():
        words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return _command("explain", selection, [*words, "--out", _OUT])


def _class_options(segmenter: Segmenter, score: Score) -> list[str]:
    names = segmenter.class_names
    words = ["--class", "predicted" if score.class_index == PREDICTED else names[score.class_index]]
    if score.against is not None:
        words += ["--against", names[score.against]]
    return [*words, "--space", score.space]


def _command(command: str, selection: Selection, words: list[str]) -> str:
    image = selection.image
    start = ["python", "-m", "core", command, "--model", _model(selection.segmenter), "--image", image.file]
    grey = ["--grey"] if image.is_converted and selection.segmenter.in_channels == 1 else []
    scaling = [] if image.scaling == "dtype" else ["--scaling", image.scaling]
    label = _label(selection.segmenter)
    question = [] if label is None else ["--label", str(label)]
    if selection.segmenter.prompt is not None:
        question += ["--prompt", *(f"{value:g}" for value in selection.segmenter.prompt)]
    return shlex.join([*start, *question, *words, *scaling, *grey])
