"""Paint on the image: the labels, the scores and the numbers follow while the hand moves."""

from collections import OrderedDict
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from core.counterfactual.brush import KINDS
from core.counterfactual.edit import Edit
from core.counterfactual.live_edit import LiveEdit
from core.data.writing import mask_bytes, tiff_bytes
from core.display.colours import class_colour, signed_scale
from core.display.words import confidence, number
from core.segmenter import Prediction
from core.target import Score
from widgets.shared.image_choice import choose_image
from widgets.shared.pixel_answers import learn_in_background
from widgets.shared.pixel_state import look_at_pixel, restore_pixel
from widgets.shared.send_pixel import send_pixel
from widgets.shared.sidebar import Selection, score_words
from widgets.shared.uploader import uploader
from widgets.shared.uploads import keep_image
from widgets.shared.user_errors import say, show_said
from widgets.viewer.channel import Answer, Live, Request
from widgets.viewer.controls import Choice, Colour, Control, Shown, Slider, Switch, settings_of
from widgets.viewer.scene import Chip, Ends, Layer, Mask, Number, Panel, Picture, ScalarMap, Words
from widgets.viewer.settings import opacity_slider, overlaid_labels, overlay_choice, share_slider
from widgets.viewer.viewer import viewer
from widgets.what_if.hand import CHANGED, DIFFERENCE, IMAGE, LABELS, Hand

_HANDS = "_what_if_hands"
"""Key in the session state of the paintings of this tab, the latest last."""
_MOST_HANDS = 3
_EDIT_FILE = "what_if_edit"
_SIZES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0, 40.0, 48.0, 64.0, 96.0, 128.0)
_SIGMAS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
_AMOUNTS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
_LIMITS_OF = {True: (0.01, 0.03, 0.1, 0.3, 1.0), False: (0.1, 0.3, 1.0, 3.0, 10.0)}
"""Where the colours of the change may end: of probabilities, and of other scores."""
_BEFORE = "before"
"""Name of the switch that shows the original."""
Pixel = tuple[int, int]


