"""What a scene is for the browser."""

from widgets.viewer.scene import Chip, Number, Words


def test_words_are_plain_values():
    words = Words(
        "It is a vessel.",
        [Chip("vessel", "#19c3b2"), Chip("right", "good")],
        [Number("Maximum", "0.2", "In m.")],
        "logit",
    )
    assert words.describe() == {
        "sentence": "It is a vessel.",
        "chips": [["vessel", "#19c3b2"], ["right", "good"]],
        "numbers": [["Maximum", "0.2", "In m."]],
        "unit": "logit",
    }
    assert Words().describe() == {"sentence": "", "chips": [], "numbers": [], "unit": ""}
