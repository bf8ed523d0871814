"""The map of scores whose Jacobian is computed."""

from torch import Tensor

from ..segmenter import Segmenter
from ..target import PREDICTED, Score, class_scores, scores_of_labels


def scores_of_image(segmenter: Segmenter, image: Tensor, score: Score, labels: Tensor | None = None) -> Tensor:
    """The score at each pixel (H, W) of an image (C, H, W), in its autograd graph.

    Args:
        segmenter: The network.
        image: On its device.
        score: The score.
        labels: Int (H, W), the predicted class of each pixel, for the score of the class predicted there; None takes
            those of this run.
    """
    with segmenter.lock:
        segmenter.decide(image[None])
        logits = segmenter.unchecked_logits(image[None])
    if score.class_index != PREDICTED:
        return class_scores(logits, score.class_index, score.space, score.against)[0]
    labels = logits[0].argmax(dim=0) if labels is None else labels
    return scores_of_labels(logits, labels, score.space, score.against)[0]
