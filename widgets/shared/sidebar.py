"""The side bar that the pages share: network, image, class and score."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.gradient import gradient_cost
from core.display.words import duration
from core.segmenter import Prediction, Segmenter
from core.target import PREDICTED, SPACES, Score
from widgets.shared.image_scores import LARGE_PIXELS
from widgets.shared.links import restore_choice, write_to_url
from widgets.shared.model_picker import pick_model
from widgets.shared.predictions import get_prediction, prediction_key, result_key
from widgets.shared.prompt_picker import pick_prompt
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import PickedImage, pick_image
from widgets.shared.user_errors import plain_text

SPACE_NAMES: dict[str, str] = {"probability": "Probability", "logit": "Logit", "log_odds": "Log-odds"}
DEFAULT_SCORE = Score()
_WERE_TWO = "_class_of_two"
"""Whether the class was chosen of two."""
AS_PREDICTED, NOTHING = "As predicted at the pixel", "nothing"


@dataclass(frozen=True, eq=False)
class Selection:
    """What is chosen in the side bar.

    Attributes:
        segmenter: The network.
        image: The image.
        score: The score that is explained.
    """

    segmenter: Segmenter
    image: PickedImage
    score: Score = DEFAULT_SCORE

    @cached_property
    def key(self) -> tuple[str, str, str]:
        """The same for the same network, device and image; begins the keys of results.

        It reads all weights once, at the page's run: a click asks for it a dozen times.
        """
        return prediction_key(self.segmenter, self.image.hash)

    @property
    def picture_key(self) -> str:
        """The same for the same network and image; names the picture that is clicked."""
        return f"{self.image.hash[:12]}-{self.key[0][:12]}"

    def contrast_note(self, label: int) -> str:
        """Why there is no contrast at a pixel predicted as `label`, for its plain score is explained; else empty."""
        if self.score.class_index != PREDICTED or label != self.score.against:
            return ""
        name = self.segmenter.class_names[label]
        return f"{name} itself is predicted here, so its own score is explained, without a contrast."

    def predict(self) -> Prediction:
        """The network's prediction for the image, kept for all pages; for a large one the user confirms the cost."""
        self.confirm_large_image()
        return get_prediction(self.segmenter, self.image.values, self.key)

    def predict_in_background(self) -> Prediction | None:
        """The same, None while it is computed: so that the page can show the image meanwhile."""
        self.confirm_large_image()
        key = result_key(self.key)
        predict = self.segmenter.predict
        return compute_in_background("prediction", key, "Prediction", lambda _progress: predict(self.image.values))

    def confirm_large_image(self) -> None:
        """Stop the page until the user has confirmed the cost of a large image."""
        pixels = self.image.values[0].size

        def describe() -> None:
            cost = gradient_cost(self.segmenter, self.image.values)
            st.warning(
                f"{self.image.name} has {pixels / 1e6:.1f} megapixels: every click will take about "
                f"{duration(cost.seconds)} and {cost.memory_bytes / 1e9:.1f} GB of memory on {self.segmenter.device}. "
                "A crop answers the same question faster.",
                icon=":material/hourglass_top:",
            )

        if pixels > LARGE_PIXELS and not start_button(("large image", *self.key), "Explain anyway", describe=describe):
            st.stop()


@contextmanager
def side_bar() -> Iterator[DeltaGenerator]:
    """The side bar for what is chosen often; yields the place under it, for files and how they are read."""
    with st.sidebar:
        often, files = st.container(gap="xxsmall"), st.container(key="files", gap="xsmall")
    with often:
        yield files


def pick_selection(files: DeltaGenerator, *, with_class: bool = True) -> Selection:
    """Pickers for network, image, class and score, all kept in the URL; those of `side_bar` for files in `files`."""
    segmenter, image = pick_model_and_image(files)
    return Selection(segmenter, image, pick_score(segmenter, with_class=with_class))


def pick_model_and_image(files: DeltaGenerator) -> tuple[Segmenter, PickedImage]:
    """Pickers for the network and the image, and for the point on it that some networks are given."""
    segmenter = pick_model()
    image = pick_image(segmenter, files)
    return pick_prompt(segmenter, image), image


def pick_score(segmenter: Segmenter, *, with_class: bool = True) -> Score:
    """Pickers for the class, for the class that it is held against, and for the score space.

    Without a class the score is of that predicted at each pixel. With two classes there is nothing else to hold one
    against: the difference of their logits is the log-odds.
    """
    names = segmenter.class_names
    class_index, against = PREDICTED, None
    if with_class:
        class_name = _pick_class(names)
        class_index = names.index(class_name) if class_name in names else PREDICTED
    if len(names) > 2:
        other = st.selectbox(
            "Rather than …", [NOTHING, *names], key="against", bind="query-params",
            help="Why this class rather than that one? The score of this other class is subtracted, so the map shows "
            "what tells the two apart.",
        )  # fmt: skip
        against = names.index(other) if other in names else None
    if class_index == against:
        st.caption(f"{names[class_index]} cannot be held against itself, so its own score is explained.")
        against = None
    space = st.selectbox(
        "Score", SPACES, key="space", bind="query-params", format_func=lambda name: SPACE_NAMES[name],
        help="What is explained. Logit: the network's own score of the class, before it becomes a probability. "
        "Where the network is certain the probability hardly changes; the logit and the log-odds still do.",
    )  # fmt: skip
    return Score(class_index, space, against)


def _pick_class(names: Sequence[str]) -> str:
    are_two, offered = len(names) == 2, [AS_PREDICTED, *names]
    default = names[1] if are_two else AS_PREDICTED
    were_two = st.session_state.setdefault(_WERE_TWO, are_two)
    if were_two != are_two and st.session_state.get("class") == AS_PREDICTED:
        st.session_state["class"] = default  # that of the other network was its default
    st.session_state[_WERE_TWO] = are_two
    restore_choice("class", offered, default)
    chosen = st.selectbox(
        "Class", offered, key="class",
        help="Class whose score is explained. As predicted at the pixel: the network's own label there."
        + (" Of two classes, the log-odds hold one against the other." if are_two else ""),
    )  # fmt: skip
    write_to_url("class", chosen, default)
    return chosen


def score_words(score: Score, class_names: Sequence[str], mark: str = "") -> str:
    """A score in words, such as "car logit" or "car minus road logit"; Markdown's `mark` is set around the classes."""
    classes = ["predicted class" if score.class_index == PREDICTED else class_names[score.class_index]]
    if score.against is not None:
        classes.append(class_names[score.against])
    if mark:
        classes = [f"{mark}{plain_text(name)}{mark}" for name in classes]
    return f"{' minus '.join(classes)} {SPACE_NAMES[score.space].lower()}"
