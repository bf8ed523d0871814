"""The maps of all methods and controls side by side, and one of them large beside the image."""

import dataclasses
from collections.abc import Mapping, Sequence

import streamlit as st

from core.attribution.registry import METHODS
from core.display.words import duration
from core.pixel_sets import PixelSetName
from core.segmenter import Prediction
from core.trust import Comparison
from core.trust.controls import CONTROLS
from widgets.shared.downloads import attribution_downloads
from widgets.shared.last_map import OLD_NOTE, OLD_OPACITY, keep_last
from widgets.shared.pixel_set_picker import Question, in_viewer, pixel_set_layers
from widgets.shared.recipes import attribution_recipe
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.trust.tested import QUICK_METRICS
from widgets.trust.trial import USUAL_PERCENTILE, Trial, TrustMap
from widgets.viewer.controls import Choice, Control, Slider, Value, keep_settings, settings_of
from widgets.viewer.scene import Ends, Layer, Panel, Picture, ScalarMap, Words
from widgets.viewer.settings import ZOOMING, overlaid_labels, overlay_choice, share_slider
from widgets.viewer.viewer import viewer

PERCENTILES = (100.0, 99.9, 99.5, 99.0, 98.0, 95.0)
ColourEnds = dict[tuple[Value, ...], float]
_SCALES = {"own": "Each its own", "unit": "One per unit"}
_WAITING = "Not there yet"
_CONTROLS = "Controls: made without the network, what an explanation has to beat"
_COLOURS: tuple[Control, ...] = (
    Choice(
        name="trust_scale", label="Colour scale", default="own", options=_SCALES,
        help="Each its own: every map from its own 0 to its own largest value, to compare patterns. One per unit: a "
        "common scale, to compare sizes. That only makes sense among maps of one unit, so they are grouped by it; "
        "the controls keep scales of their own.",
    ),
    Slider(
        name="trust_percentile", label="Colours end at the percentile", default=USUAL_PERCENTILE, values=PERCENTILES,
        help="Percentile of the pixels that are not 0. A few extreme pixels would hide all others at 100.",
    ),
)  # fmt: skip
_OPACITY = share_slider("trust_opacity", "Opacity", 0.7)
_OVERLAY_OPACITY = 0.5
_BEST = "_best_map"
_FAINT = 0.05
"""Share of the common scale below which a map looks empty."""


def show_question(
    selection: Selection,
    prediction: Prediction,
    name: PixelSetName,
    question: Question | None,
    trial: Trial | None = None,
    maps: Mapping[str, TrustMap] | None = None,
    first: Comparison | None = None,
) -> None:
    """The image, in which the pixel set is chosen, with the map that is shown large beside it.

    Args:
        selection: Network, image and score.
        prediction: The network's prediction for the image.
        name: Pixel set that is chosen.
        question: The score over these pixels; None where there are none yet.
        trial: What is tested; None where there is no question.
        maps: The maps that are there.
        first: What the quick test found.
    """
    image = selection.image
    names = selection.segmenter.class_names
    pixels, base = pixel_set_layers(question), Picture(image=image.values)
    over = [overlaid_labels("prediction", prediction.labels, names, opacity=_OVERLAY_OPACITY)]
    if image.truth is not None:
        over.append(overlaid_labels("truth", image.truth, names, opacity=_OVERLAY_OPACITY))
    panels = [Panel("Image", [base, *over, *pixels], help=ZOOMING)]
    overlay = overlay_choice("Over the image", "none", {"prediction": "Prediction"}, has_truth=image.truth is not None)
    controls: list[Control] = [overlay]
    sentence, recipe = "", None
    if trial is not None and maps is not None:
        choice, shown = chosen_map(trial, first)
        if shown in METHODS and shown in maps:
            target = trial.target
            recipe = attribution_recipe(
                selection, trial.question.pixel_set, target.score, shown, trial.settings, target.reduction
            )
        controls, sentence = [overlay, choice, _OPACITY], _sentence(shown, maps.get(shown))
        layers: list[Layer] = [base]
        old = keep_last(f"trust_{shown}", selection.picture_key, maps.get(shown))
        note = ""
        if shown in maps:
            layers.append(_layer(maps[shown], _ends(trial, maps)[shown], opacity="$trust_opacity"))
        elif old is not None:
            layers.append(_layer(old, colour_ends({shown: old}, PERCENTILES)[shown], opacity=OLD_OPACITY))
            note = OLD_NOTE
        else:
            note = _WAITING.lower()
        panels.append(Panel(choice.options[shown], layers, help=sentence, note=note))
    height, width = prediction.labels.shape
    viewer(
        "trust", panels, (height, width), selection.picture_key, controls=controls,
        settings=settings_of([*controls, *_COLOURS]), words=Words(sentence), recipe=recipe, name=image.name,
        **in_viewer(name, selection, prediction),
    )  # fmt: skip


