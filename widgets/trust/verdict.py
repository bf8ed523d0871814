"""What a quick test says of the maps, in one sentence, and which maps could have been made without the network."""

from collections.abc import Mapping

import streamlit as st

from core.attribution.registry import METHODS
from core.trust import METRICS, Comparison
from core.trust.comparison import Standing
from core.trust.similarity import AGREES
from widgets.trust.tested import QUICK_METRICS, QUICK_STEPS
from widgets.trust.trial import Trial

_METRIC = QUICK_METRICS[0]
_LIKE_ICON = "content_copy"
_BADGES: dict[Standing, str] = {
    "beats": "green-badge[:material/check:",
    "like": f"orange-badge[:material/{_LIKE_ICON}:",
    "fails": "red-badge[:material/close:",
}
_BEFORE = (
    "Testing whether the maps beat the controls, which are made without the network: as the most important pixels are "
    "taken away, does the score fall sooner than with the best control?"
)


def show_verdict(trial: Trial, found: Comparison | None) -> None:
    """Say what came out of the quick test so far, from the first look on in about as many lines as at last."""
    if found is None:
        lacks = "no method is chosen" if trial.question.mask.any() else "the target has no pixel"
        st.markdown(f"Nothing to test: {lacks}.")
        return
    sentence, chips = verdict(found, {name: METHODS[name].title for name in trial.methods})
    st.markdown(
        f"{sentence}\n\n{' '.join(chips)}",
        help=f"{METRICS[_METRIC].title} in {QUICK_STEPS} steps: pixels become the image's mean, the most important "
        "first, and the area under the score is compared. It is one target and one test: the tabs below hold "
        "others, and the same over several images.",
    )  # fmt: skip


def show_agreement(found: Comparison) -> None:
    """A warning for each control that a map agrees with."""
    for words in agreement_words(found):
        st.warning(words, icon=f":material/{_LIKE_ICON}:")


def verdict(found: Comparison, expected: Mapping[str, str]) -> tuple[str, list[str]]:
    """Which maps beat every control in the quick test, and which agree with one: a sentence, and a chip per map.

    Args:
        found: The maps tested so far.
        expected: Names and titles of the methods, tested or not.
    """
    titles: dict[Standing | None, list[str]] = {}
    for name in found.ranked(_METRIC):
        titles.setdefault(found.standing(name, _METRIC), []).append(found.candidates[name].title)
    good, like, bad = (titles.get(standing, []) for standing in _BADGES)
    best, count = found.best_control(_METRIC), len(good) + len(like) + len(bad)
    if best is None or not count:
        return _BEFORE, [_waiting(title) for title in expected.values()]
    control = found.candidates[best].title
    if good:
        share = f"all {count}" if len(good) == count > 1 else f"{len(good)} of {count}"
        verb = "beats" if len(good) == 1 else "beat"
        sentence = (
            f"On this target **{share} map{'s' * (count > 1)} {verb} every control**: as the most important pixels are "
            f"taken away, the score falls sooner than with the best control, {control}."
        )
        if like:
            sentence += f" {len(like)} more {'is' if len(like) == 1 else 'are'} like a control."
    else:
        alike = " without being like one" if like else ""
        sentence = (
            f"On this target **no map beats the controls{alike}** ({count} tested): taking away the pixels that "
            f"“{control}” calls important, without knowing the network, lowers the score as soon."
        )
    waiting = [_waiting(title) for name, title in expected.items() if name not in found.candidates]
    if waiting:
        sentence += f" {len(waiting)} more to come."
    chips = [f":{badge} {title}]" for standing, badge in _BADGES.items() for title in titles.get(standing, [])]
    return sentence, chips + waiting


def _waiting(title: str) -> str:
    return f":gray-badge[:material/hourglass_empty: {title}]"


def agreement_words(found: Comparison) -> list[str]:
    """A sentence per control with which maps agree; see `agreeing_controls`."""
    sentences = []
    for control, one in found.candidates.items():
        maps = [
            f"**{other.title}** ({other.agreeing[control]:.2f})"
            for other in found.candidates.values()
            if control in other.agreeing
        ]
        if not maps:
            continue
        names = " and ".join(filter(None, (", ".join(maps[:-1]), maps[-1])))
        several = len(maps) > 1
        sentences.append(
            f"{names} rank{'s' * (not several)} the pixels as “{one.title}” does (rank correlation ≥ {AGREES}): "
            f"{'these maps' if several else 'this map'} could have been made without the network."
        )
    return sentences
