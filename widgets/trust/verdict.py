"""What a quick test says of the maps, in one sentence, and which maps could have been made without the network."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import streamlit as st

from core.trust import METRICS, Comparison
from core.trust.controls import CONTROLS
from core.trust.similarity import AGREES, agreeing_controls
from widgets.shared.user_errors import show_user_errors
from widgets.trust.agreement import rank_table
from widgets.trust.tested import QUICK_METRICS, QUICK_STEPS, quickly_tested
from widgets.trust.trial import Trial, TrustMap

_METRIC = QUICK_METRICS[0]


def show_verdict(trial: Trial, maps: Mapping[str, TrustMap]) -> Comparison | None:
    """Test the maps that are there and say what came out; None where there is nothing to test."""
    if not trial.methods or not trial.question.mask.any():
        lacks = "no method is chosen" if trial.question.mask.any() else "the target has no pixel"
        st.markdown(f"Nothing to test: {lacks}.")
        return None
    found: Comparison | None = None
    with show_user_errors():
        found = quickly_tested("first-test", trial, maps)
        sentence, chips = verdict(found, len(trial.methods))
        st.markdown(
            sentence + ("\n\n" + " ".join(chips) if chips else ""),
            help=f"{METRICS[_METRIC].title} in {QUICK_STEPS} steps: pixels become the image's mean, the most important "
            "first, and the area under the score is compared. It is one target and one test: the tabs below hold "
            "others, and the same over several images.",
        )  # fmt: skip
    return found


def show_agreement_with_controls(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """A warning for each control that a map agrees with; nothing while maps are missing."""
    if len(maps) < len(trial.methods) + len(CONTROLS):
        return
    table = rank_table("agreeing", trial, maps)
    if table is None:
        return
    titles = {name: one.title for name, one in maps.items()}
    for sentence in agreement_words(agreeing_controls(table, list(maps), CONTROLS), titles):
        st.warning(sentence, icon=":material/content_copy:")


def verdict(found: Comparison, expected: int) -> tuple[str, list[str]]:
    """Which maps beat every control in the quick test: a sentence, and a chip per map.

    Args:
        found: The maps tested so far.
        expected: Number of the methods, tested or not.
    """
    judged = {name: found.beats_controls(name, _METRIC) for name in found.ranked(_METRIC)}
    good, bad = ([name for name, beats in judged.items() if beats is each] for each in (True, False))
    best, count = found.best_control(_METRIC), len(good) + len(bad)
    if best is None or not count:
        return "Testing whether the maps beat the controls…", []
    control = found.candidates[best].title
    if good:
        share = f"all {count}" if len(good) == count > 1 else f"{len(good)} of {count}"
        verb = "beats" if len(good) == 1 else "beat"
        sentence = (
            f"On this target **{share} map{'s' * (count > 1)} {verb} every control**: as the most important pixels are "
            f"taken away, the score falls sooner than with the best control, {control}."
        )
    else:
        sentence = (
            f"On this target **no map beats the controls** ({count} tested): taking away the pixels that “{control}” "
            "calls important, without knowing the network, lowers the score as soon."
        )
    if count < expected:
        sentence += f" {expected - count} more to come."
    chips = [f":green-badge[:material/check: {found.candidates[name].title}]" for name in good]
    chips += [f":red-badge[:material/close: {found.candidates[name].title}]" for name in bad]
    return sentence, chips


def agreement_words(agreeing: Sequence[tuple[str, str, float]], titles: Mapping[str, str]) -> list[str]:
    """A sentence per control with which maps agree; see `agreeing_controls`."""
    sentences = []
    for control, found in groupby(sorted(agreeing, key=itemgetter(1)), itemgetter(1)):
        maps = [f"**{titles[name]}** ({correlation:.2f})" for name, _, correlation in found]
        names = " and ".join(filter(None, (", ".join(maps[:-1]), maps[-1])))
        several = len(maps) > 1
        sentences.append(
            f"{names} rank{'s' * (not several)} the pixels as “{titles[control]}” does (rank correlation ≥ {AGREES}): "
            f"{'these maps' if several else 'this map'} could have been made without the network."
        )
    return sentences