def maps_panel(trial: Trial, maps: Mapping[str, TrustMap], first: Comparison | None) -> None:
    """All maps as linked panels, of which one is chosen to be shown large, and the files of that one."""
    choice, shown = chosen_map(trial, first)
    settings, ends = settings_of(_COLOURS), _ends(trial, maps)
    groups = groups_of(trial.methods, maps, by_unit=settings["trust_scale"] == "unit")
    panels = []
    for heading, names in groups.items():
        for name in names:
            layers, note = [], _WAITING.lower()
            if (one := maps.get(name)) is not None:
                layers = [_layer(one, ends[name], title="value")]
                note = _time_taken(one) if one.values.any() else "0 everywhere"
            panels.append(
                Panel(
                    choice.options[name], layers, help=_sentence(name, one), note=note, name=name,
                    is_choosable=name in maps, is_chosen=name == shown, group=heading,
                )
            )  # fmt: skip
    height, width = trial.prediction.labels.shape
    if settings["trust_scale"] == "unit" and (weak := faint(maps, ends, settings["trust_percentile"])):
        st.caption(
            f":material/info: Hardly visible on the common scale, since another map of the unit is {1 / _FAINT:.0f} "
            f"times as strong or more: {', '.join(weak)}. Choose “{_SCALES['own']}” to see them."
        )
    viewer(
        "trust-maps", panels, (height, width), trial.picture_key, controls=_COLOURS, settings=settings, tools=(),
        is_compact=True, on_choose=lambda name: keep_settings([choice], {choice.name: name}),
    )  # fmt: skip
    large = maps.get(shown)
    if large is not None and large.attribution is not None:
        parameters = {**large.attribution.parameters, "pixel_set": trial.question.pixel_set.describe()}
        stem = f"{trial.image.stem}_{shown}_{trial.question.pixel_set.name}"
        attribution_downloads(dataclasses.replace(large.attribution, parameters=parameters), stem)


def colour_ends(maps: Mapping[str, TrustMap], percentiles: Sequence[float]) -> dict[str, ColourEnds]:
    """Where the colours of each map end, by colour scale and percentile.

    With the scale "own" each map has its own end; with "unit" the methods of one unit have a common one.
    """
    own = {name: one.ends(percentiles) for name, one in maps.items()}
    largest: dict[tuple[str, int], float] = {}
    for name, one in maps.items():
        for place, end in enumerate(own[name]):
            largest[one.unit, place] = max(largest.get((one.unit, place), 0.0), end)
    found: dict[str, ColourEnds] = {name: {} for name in maps}
    for name, one in maps.items():
        for place, percentile in enumerate(percentiles):
            found[name]["own", percentile] = own[name][place]
            found[name]["unit", percentile] = own[name][place] if one.is_control else largest[one.unit, place]
    return found


def faint(maps: Mapping[str, TrustMap], ends: Mapping[str, ColourEnds], percentile: Value) -> list[str]:
    """Titles of the maps that look empty on the common scale of their unit."""
    return [
        one.title
        for name, one in maps.items()
        if one.values.any() and ends[name]["own", percentile] < _FAINT * ends[name]["unit", percentile]
    ]


def groups_of(methods: Sequence[str], maps: Mapping[str, TrustMap], *, by_unit: bool) -> dict[str, list[str]]:
    """Names of the maps by heading: the methods, by unit if they share a scale, then the controls."""
    groups: dict[str, list[str]] = {}
    for name in methods:
        unit = maps[name].unit if name in maps else ""
        heading = f"{unit[:1].upper()}{unit[1:]}: one scale" if unit else _WAITING
        groups.setdefault(heading if by_unit else "", []).append(name)
    waiting = {_WAITING: groups.pop(_WAITING)} if _WAITING in groups else {}
    return groups | waiting | {_CONTROLS: list(CONTROLS)}


def chosen_map(trial: Trial, first: Comparison | None) -> tuple[Choice, str]:
    """The control that chooses the map shown large, and the name of that map: that of the quick test if none is."""
    titles = {name: METHODS[name].title for name in trial.methods} | {
        name: control.title for name, control in CONTROLS.items()
    }
    best, metric = _best_map(trial, first), QUICK_METRICS[0]
    if first is not None and best is not None and set(trial.methods) <= set(first.ranked(metric)):
        label = f"{'Best' if first.standing(best, metric) == 'beats' else 'Ranked first'}: {titles[best]}"
    else:
        label = "Best, once tested"
    options = {"best": label} | titles
    choice = Choice(name="shown", label="Shown large", default="best", options=options)
    shown = str(settings_of([choice])["shown"])
    return choice, (best or next(iter(titles))) if shown == "best" else shown


def _best_map(trial: Trial, first: Comparison | None) -> str | None:
    """The method that the quick test puts first; while it runs that of the last one, so that the picture stays."""
    metric, ranked = QUICK_METRICS[0], []
    if first is not None:
        ranked = [name for name in first.ranked(metric) if name in trial.methods]
        ranked.sort(key=lambda name: first.standing(name, metric) != "beats")  # one like a control comes after them
    known = st.session_state.get(_BEST)
    if ranked and (len(ranked) == len(trial.methods) or known not in trial.methods):
        known = st.session_state[_BEST] = ranked[0]
    return known if known in trial.methods else None


def _ends(trial: Trial, maps: Mapping[str, TrustMap]) -> dict[str, ColourEnds]:
    return results().get_or_compute(("trust ends", trial.identity, tuple(maps)), lambda: colour_ends(maps, PERCENTILES))


def _layer(one: TrustMap, ends: ColourEnds, title: str = "", opacity: float | str = 1.0) -> ScalarMap:
    return ScalarMap(
        name=f"map of {one.name}", title=title or one.title, values=one.values, unit=one.unit, opacity=opacity,
        scale=one.scale(), ends=Ends(tuple(control.name for control in _COLOURS), ends),
    )  # fmt: skip


def _sentence(name: str, one: TrustMap | None) -> str:
    layer = None if one is None or one.attribution is None else one.attribution.layer
    sentence = CONTROLS[name].sentence if name in CONTROLS else METHODS[name].sentence
    return sentence + (f" At {layer}." if layer else "")


def _time_taken(one: TrustMap) -> str:
    if one.attribution is None:
        return ""
    seconds = one.attribution.seconds
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
