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
        return scores_of_images(segmenter, image[None], score, labels)[0]


def scores_of_images(segmenter: Segmenter, images: Tensor, score: Score, labels: Tensor | None = None) -> Tensor:
    """The scores (B, H, W) of images (B, C, H, W), once `segmenter.decide` was called; see `scores_of_image`."""
    logits = segmenter.unchecked_logits(images)
    if score.class_index != PREDICTED:
        return class_scores(logits, score.class_index, score.space, score.against)
    labels = logits[0].argmax(dim=0) if labels is None else labels
    return scores_of_labels(logits, labels, score.space, score.against)
