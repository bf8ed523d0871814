"""The side bar that the pages share: network, image, class and score."""

from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from core.attribution.gradient import gradient_cost
from core.display.words import duration
from core.segmenter import Prediction, Segmenter
from core.target import SPACES, Space
from widgets.shared.model_picker import pick_model
from widgets.shared.predictions import prediction_key, result_key
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import PickedImage, pick_image, predicted

SPACE_NAMES: dict[str, str] = {"probability": "Probability", "logit": "Logit", "log_odds": "Log-odds"}
LARGE_PIXELS = 2_000_000


@dataclass(frozen=True, eq=False)
class Selection:
    """What is chosen in the side bar.

    Attributes:
        segmenter: The network.
        image: The image.
        class_index: Index of the class.
        space: Score space.
    """

    segmenter: Segmenter
    image: PickedImage
    class_index: int = 1
    space: Space = "probability"

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

    @property
    def score_name(self) -> str:
        """The score explained, e.g. "**vessel** log-odds"."""
        return f"**{self.segmenter.class_names[self.class_index]}** {SPACE_NAMES[self.space].lower()}"

    def predict(self) -> Prediction:
        """The network's prediction for the image, kept for all pages; for a large one the user confirms the cost."""
        self.confirm_large_image()
        return predicted(self.segmenter, self.image, self.key)

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


def pick_selection(default_space: Space = "probability") -> Selection:
    """Pickers for network, image, class and score, all kept in the URL."""
    segmenter = pick_model()
    return Selection(segmenter, pick_image(segmenter), *pick_class_and_space(segmenter, default_space))


def pick_class_and_space(segmenter: Segmenter, default_space: Space = "probability") -> tuple[int, Space]:
    """Pickers for the class, given as its index, and for the score space."""
    names = segmenter.class_names
    class_name = st.selectbox("Class", names, index=1, key="class", bind="query-params")
    space = st.selectbox(
        "Score", SPACES, index=SPACES.index(default_space), key="space", bind="query-params",
        format_func=lambda name: SPACE_NAMES[name],
        help="Score space to explain. Where the network is certain its probability hardly changes; the logit and the "
        "log-odds still do.",
    )  # fmt: skip
    return names.index(class_name), space