def paint_panel(selection: Selection, prediction: Prediction) -> None:
    """Draw the image to paint on, and how the edit is saved and opened."""
    image = selection.image
    pixel = restore_pixel(image, prediction, selection.segmenter.class_names)
    look_at_pixel(pixel)
    hand = hand_of(selection)
    controls = controls_of(len(image.values), selection.score.space, has_truth=image.truth is not None)
    settings = settings_of(controls)
    viewer(
        "painting",
        panels_of(selection, hand),
        prediction.labels.shape,
        selection.picture_key,
        name=image.name,
        controls=controls,
        settings=settings,
        pixel=pixel,
        tools=("paint", "box", "lasso", "point"),
        live=live_of(selection, hand),
        paint=hand.paint(selection.picture_key),
        words=words_of(selection, hand, pixel),
        has_position=True,
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.download_button(
            "Save the edit", data=hand.saved, file_name=f"{image.stem}_edit.zip", mime="application/zip",
            on_click="ignore", icon=":material/download:", key="what_if_save",
            help="A small file: a picture of what was changed, the exact intensities, and what they belong to.",
        )  # fmt: skip
        with st.popover("Open an edit", icon=":material/upload:"):
            uploader(
                "An edit that was saved here", _EDIT_FILE, ["zip"], partial(_open_edit, hand),
                words="It is put on the image that it was made of; Undo brings back what is painted now.",
            )  # fmt: skip
        if st.button(
            "Keep it as my image", key="what_if_keep", icon=":material/add_photo_alternate:", type="tertiary",
            on_click=_keep_edited, args=(selection, hand),
            help="The edited image joins your images and is chosen, so that every page can explain it.",
        ):  # fmt: skip
            st.rerun(scope="app")
    show_said(_EDIT_FILE, selection.key)
    send_pixel("what_if")
    learn_in_background(selection)


def hand_of(selection: Selection) -> Hand:
    """This tab's painting of the image by the network; one that another network saw is taken along."""
    hands: OrderedDict[tuple[str, str, str], Hand] = st.session_state.setdefault(_HANDS, OrderedDict())
    key = selection.key
    latest = next((hand for (*_, image), hand in reversed(hands.items()) if image == key[2]), None)
    if key not in hands:
        hands[key] = Hand(LiveEdit(selection.segmenter, selection.image.values))
    hand = hands[key]
    hands.move_to_end(key)
    for other in hands.values():
        if other is not hand:
            other.release()
    if latest is not None and latest is not hand:
        with latest.lock:
            edit = latest.edit.painting.edit()
        hand.load(edit)
    while len(hands) > _MOST_HANDS:
        hands.popitem(last=False)
    return hand


def _keep_edited(selection: Selection, hand: Hand) -> None:
    """Keep the image as it is now among the user's own, with its ground truth, and choose it."""
    with hand.lock:
        values, truth = hand.edit.painting.image.copy(), selection.image.truth
    mask = None if truth is None else mask_bytes(truth)
    choose_image(keep_image(f"{selection.image.stem}_edited.tiff", tiff_bytes(values), mask))


def _open_edit(hand: Hand, files: list[tuple[str, bytes]]) -> None:
    hand.load(Edit.load(files[0][1]))
    say(_EDIT_FILE, [])


def controls_of(channels: int, space: str, *, has_truth: bool) -> list[Control]:
    """The brush and what lies over the image."""
    paints, limits = ("brush", ("paint",)), _LIMITS_OF[space == "probability"]
    colour: Control = (
        Colour(name="colour", label="Colour", default="#000000", when=paints)
        if channels == 3
        else share_slider("intensity", "Intensity", 0.0, when=paints)
    )
    return [
        Choice(
            name="brush", label="Brush", default="inpaint", options=dict(KINDS), is_menu=True,
            help="What the brush puts in place of the image: an intensity, its blur, the mean of a square of the "
            "brush's size, noise on top, a copy from elsewhere (the first click says where from, Alt and a click "
            "chooses again), what continues its surroundings, or the original.",
        ),
        colour,
        Slider(name="sigma", label="Sigma", default=4.0, values=_SIGMAS, form="{:g} px", when=("brush", ("blur",))),
        Slider(
            name="amount", label="Standard deviation", default=0.1, values=_AMOUNTS, when=("brush", ("noise",)),
            help="Of the noise, in units of intensity.",
        ),
        Slider(name="size", label="Radius", default=6.0, values=_SIZES, form="{:g} px", help="Also with [ and ]."),
        share_slider("softness", "Softness", 0.0, help="Share of the radius over which the brush fades out."),
        Switch(
            name="copy", label="Leave a copy", default=False, below=True,
            help="A rectangle or a lasso is drawn, then dragged: its content moves, or a copy of it (also with Alt). "
            "Where it lay is filled in from around it.",
        ),
        overlay_choice("Overlay", "prediction", {"prediction": "Prediction"}, has_truth=has_truth),
        opacity_slider(below=True),
        Slider(
            name="change_limit", label="Colour limit of the change", default=limits[-1], values=limits, form="±{:g}",
            below=True, help="Where the colours of the change end, in the unit of the score.",
        ),
        Switch(name=_BEFORE, label="Show the original", default=False, below=True),
    ]  # fmt: skip


def panels_of(selection: Selection, hand: Hand) -> list[Panel]:
    """The edited image, and how far the edit reaches in the scores."""
    names, image, score = selection.segmenter.class_names, selection.image, selection.score
    shown, unit = hand.shown(score), score_words(score, names)
    before, changed = Shown(_BEFORE), shown[CHANGED]
    layers: list[Layer] = [
        Picture(name=IMAGE, image=shown[IMAGE]),
        replace(overlaid_labels(LABELS, shown[LABELS], names, "prediction"), title="label"),
        Picture(name="original", title="original intensity", image=image.values, shown=before),
        replace(
            overlaid_labels("label before", hand.edit.labels_before, names),
            shown=[Shown("overlay", "prediction"), Shown(_BEFORE)],
        ),
    ]
    if image.truth is not None:
        layers.append(overlaid_labels("truth", image.truth, names))
    layers.append(Mask(name=CHANGED, mask=changed, opacity=0.0))
    limits = _LIMITS_OF[score.space == "probability"]
    return [
        Panel(
            "Image", layers,
            help="Paint with the button held down. Scroll to zoom; hold the space bar to move. Outlined: labels that "
            "are not as before.",
            note="outlined: changed labels",
        ),
        Panel(
            "What it changed",
            [
                ScalarMap(
                    name=DIFFERENCE, title="change", values=shown[DIFFERENCE], scale=signed_scale(1.0),
                    ends=Ends("change_limit", {limit: limit for limit in limits}), unit=f"{unit}, now minus before",
                ),
                Mask(name=CHANGED, mask=changed, opacity=0.0),
            ],
            help="Score of the class at each pixel, now minus before.",
            note="red: more, blue: less",
        ),
    ]  # fmt: skip


def live_of(selection: Selection, hand: Hand) -> Live:
    """What the hand does, and the words about it."""
    revision = f"{id(hand)}-{selection.score}"
    return Live(partial(_respond, selection, hand, selection.score), revision)


def _respond(selection: Selection, hand: Hand, score: Score, request: Request) -> Answer:
    with hand.lock:
        outcome = hand.act(request.action, request.settings, score)
        height, width = hand.edit.painting.size
        pixel = min(request.row, height - 1), min(request.column, width - 1)
        return Answer(outcome.maps, words_of(selection, hand, pixel), outcome.state)


def words_of(selection: Selection, hand: Hand, pixel: Pixel) -> Words:
    """What the edit did to a pixel, to all labels and to the class."""
    with hand.lock:
        names, score, edit = selection.segmenter.class_names, selection.score, hand.edit
        change = edit.at(*pixel, score)
        name = names[change.class_index]
        changed = int(np.count_nonzero(edit.changed))
        truth = selection.image.truth
        overlap = edit.overlap(change.class_index, truth)
        numbers = [
            Number(
                f"P({name}) here", f"{confidence(change.probability_before)} → {confidence(change.probability)}",
                "Probability of the class at the chosen pixel: in the original, and now.",
            ),
            Number(
                f"{score_words(score, names).capitalize()} here",
                f"{number(change.score_before, 3)} → {number(change.score, 3)}",
                "The score of the side bar at the chosen pixel.",
            ),
            Number("Labels changed", f"{changed:,} px", "Pixels with another label than in the original."),
            Number(
                f"Area of {name}", f"{overlap.pixels_before:,} → {overlap.pixels:,} px",
                "Pixels that are labelled as this class.",
            ),
        ]  # fmt: skip
        if truth is not None:
            dice = f"{number(overlap.dice_before, 4)} → {number(overlap.dice, 4)}"
            numbers.append(Number(f"Dice of {name}", dice, "Overlap of the labels with the ground truth of the class."))
        numbers += _about_the_run(hand)
        chips = [_chip(names, change.label_before)]
        if change.label != change.label_before:
            chips += [Chip("became"), _chip(names, change.label)]
        return Words(_sentence(hand, changed), chips, numbers)


def _chip(names: tuple[str, ...], label: int) -> Chip:
    return Chip(names[label], "#" + bytes(class_colour(label)).hex() if label else "plain")


def _sentence(hand: Hand, changed: int) -> str:
    prediction = hand.edit.prediction
    whole = f" The whole image runs at each change: {prediction.whole_runs}." if prediction.whole_runs else ""
    if not hand.edit.painting.steps and not changed:
        return f"Nothing is painted yet: hold the button down and paint over the image.{whole}"
    if not changed:
        return f"No label has changed.{whole}"
    return f"{changed:,} {'label has' if changed == 1 else 'labels have'} changed, outlined in the image.{whole}"


def _about_the_run(hand: Hand) -> list[Number]:
    prediction = hand.edit.prediction
    (height, width), whole = (part.stop - part.start for part in hand.edit.latest), prediction.size
    part = "the whole image" if (height, width) == whole else f"{height}×{width} of {whole[0]}×{whole[1]} px"
    found = [
        Number("Labels computed again", part, "What the latest change of the image can reach."),
        Number("Steps", f"{len(hand.edit.painting.steps)}", "; ".join(hand.edit.painting.steps[-12:])),
    ]
    if hand.checked is not None:
        found.append(
            Number(
                "Largest error", number(hand.checked, 2),
                "Logits computed in parts, compared with a run of the whole image when the hand last rested.",
            )
        )  # fmt: skip
    return found
