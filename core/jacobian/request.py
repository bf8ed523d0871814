"""The request for a Jacobian, checked against a network and an image."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np

from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Score, Space
from .encoding import STORED_TYPES, StoredType


@dataclass(frozen=True)
class JacobianRequest:
    """Which Jacobian of an image is computed, and what is kept of it.

    Attributes:
        class_index: The class whose scores are differentiated; `PREDICTED` for that predicted at each row's pixel.
        space: The score space; rows are in its unit per unit of image intensity.
        stride: Rows of the Jacobian are computed for every `stride`-th row and column of output pixels.
        dtype: How rows are stored: "float32" exactly; "float16" and "uint8" with a scale and an error bound per row.
        keep_rows: Whether rows are kept; False keeps summaries only, from which the threshold maps come.
        against: The class whose scores are subtracted, see `Score`; None for the class alone.

    Raises:
        UserError: A value that no Jacobian has.
    """

    class_index: int = 1
    space: Space = "probability"
    stride: int = 1
    dtype: StoredType = "float32"
    keep_rows: bool = True
    against: int | None = None

    def __post_init__(self) -> None:
        _ = self.score
        if self.dtype not in STORED_TYPES:
            raise UserError(f'Rows are stored as {", ".join(STORED_TYPES)}; "{self.dtype}" was given.')
        if self.stride < 1:
            raise UserError(f"The stride is at least 1; {self.stride} was given.")
        # A manifest holds plain numbers, not NumPy's.
        for name, kind in (("class_index", int), ("stride", int), ("keep_rows", bool)):
            object.__setattr__(self, name, kind(getattr(self, name)))

    @property
    def score(self) -> Score:
        """The score of each row's pixel."""
        return Score(self.class_index, self.space, self.against)


EVERY_ROW = JacobianRequest()


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """A request that fits an image and the network. Make one with `ImageRequest.check`.

    Attributes:
        request: What is computed and kept.
        image: Float32 (C, H, W).
        region: Bool (H, W), the output pixels to compute; None for all.
    """

    request: JacobianRequest
    image: np.ndarray
    region: np.ndarray | None

    @classmethod
    def check(
        cls, segmenter: Segmenter, image: Image, request: JacobianRequest, region: np.ndarray | None = None
    ) -> "ImageRequest":
        """The request for this image.

        Raises:
            UserError: The request does not fit the network or the image.
        """
        values = checked_image(segmenter, image, request.score)
        height, width = values.shape[1:]
        if region is not None:
            region = np.asarray(region) != 0
            if region.shape != (height, width):
                raise UserError(
                    f"The region is {region.shape}, the image {height}×{width} pixels; they must be of one size."
                )
            if not region[:: request.stride, :: request.stride].any():
                raise UserError("The region holds no pixel that the stride samples; choose a larger one.")
        return cls(request, values, region)

    def identity(self, segmenter: Segmenter) -> dict[str, object]:
        """The entries of `Manifest.identity`."""
        hashes = {
            "weights_hash": segmenter.weights_hash,
            "image_hash": hash_of(self.image),
            "region_hash": hash_of(self.region),
        }
        return hashes | asdict(self.request)


def checked_image(segmenter: Segmenter, image: Image, score: Score) -> np.ndarray:
    """The image as float32 (C, H, W), if the network takes its size and has the classes.

    Raises:
        UserError: The network takes no such image or has no such class.
    """
    values = segmenter.as_batch(image, single=True)[0].detach().cpu().numpy()
    size = values.shape[1:]
    segmenter.findings(size)
    score.check(segmenter.num_classes)
    return values


def hash_of(values: np.ndarray | None) -> str:
    """SHA-256 over an array's shape and values; empty for None."""
    if values is None:
        return ""
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()
