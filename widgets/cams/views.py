"""The pictures of the page of class activation maps: the chosen map over the image, and the atlas of all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import streamlit as st

from core.attribution.cam import LayerAdvice, cam_warnings, gradient_methods
from core.attribution.registry import METHODS
from core.display.colours import magnitude_scale, signed_scale
from core.segmenter import Prediction
from widgets.cams.atlas import Atlas
from widgets.cams.maps import KINDS, SCALES, Drawn, Place, ends_by_scale, is_faint
from widgets.shared.last_map import OLD_NOTE, OLD_OPACITY
from widgets.shared.layer_picker import size_and_stride
from widgets.shared.pixel_set_picker import Question, pixel_set_layers
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.viewer.controls import Choice, Control, Shown, Slider
from widgets.viewer.scene import Ends, Grid, Heading, Layer, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING, opacity_slider, overlaid_labels, overlay_choice, share_slider
from widgets.viewer.viewer import viewer

_LIMITS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


def controls_of(*, has_truth: bool) -> list[Control]:
    """The controls of the display, for an image with or without a ground truth."""
    return [
        Choice(
            name="values", label="Values", default="positive", options={kind: kind.capitalize() for kind in KINDS},
            help="Positive: what speaks for the class, as the papers show it (ReLU, then resized). Signed: what speaks "
            "against it as well, in blue.",
        ),
        Choice(
            name="scale", label="Colour scale", default="own", options=SCALES, below=True,
            help="Where the scale ends: at the largest value of each map, of all layers by the same method, or of the "
            "whole atlas, so that colours can be compared.",
        ),
        overlay_choice("Over the image", "none", {"prediction": "Prediction"}, has_truth=has_truth),
        opacity_slider(when=("overlay", ("prediction", "truth"))),
        share_slider("map_opacity", "Opacity of the map", 0.65, below=True),
        Slider(
            name="map_limit", label="Colour limit", default=1.0, values=_LIMITS, form="{:g} % of max", factor=100,
            below=True, help="Lower it to see faint maps; what lies beyond is drawn in the end colour.",
        ),
    ]  # fmt: skip


def panels_of(
    selection: Selection,
    prediction: Prediction,
    question: Question | None,
    drawn: Sequence[Drawn],
    settings: Mapping[str, Any],
    *,
    is_old: bool,
    is_pinned: bool,
) -> list[Panel]:
    """The chosen map over the image, then the pinned ones; an old map says so, and so does one too faint to be seen."""
    image, names = selection.image, selection.segmenter.class_names
    overlays = {"prediction": prediction.labels} | ({} if image.truth is None else {"truth": image.truth})
    picture = Picture(image=image.values)
    over: list[Layer] = [overlaid_labels(name, labels, names) for name, labels in overlays.items()]
    chosen = pixel_set_layers(question)
    if not drawn or question is None:
        note = "no pixels yet" if question is None else "no map yet"
        return [Panel("Image", [picture, *over, *chosen], ZOOMING, note, name="map")]
    over += [replace(layer, opacity=0.0) for layer in chosen]  # outlined alone, so that the map is seen
    return [
        _map_panel(
            picture,
            over,
            one,
            settings,
            is_old=is_old and not index,
            is_alone=len(drawn) == 1,
            is_pinned=is_pinned or index > 0,
            name="pinned " * index + "map",
        )
        for index, one in enumerate(drawn)
    ]


def _map_panel(
    picture: Picture,
    over: Sequence[Layer],
    drawn: Drawn,
    settings: Mapping[str, Any],
    *,
    is_old: bool,
    is_alone: bool,
    is_pinned: bool,
    name: str,
) -> Panel:
    """The positive and the signed map at the image's size, of which a control shows one, over the image."""
    maps = [
        ScalarMap(
            name=f"{name.removesuffix('map')}{kind}",
            title=kind if is_alone else drawn.title,
            values=drawn.maps[kind],
            scale=magnitude_scale(1.0) if kind == "positive" and not drawn.is_difference else signed_scale(1.0),
            unit=drawn.unit,
            limit="$map_limit",
            ends=Ends("scale", drawn.ends[kind]),
            opacity=OLD_OPACITY if is_old else "$map_opacity",
            shown=Shown("values", kind),
            names_unit=is_alone,  # else the bar of each says it
        )
        for kind in KINDS
    ]
    faint = is_faint(drawn.ends[settings["values"]], settings["scale"], settings["map_limit"])
    note = OLD_NOTE if is_old else "too faint for this scale" if faint else "pinned" if is_pinned else ""
    return Panel(drawn.title, [picture, *maps, *over], drawn.help, note, name=name)


