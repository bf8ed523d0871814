"""A segmentation network in a folder of Hugging Face transformers: `config.json` and safetensors files.

Nothing is fetched and no code of the folder is run: the architecture is a class of transformers itself, and what would
need more than the files in the folder is refused before transformers sees it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...errors import UserError
from ...segmenter import Segmenter
from ...segmenter.grid import Align
from ...segmenter.output_reading import Activation
from ...segmenter.prompts import Prompt, PromptedMask, PromptNeededError, prompt_refused
from ...segmenter.queries import QUERY_NETWORKS, set_task
from ..ranges import shortened

CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_LARGEST_JSON = 2**24
_MOST_NAMES = 3
_BRIGHTEST = 255
"""Processors are written for 8-bit images, and images are in [0, 1] here."""
_UNUSABLE = {
    "auto_map": "it needs Python code that comes with it, which is never run",
    "quantization_config": "its weights are quantised; save it in float32",
    "transformers_weights": "its weights are in a file of another name; rename it to model.safetensors",
}
_TRAINING_ONLY = {"oneformer": "model.text_mapper."}
"""Prefix of the weights that a network has in training only, by model type."""


@dataclass(frozen=True)
class _Preparation:
    """How the image processor of a folder prepares images in [0, 1].

    Attributes:
        mean: Is subtracted.
        std: Divides.
        origin: Where they come from, for the user.
        is_reversed: Whether the channels are in reverse order (blue, green, red).
        notes: Further notes for the user.
    """

    mean: Sequence[float]
    std: Sequence[float]
    origin: str
    is_reversed: bool
    notes: tuple[str, ...]


def is_transformers_folder(path: Path) -> bool:
    """Whether a path is that of a folder with a network of transformers."""
    return (path / CONFIG).is_file()


def segmenter_from_transformers(
    folder: Path,
    device: str | torch.device = "auto",
    *,
    class_names: Sequence[str] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    output: str | int | None = None,
    activation: Activation | None = None,
    align: Align | None = None,
    any_intensity: bool = False,
    label: str | int | None = None,
    prompt: Prompt | None = None,
) -> Segmenter:
    """The segmenter of a folder as `save_pretrained` writes it; needs the package transformers.

    The classes are those of `id2label`. The normalisation is that of the image processor in the folder; without one,
    the default of the processor that transformers has for this kind of network, which a note says. Images are explained
    at their own size; a note says which size the processor would have made.

    Args:
        folder: With `config.json`, `model.safetensors` (or `model.safetensors.index.json` and its parts) and, where
            there is one, the configuration of the image processor.
        device: "auto", "cpu" or "cuda".
        class_names: One name per class, instead of the folder's.
        mean: Mean of the normalisation for images in [0, 1], instead of the folder's.
        std: Standard deviation of the normalisation, instead of the folder's.
        output: As in `Segmenter`.
        activation: As in `Segmenter`.
        align: As in `Segmenter`.
        any_intensity: As in `Segmenter`.
        label: As in `Segmenter`.
        prompt: Row and column of the point that a SAM or SAM 2 is given; `output` is then the index of the mask.

    Raises:
        UserError: transformers is not installed; a network that does no semantic segmentation or needs code, a
            connection or other weights than the folder's; damaged or missing files.
    """
    folder = folder.resolve()
    stated = _json_object(folder / CONFIG)
    _check_usable(stated, folder / CONFIG)
    _check_weights(folder)
    try:
        import transformers  # noqa: PLC0415 - optional, and slow to import
    except ModuleNotFoundError as error:
        raise UserError(
            f"{folder} holds a network of Hugging Face transformers, which is not installed: pip install transformers."
        ) from error
    network = _network_class(stated, folder, transformers)
    takes_prompt = network in (transformers.SamModel, transformers.Sam2Model)
    if takes_prompt and prompt is None:
        raise PromptNeededError(
            f"{folder} holds a SAM, which answers about one object; give a point on it, prompt=(row, column) in Python "
            "or --prompt ROW COLUMN on the command line."
        )
    if prompt is not None and not takes_prompt:
        raise prompt_refused(f"The network in {folder}")
    module = _loaded(network, folder, stated, transformers)
    config: Any = module.config
    in_channels = _in_channels(config)
    preparation = _preparation(folder, config, in_channels, transformers)
    notes, names = preparation.notes, [str(name) for _, name in sorted(config.id2label.items())]
    if prompt is not None:
        module, output = PromptedMask(module, prompt, output), None
        notes, names = (), []
    if preparation.is_reversed:
        module.register_forward_pre_hook(_reverse_channels)
    origin = (preparation.origin,) if mean is None and std is None else ()
    return Segmenter(
        module,
        class_names=class_names or (names if len(names) > 1 else None),  # one channel becomes two classes
        in_channels=in_channels,
        mean=preparation.mean if mean is None else mean,
        std=preparation.std if std is None else std,
        device=device,
        name=folder.name,
        notes=(*origin, *notes),
        output=output,
        activation=activation,
        align=align,
        any_intensity=any_intensity,
        label=label,
    )


def _check_usable(stated: object, file: Path) -> None:
    """Refuse a configuration that needs more than the folder, in it or in the configuration of a part."""
    parts = [stated]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts.extend(part)
        if isinstance(part, dict):
            parts.extend(part.values())
            reason = next((reason for key, reason in _UNUSABLE.items() if part.get(key) is not None), None)
            if any("attn_implementation" in key and not _is_known_attention(part[key]) for key in part):
                reason = "it names code for its attention; remove that from the file"
            if isinstance(part.get("backbone"), str) and part.get("backbone_config") is None:
                reason = "it names its backbone instead of describing it; load it and save it again with a connection"
            if reason is not None:
                raise UserError(f"The network of {file} cannot be loaded: {reason}.")


def _is_known_attention(value: object) -> bool:
    return not isinstance(value, str | dict) or value in ("eager", "sdpa")


def _check_weights(folder: Path) -> None:
    """Refuse a folder whose safetensors files are missing, elsewhere or cut off."""
    names = [_WEIGHTS]
    if not (folder / _WEIGHTS).is_file():
        if not (folder / _INDEX).is_file():
            raise UserError(
                f"{folder} holds no {_WEIGHTS}; save the network there with save_pretrained, which writes one."
            )
        weight_map = _json_object(folder / _INDEX).get("weight_map")
        names = sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []
        if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
            raise UserError(f"{folder / _INDEX} does not list safetensors files of its folder.")
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"{folder} lacks {name}, which holds a part of the weights.")
        try:
            with safe_open(folder / name, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(f"{folder / name} is not a whole safetensors file: {error}.") from error


def _network_class(stated: Mapping[str, Any], folder: Path, transformers: Any) -> Any:
    """The class of transformers that the configuration names, one of those for semantic segmentation."""
    known = transformers.models.auto.modeling_auto
    supported = set(known.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES.items())
    universal = known.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES
    supported |= {(name, universal[name]) for name in QUERY_NETWORKS if name in universal}
    supported |= {("sam", "SamModel"), ("sam2", "Sam2Model")}
    names = stated.get("architectures") or []
    if (stated.get("model_type"), names) == ("sam2_video", ["Sam2VideoModel"]):  # as Meta's checkpoints are stored
        return transformers.Sam2Model
    if not isinstance(names, list) or not names:
        raise UserError(f"{folder / CONFIG} does not say which architectures it is of; save it with save_pretrained.")
    if (stated.get("model_type"), names[0]) not in supported:
        raise UserError(
            f"{folder} holds a {shortened(str(names[0]), 80)}, which is no network for semantic segmentation that is "
            "known here; give one such as SegformerForSemanticSegmentation or Mask2FormerForUniversalSegmentation."
        )
    return getattr(transformers, names[0])


def _loaded(network: Any, folder: Path, stated: Mapping[str, Any], transformers: Any) -> nn.Module:
    """The network with all weights of the folder, in float32."""
    model_type = str(stated["model_type"])
    options = {"is_training": False} if model_type == "oneformer" else {}
    try:
        with _quiet(transformers):
            module, info = network.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
                ignore_mismatched_sizes=True, output_loading_info=True, **options,
            )  # fmt: skip
            if model_type == "oneformer":
                set_task(module, _task_tokens(folder, module.config.task_seq_len, transformers))
    except UserError:
        raise
    except Exception as error:  # whatever a damaged configuration makes transformers raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"transformers cannot load {folder}: {shortened(reason)}") from error
    unexpected = [key for key in info["unexpected_keys"] if not key.startswith(_TRAINING_ONLY.get(model_type, "\0"))]
    problems = {
        "missing": sorted(info["missing_keys"]),
        "left over": sorted(unexpected),
        "of another shape": sorted(key for key, *_ in info["mismatched_keys"]),
    }
    found = [f"{len(keys)} {problem} ({_first(keys)})" for problem, keys in problems.items() if keys]
    if found:
        raise UserError(f"The weights in {folder} do not fit its {CONFIG}: {'; '.join(found)}.")
    return module


def _first(keys: Sequence[str]) -> str:
    shown = ", ".join(shortened(key, 80) for key in keys[:_MOST_NAMES])
    return f"{shown}, …" if len(keys) > _MOST_NAMES else shown


def _task_tokens(folder: Path, length: int, transformers: Any) -> Tensor:
    """The tokens (1, length) of the task "semantic", as the processor of OneFormer makes them."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise UserError(
            f"{folder} lacks the tokenizer that OneFormer's task is written with; save its OneFormerProcessor there."
        )
    if (settings := folder / "tokenizer_config.json").is_file():
        _check_usable(_json_object(settings), settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    made = tokenizer(
        ["the task is semantic"], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    return made["attention_mask"] * made["input_ids"]


def _preparation(folder: Path, config: Any, in_channels: int, transformers: Any) -> _Preparation:
    """What the folder's image processor does, or else the one that transformers has for this kind of network.

    The processor itself is not made: that of OneFormer would fetch a table.
    """
    stated = _stated_preparation(folder)
    mapping = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    names = [
        str(stated.get("image_processor_type")).removesuffix("Fast"),
        mapping.get(config.model_type, {}).get("torchvision"),
    ]
    processor: Any = next((getattr(transformers, name) for name in names if name and hasattr(transformers, name)), None)

    def value(key: str) -> Any:
        return stated.get(key, getattr(processor, key, None))

    if not stated and (processor is None or in_channels != 3):
        mean, std, origin = [0.0], [1.0], "normalisation not stated: none assumed"
    else:
        given = (value("image_mean"), value("image_std")) if value("do_normalize") else (0.0, 1.0)
        try:
            scale = _BRIGHTEST * (value("rescale_factor") if value("do_rescale") else 1)
            mean, std = ([float(each) / scale for each in np.atleast_1d(values)] for values in given)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise UserError(f"The image processor in {folder} states no mean and std that are numbers.") from error
        numbers = f"mean {', '.join(f'{each:g}' for each in mean)}, std {', '.join(f'{each:g}' for each in std)}"
        origin = f"{numbers} from its image processor" if stated else f"normalisation not stated: {numbers} assumed"
    notes = []
    is_reversed = bool(value("do_flip_channel_order"))
    if is_reversed:
        notes.append("channels turned to blue, green, red, as by its image processor")
    if stated and value("do_resize"):
        size = value("size")
        words = ", ".join(f"{key} {side}" for key, side in size.items() if side) if isinstance(size, Mapping) else size
        words = str(words).replace("_", " ")
        notes.append(f"images keep their size; its image processor would make it {words}")
    return _Preparation(mean, std, origin, is_reversed, tuple(notes))


def _stated_preparation(folder: Path) -> dict[str, Any]:
    """The configuration of the folder's image processor; empty where it has none."""
    for name in _PROCESSORS:
        stated = _json_object(folder / name) if (folder / name).is_file() else {}
        _check_usable(stated, folder / name)
        stated = stated.get("image_processor", {}) if name == _PROCESSORS[0] else stated
        if isinstance(stated, dict) and stated:
            return stated
    return {}


def _in_channels(config: Any) -> int:
    for part in (getattr(config, "backbone_config", None), config):
        if isinstance(channels := getattr(part, "num_channels", None), int):
            return channels
    return 3


def _reverse_channels(_module: nn.Module, images: tuple[Tensor]) -> Tensor:
    return images[0].flip(1)


def _json_object(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST_JSON:
            raise UserError(f"{file} has {file.stat().st_size} bytes, and {_LARGEST_JSON} are the most that is read.")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a whole JSON file: {shortened(str(error))}.") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} does not hold a JSON object.")
    return found


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No report and no progress bar of transformers: what it would warn of is an error here."""
    logging = transformers.utils.logging
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
