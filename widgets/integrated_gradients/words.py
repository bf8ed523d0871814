"""What is said about an attribution: the scores whose difference it shares, and how exact it is."""

import math

from core.attribution import Attribution
from core.display.words import number
from core.pixel_sets import PixelSetName
from widgets.integrated_gradients.settings import EXPLAINED, Settings, baseline_words
from widgets.shared.sidebar import Selection, score_words
from widgets.viewer.scene import Chip, Number, Words

GOOD, FAIR = 1.0, 5.0
"""Largest errors of a sum, in per cent, that count as right and as nearly right."""
_TELLING = 20.0
"""Largest error, in per cent, that is worth a number while more steps come."""
_EARLY = "not known yet"
_MAP_WEIGHT = 0.5
"""A map may be off by twice as much as its sum in the same colour: it is looked at, and not added up."""
SUM_HELP = "How far the sum of the map is from the difference of the scores."
MAP_HELP = (
    "Estimated error of the map's values, Σ |error| / Σ |value|, from how much the last refinement of the path changed "
    "the map."
)


def is_unfinished(attribution: Attribution) -> bool:
    """Whether it is only that of the steps so far."""
    return attribution.measured["stopped"] == "unfinished"


def words_of(
    selection: Selection,
    attribution: Attribution,
    explained: PixelSetName,
    settings: Settings,
    *,
    is_cancelled: bool = False,
) -> Words:
    """The scores of the baseline and of the image, means over a region, and what the map is worth."""
    target, measured = attribution.target, attribution.measured
    pixels = int(target.pixels(attribution.image_size).sum())
    start, end = number(measured["baseline_score"]), number(measured["score"])
    what = score_words(target.score, selection.segmenter.class_names)
    where = {"point": f"at row {target.row}, column {target.column}", "class": "over the pixels predicted so"}
    place = "" if explained == "prediction" else where.get(explained, f"over the {EXPLAINED[explained].lower()}")
    errors = attribution.convergence_percent, attribution.map_error_percent
    so_far = " so far" if is_unfinished(attribution) else ""
    is_early = bool(so_far) and not is_cancelled and max(errors) > _TELLING
    sum_error, map_error = (_EARLY if is_early else _percent(error) for error in errors)
    average = "" if target.mask is None else f"on average over {pixels:,} pixels"
    sentence = (
        f"From {baseline_words(settings)} to this image, the {what} {place} goes from {start} to {end} {average}. "
        f"The map shares that difference among the image's pixels. {_reason(attribution, is_cancelled=is_cancelled)}"
    )
    chips = [Chip(f"error: {_EARLY}")] if is_early else error_chips(*errors)
    if so_far:
        # The bar counts the steps while they come; a map shows a little fewer.
        state = f"{measured['steps']} steps so far" if is_cancelled else "coarse map, sharpening"
        chips = [Chip(state), *(chips if is_early else [Chip(f"{chip.text} so far") for chip in chips])]
    taken = [
        Number(f"Steps{so_far}", str(measured["steps"]), "Gradients along the path from the baseline to the image."),
        Number(f"Time{so_far}", f"{attribution.seconds:.1f} s"),
    ]
    return Words(
        " ".join(sentence.split()).replace(" .", "."),
        chips,
        [
            Number("Score of the baseline", start, f"{average or 'At the pixel'}, in {target.score_unit}."),
            Number("Score of the image", end, f"{average or 'At the pixel'}, in {target.score_unit}."),
            *([] if so_far and not is_cancelled else taken),
            Number(f"Error of the sum{so_far}", sum_error, SUM_HELP),
            Number(f"Error of the map{so_far}", map_error, MAP_HELP),
        ],
    )


def error_chips(percent: float, map_percent: float = float("nan")) -> list[Chip]:
    """The errors of the sum and, where it is defined, of the map, in per cent."""
    if math.isnan(percent):
        return [Chip("no difference to share")]
    chips = [Chip(f"sum {_percent(percent)} off", _tone(percent))]
    if not math.isnan(map_percent):
        chips.append(Chip(f"map ≈ {_percent(map_percent)} off", _tone(_MAP_WEIGHT * map_percent)))
    return chips


def _tone(percent: float) -> str:
    return "good" if percent <= GOOD else "plain" if percent <= FAIR else "bad"


def _reason(attribution: Attribution, *, is_cancelled: bool) -> str:
    measured = attribution.measured
    return {
        "tolerance": "The steps were enough for the tolerance.",
        "budget": f"The tolerance was not reached by the {measured.get('missed')} in all the steps that are allowed; "
        "read the map with care.",
        "fixed": "",
        "unfinished": "It is a coarse map of the steps so far, over the whole path." if is_cancelled else "",
    }[measured["stopped"]]


def number_or_none(value: float) -> str:
    """A number, or "none" where it is not defined."""
    return "none" if math.isnan(value) else number(value)


def _percent(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.2g} %" if value < 99.5 else f"{value:,.0f} %"