def show_atlas(
    choices: LayerAdvice,
    atlas: Atlas,
    chosen: Place,
    settings: Mapping[str, Any],
    prediction: Prediction,
    selection: Selection,
    pick: Callable[[str, str], None],
) -> None:
    """One small panel per layer and method; `pick` is called with the layer and the method of the one chosen."""
    methods = list(gradient_methods())
    layers = list(dict.fromkeys(name for name, _ in atlas.maps))
    warnings = results().get_or_compute(
        ("atlas warnings", atlas.key),
        lambda: {
            place: " ".join(sentences)
            for place, one in atlas.maps.items()
            if (sentences := cam_warnings(one, prediction, choices.pointwise))
        },
    )
    names = {f"{METHODS[by].title} at {at}": (at, by) for at in layers for by in methods}
    panels = [
        Panel(
            name, _thumbnail(atlas, place), is_choosable=True, is_chosen=place == chosen,
            warning=warnings.get(place, ""),
        )
        for name, place in names.items()
    ]  # fmt: skip
    rows = [
        Heading(name, size_and_stride(choices.layers[at])[0], at)
        for at, name in zip(layers, short_names(layers), strict=True)
    ]
    columns = [Heading(METHODS[by].title.replace("CAM", "\u200bCAM"), help=METHODS[by].sentence) for by in methods]
    viewer(
        "atlas", panels, prediction.labels.shape, selection.picture_key, settings=settings, tools=(), is_compact=True,
        grid=Grid(rows, columns), on_choose=lambda name: pick(*names[name]),
    )  # fmt: skip
    kind, scale, limit = settings["values"], settings["scale"], settings["map_limit"]
    faint = [
        place for place, one in atlas.maps.items() if is_faint(ends_by_scale(one, atlas.peaks)[kind], scale, limit)
    ]
    if faint:
        st.caption(
            f"{len(faint)} of {len(panels)} maps are too faint to be seen on this colour scale; choose “Own” above the "
            "map to give each its own."
        )


def short_names(names: Sequence[str]) -> list[str]:
    """Dotted names without what follows the first part in all names that begin with it; they can be broken at dots."""
    split = [name.split(".") for name in names]
    shown = []
    for first, *rest in split:
        alike = [others[1:-1] for others in split if others[0] == first]
        shared = len(list(takewhile(lambda parts: len(set(parts)) == 1, zip(*alike, strict=False))))
        shown.append(f"{first}…{'.'.join(rest[shared:])}" if shared else ".".join([first, *rest]))
    return [name.replace("…", "…\u200b").replace(".", ".\u200b").replace("_", "_\u200b") for name in shown]


def _thumbnail(atlas: Atlas, place: tuple[str, str]) -> list[Layer]:
    """The raw map at the layer's size, over the area that the layer covers; its sign is cut off by the colours."""
    attribution = atlas.maps[place]
    ends = ends_by_scale(attribution, atlas.peaks)
    return [
        ScalarMap(
            name=kind, title="map", values=attribution.values, covers=attribution.padded_size or attribution.image_size,
            scale=signed_scale(1.0) if kind == "signed" else magnitude_scale(1.0), limit="$map_limit",
            ends=Ends("scale", ends[kind]), shown=Shown("values", kind), unit=attribution.unit, names_unit=True,
            has_bar=False,
        )
        for kind in KINDS
    ]  # fmt: skip
