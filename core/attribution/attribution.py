"""`Attribution`: the raw result of every method."""

import hashlib
import time
import weakref
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..display.colours import FULL_COLOUR_PERCENTILE, colour_limit, magnitude_scale, png_bytes, signed_scale
from ..display.footprint import magnitude_of
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..segmenter import Image, Prediction, Segmenter, image_tensor
from ..target import Target

SCHEMA_VERSION = 1


class Source:
    """The network, while others hold it, and the image that an attribution explains; neither is pickled."""

    def __init__(self, segmenter: Segmenter, image: torch.Tensor) -> None:
        self.segmenter = weakref.ref(segmenter)
        self.image = image

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


@dataclass(frozen=True, eq=False)
class Attribution:
    """Raw signed values that explain one target, and how they were made.

    Attributes:
        values: float32 (C, H, W), signed, in the unit `unit`; never normalised.
        target: What is explained.
        method: Name of the method, e.g. "gradient".
        parameters: Parameters of the method, plain values, with the seed where there is one.
        image_size: (height, width) of the image explained.
        seconds: Wall time of the computation.
        unit: Unit of the values, e.g. "probability per unit intensity".
        weights_hash: SHA-256 of the model, `Segmenter.weights_hash`.
        image_hash: SHA-256 of the image, `image_hash`.
        convergence_delta: Σ values minus the difference of the scores, for path methods; None for others.
        score_difference: score(image) - score(baseline), for path methods; None for others.
        map_error: Estimated Σ |error of the values| / Σ |values|, for path methods; None for others and where it is
            undefined, for a map of zeros or a single step.
        measured: Other results, e.g. the number of steps and why there were no more.
        model_name: The network's name.
        notes: What was assumed or concluded about the network and the image, one sentence each.
        layer: Name of the layer of the map; None for a map of the image itself.
        padded_size: (height, width) covered by a layer's map, that of the network's padded input; None for others.
        source: The network and the image, for `prediction`; None in a copy from another process.
    """

    values: np.ndarray
    target: Target
    method: str
    parameters: dict[str, Any]
    image_size: tuple[int, int]
    seconds: float
    unit: str
    weights_hash: str
    image_hash: str
    convergence_delta: float | None = None
    score_difference: float | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    model_name: str = field(default="", kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    map_error: float | None = field(default=None, kw_only=True)
    layer: str | None = field(default=None, kw_only=True)
    padded_size: tuple[int, int] | None = field(default=None, kw_only=True)
    source: "Source | None" = field(default=None, kw_only=True, repr=False)

    @property
    def prediction(self) -> Prediction:
        """The network's prediction for the image, computed each time: an attribution does not keep probabilities.

        Raises:
            UserError: The network or the image that were explained are no longer there.
        """
        segmenter = None if self.source is None else self.source.segmenter()
        if self.source is None or segmenter is None or image_hash(self.source.image) != self.image_hash:
            raise UserError("The network or the image of this attribution is gone; use segmenter.predict(image).")
        return segmenter.predict(self.source.image)

    @property
    def convergence_percent(self) -> float:
        """|convergence_delta| in per cent of |score_difference|; NaN where there is no delta or no difference."""
        if self.convergence_delta is None or not self.score_difference:
            return float("nan")
        return 100 * abs(self.convergence_delta / self.score_difference)

    @property
    def map_error_percent(self) -> float:
        """`map_error` in per cent; NaN where there is none."""
        return float("nan") if self.map_error is None else 100 * self.map_error

    def magnitude(self) -> np.ndarray:
        """√Σ_c values², float32 (H, W)."""
        return magnitude_of(self.values)

    def signed_map(self) -> np.ndarray:
        """Σ_c values, float32 (H, W): what moving all channels of a pixel together does."""
        return self.values.sum(axis=0)

    def at_image_size(self, *, positive: bool = True) -> np.ndarray:
        """The map Σ_c values of a layer, resized bilinearly to the image, float32 (H, W).

        Where the segmenter pads the image, the layer covers the padded area: the map is resized to that and cropped.

        Args:
            positive: ReLU first, as the papers on class activation maps show them; else the signed map.
        """
        values = self.signed_map()
        if positive:
            values = np.maximum(values, 0)
        height, width = self.image_size
        covered = self.padded_size or self.image_size
        if values.shape != covered:
            small = torch.from_numpy(np.ascontiguousarray(values))[None, None]
            values = F.interpolate(small, covered, mode="bilinear", align_corners=False)[0, 0].numpy()
        return np.ascontiguousarray(values[:height, :width])

    def manifest(self) -> dict[str, Any]:
        """All that is needed to make the values again, as plain values for JSON."""
        covers = list(self.padded_size or self.image_size)
        layer = {} if self.layer is None else {"layer": self.layer, "padded_size": covers}
        return {
            "schema_version": SCHEMA_VERSION,
            "method": self.method,
            "parameters": layer | self.parameters,
            "target": self.target.describe(),
            "unit": self.unit,
            "shape": list(self.values.shape),
            "model": self.model_name,
            "notes": list(self.notes),
            "weights_sha256": self.weights_hash,
            "image_sha256": self.image_hash,
            "convergence_delta": self.convergence_delta,
            "score_difference": self.score_difference,
            "map_error": self.map_error,
            "measured": self.measured,
            "seconds": round(self.seconds, 6),
            "libraries": {name: version(name) for name in ("torch", "numpy")},
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name: `values.npy`, `signed.png`, `magnitude.png` and `manifest.json`."""
        signed, magnitude = self.signed_map(), self.magnitude()
        return {
            "values.npy": npy_bytes(self.values),
            "signed.png": png_bytes(signed_scale(_end_of_colours(signed)).rgb(signed)),
            "magnitude.png": png_bytes(magnitude_scale(_end_of_colours(magnitude)).rgb(magnitude)),
            "manifest.json": json_bytes(self.manifest()),
        }

    def save(self, folder: str | Path) -> Path:
        """Write the raw values, two pictures and the manifest into `folder`, each file whole or not at all.

        The manifest comes last, so where it stands the other files are there.
        """
        folder = Path(folder)
        for name, content in self.files().items():
            write_atomically(folder / name, content)
        return folder


def _end_of_colours(values: np.ndarray) -> float:
    """Where the colours of a map end, such that one large value does not leave all others white."""
    return colour_limit(values[values != 0], percentile=FULL_COLOUR_PERCENTILE)


def make_attribution(
    values: torch.Tensor,
    segmenter: Segmenter,
    image: Image,
    target: Target,
    method: str,
    parameters: dict[str, Any],
    started: float,
    unit: str | None = None,
    **more: Any,
) -> Attribution:
    """An `Attribution` of values (C, H, W), with the hashes of the model and the image filled in.

    The seconds are those since `time.perf_counter()` was `started`. Without a `unit` it is the target's, score per unit
    of intensity; `more` are other fields of `Attribution`.
    """
    seconds = time.perf_counter() - started
    tensor = image_tensor(image)
    lowest, highest = float(tensor.min()), float(tensor.max())
    notes = list(segmenter.notes)
    if not 0 <= lowest <= highest <= 1:
        notes.append(f"the image holds intensities from {lowest:g} to {highest:g}, which belong in [0, 1]")
    return Attribution(
        values.detach().cpu().numpy().astype(np.float32, copy=False),
        target,
        method,
        parameters,
        (tensor.shape[-2], tensor.shape[-1]),
        seconds,
        unit or target.unit,
        segmenter.weights_hash,
        image_hash(image),
        model_name=segmenter.name,
        notes=tuple(notes),
        source=Source(segmenter, tensor.detach()),
        **more,
    )


def image_hash(image: Image) -> str:
    """SHA-256 over the shape and the float32 values of an image (C, H, W)."""
    array = np.ascontiguousarray(image_tensor(image).detach().cpu().numpy(), dtype=np.float32)
    array = array[0] if array.ndim == 4 else array
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()
