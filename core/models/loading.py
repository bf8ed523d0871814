"""`load_segmenter`: from a checkpoint, a shipped name, a factory or an architecture to a `Segmenter`."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..segmenter import Segmenter
from ..segmenter.grid import Align
from ..segmenter.output_reading import Activation
from ..segmenter.prompts import Prompt, prompt_refused
from .adapters import nnunet, onnx_files
from .adapters.transformers_folder import is_transformers_folder, segmenter_from_transformers
from .checkpoint import CheckpointInfo, find_checkpoint, read_checkpoint, shipped_weights
from .factory import is_factory, segmenter_from_factory
from .metadata import check_arguments, check_class_names
from .ranges import InvalidValueError
from .zoo import ARCHITECTURES, build_module, check_architecture, without_published_weights
from .zoo.recognition import Identity, recognise
from .zoo.weightless import Weightless, has_weightless

Normalisation = Literal["none", "imagenet"]
NORMALISATIONS: dict[Normalisation, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and std by name, for images in [0, 1]."""

_ASSUMED = {
    "imagenet": "ImageNet's mean and std assumed, as usual with {}",
    "none": "none assumed, as the image has other than the three channels that are usual with {}",
}


def load_segmenter(
    path_or_name: str | Path,
    device: str | torch.device = "auto",
    *,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    normalisation: Normalisation | None = None,
    output: str | int | None = None,
    activation: Activation | None = None,
    align: Align | None = None,
    any_intensity: bool = False,
    label: str | int | None = None,
    prompt: Prompt | None = None,
) -> Segmenter:
    """A segmenter from a checkpoint, a shipped name, a folder of transformers, a factory, or an untrained architecture.

    A checkpoint's architecture is taken from the caller, else from the file, else from its keys and shapes where they
    leave no doubt; the normalisation from the caller, else from the file. For a network of segmentation_models_pytorch
    or torchvision with three channels and none stated, it is ImageNet's, which their published weights are trained
    with. `segmenter.notes` holds the assumptions.

    Args:
        path_or_name: A file; a name such as "vessmap" from `weights/`; a folder as Hugging Face transformers saves it
            (see `segmenter_from_transformers`); a factory (see `segmenter_from_factory`); or a key of `ARCHITECTURES`
            for that network with fresh, seeded weights, whose name then says "untrained".
        device: "auto", "cpu" or "cuda".
        architecture: Key of `ARCHITECTURES`, where neither the file nor its keys state it.
        arguments: Keyword arguments of that architecture.
        class_names: One name per class, instead of the file's.
        mean: Mean of the normalisation, instead of the file's.
        std: Standard deviation of the normalisation, instead of the file's (1 if it has none and a mean is given).
        normalisation: "none" or "imagenet", instead of mean and std.
        output: Key or index of the output to explain, as in `Segmenter`.
        activation: Activation inside the network, as in `Segmenter`.
        align: How its output lies over the image, as in `Segmenter`.
        any_intensity: Whether images hold other intensities than [0, 1], as in `Segmenter`: those of the training.
        label: The one label to explain where several may be on at a pixel, as in `Segmenter`; also a region of nnU-Net.
        prompt: Row and column of the point that SAM or SAM 2 is given (see `PromptedMask`); `output` is then the index
            of the mask. `segmenter.for_prompt` asks about another point.

    Raises:
        UserError: A file that cannot be read, an architecture that is not known, or weights that do not fit it;
            arguments that are no plain values of a plausible size, or a class name given twice.
    """
    _check(arguments, class_names, normalisation, has_numbers=mean is not None or std is not None)
    name = str(path_or_name)
    is_file = name in shipped_weights() or Path(name).is_file()
    if not is_file and is_transformers_folder(Path(name)):
        _check_states_itself(f"The folder {name}", architecture, arguments)
        mean, std = (mean, std) if normalisation is None else NORMALISATIONS[normalisation]
        return segmenter_from_transformers(
            Path(name), device, class_names=class_names, mean=mean, std=std, output=output, activation=activation,
            align=align, any_intensity=any_intensity, label=label, prompt=prompt,
        )  # fmt: skip
    if not is_file and name not in ARCHITECTURES and is_factory(name):
        given = architecture, arguments, class_names, mean, std, normalisation, output, activation, align
        if any_intensity or any(value is not None for value in given):
            raise UserError(f"The factory {name} says all of its network itself; set it there, and give no more.")
        made = segmenter_from_factory(name, device)
        made = made if label is None else made.for_label(label)
        return made if prompt is None else made.for_prompt(prompt)
    if prompt is not None:
        raise prompt_refused(name)
    if not is_file and name in ARCHITECTURES:
        if architecture not in (None, name):
            raise UserError(f"{name} names the network; leave out the other architecture {architecture}.")
        stored, info = None, _info(name, arguments)
        module, notes = _untrained(info)
        name += " (untrained)"
    elif name.lower().endswith(onnx_files.SUFFIX):
        _check_states_itself(f"The ONNX file {name}", architecture, arguments)
        stored, path = None, Path(path_or_name)
        module, in_channels, notes = onnx_files.read_onnx(path)
        info, name = CheckpointInfo(onnx_files.NAME, {}, in_channels=in_channels), path.stem
    else:
        path = find_checkpoint(path_or_name)
        state_dict, stored = read_checkpoint(path)
        _check_needs_no_code(path, stored, architecture)
        info, notes = _complete(stored, state_dict, path.name, architecture, arguments)
        if info.architecture == nnunet.NAME:
            mean, std = (mean, std) if normalisation is None else NORMALISATIONS[normalisation]
            region = output if label is None else label
            info, notes = nnunet.as_asked(info, region, mean, std, any_intensity=any_intensity)
            output = label = mean = std = normalisation = None
        module, name = _loaded(info, state_dict, path.name), path.stem
    entry = ARCHITECTURES[info.architecture]
    if entry.library and stored is None and mean is None and std is None and normalisation is None:
        normalisation = assumed_normalisation(info.architecture, info.in_channels)
        notes.append(f"normalisation not stated: {_ASSUMED[normalisation].format(entry.library)}")
    known_mean, known_std = NORMALISATIONS[normalisation] if normalisation is not None else (info.mean, info.std)
    return Segmenter(
        module,
        class_names=class_names or info.class_names or None,
        in_channels=info.in_channels,
        mean=known_mean if mean is None else mean,
        std=known_std if std is None else std,
        size_multiple=entry.size_multiple(info.arguments),
        device=device,
        name=name,
        notes=notes,
        output=output,
        activation=activation,
        align=align,
        any_intensity=any_intensity,
        label=label,
    )


def _check_states_itself(what: str, architecture: str | None, arguments: Mapping[str, Any] | None) -> None:
    if architecture is not None or arguments is not None:
        raise UserError(f"{what} states its architecture itself; leave out architecture and arguments.")


def _check_needs_no_code(path: Path, stored: CheckpointInfo | None, architecture: str | None) -> None:
    """Refuse the weights of a network of the user's own code: a file never says which code is run."""
    if architecture is None and stored is not None and is_factory(stored.architecture):
        loader = path.with_suffix(".py")
        give = f"{loader.name}:network" if loader.is_file() else "that file, as NAME.py:network"
        raise UserError(
            f"{path.name} holds weights of {stored.architecture}, a network of your own code; the function that builds "
            f"it and loads them is in a file beside the run's best weights: give {give}."
        )


def weights_into(made: Segmenter | nn.Module, path: str | Path, device: str | torch.device = "auto") -> Segmenter:
    """A network of the user's own code with the weights of a checkpoint that training wrote.

    Args:
        made: What the user's function returned (`made_by_factory`).
        path: The checkpoint; its class names and normalisation count where `made` is a module.
        device: Where to put a module; a segmenter stays where it is.

    Raises:
        UserError: A file that cannot be read, or weights that do not fit.
    """
    state_dict, info = read_checkpoint(path)
    module, name = made.module if isinstance(made, Segmenter) else made, Path(path).stem
    try:
        module.load_state_dict(state_dict)
    except RuntimeError as error:
        raise UserError(
            f"The weights in {Path(path).name} do not fit the network; has its code changed since?"
        ) from error
    if isinstance(made, Segmenter):
        made.name = name
        return made
    if info is None:
        raise UserError(f"{Path(path).name} says neither classes nor normalisation; it is not from a training run.")
    about: dict[str, Any] = {
        "class_names": info.class_names,
        "in_channels": info.in_channels,
        "mean": info.mean,
        "std": info.std,
    }
    return Segmenter(module, **about, device=device, name=name)


def identify(path: str | Path) -> Identity:
    """What a checkpoint file states about its network, so that the user can be asked for the rest.

    Raises:
        UserError: As `read_checkpoint`.
    """
    if Path(path).suffix.lower() == onnx_files.SUFFIX:
        return Identity(onnx_files.NAME, {"in_channels": onnx_files.channels_in(Path(path))})
    state_dict, stored = read_checkpoint(path)
    if stored is not None:
        return Identity(stored.architecture, stored.arguments, states_normalisation=True)
    return recognise(state_dict, Path(path).name)


def assumed_normalisation(architecture: str, in_channels: int) -> Normalisation:
    """The default where a file states no normalisation: ImageNet's for the libraries' networks of three channels."""
    return "imagenet" if ARCHITECTURES[architecture].library and in_channels == 3 else "none"


def _check(
    arguments: Mapping[str, Any] | None,
    class_names: Sequence[str] | None,
    normalisation: Normalisation | None,
    *,
    has_numbers: bool,
) -> None:
    """Refuse what the caller stated where it cannot be right; `has_numbers` means that mean or std is given."""
    if normalisation is not None and has_numbers:
        raise UserError("Give either the name of a normalisation or its mean and std.")
    if normalisation is not None and normalisation not in NORMALISATIONS:
        raise UserError(f'There is no normalisation "{normalisation}"; use {" or ".join(NORMALISATIONS)}.')
    try:
        if arguments is not None:
            check_arguments(arguments)
        if class_names is not None:
            check_class_names(class_names)
    except InvalidValueError as error:
        raise UserError(f"The network cannot be loaded as asked for: {error}") from error


def _complete(
    stored: CheckpointInfo | None,
    state_dict: Mapping[str, Tensor],
    name: str,
    architecture: str | None,
    arguments: Mapping[str, Any] | None,
) -> tuple[CheckpointInfo, list[str]]:
    """The info, from the caller, else the file, else the keys; and notes for the user."""
    if architecture is not None:
        check_architecture(architecture)
        info = _info(architecture, arguments)
        if stored is not None:
            in_channels = info.arguments.get("in_channels", stored.in_channels)
            info = replace(stored, architecture=architecture, arguments=info.arguments, in_channels=in_channels)
        return info, []
    if stored is not None:
        return stored, []
    identity = recognise(state_dict, name)
    if (architecture := identity.architecture) is None:
        raise UserError(identity.sentence)
    notes = [f"architecture {architecture} recognised by its keys"]
    if (library := ARCHITECTURES[architecture].library) == "segmentation_models_pytorch":
        notes.append(f"arguments that leave no trace in the keys, such as strides, are the defaults of {library}")
    return _info(architecture, identity.arguments), notes


def _info(architecture: str, arguments: Mapping[str, Any] | None) -> CheckpointInfo:
    """The info of an architecture with these arguments, without normalisation."""
    arguments = dict(arguments or {})
    in_channels = arguments.get("in_channels", ARCHITECTURES[architecture].in_channels)
    return CheckpointInfo(architecture, arguments, in_channels=in_channels)


def _untrained(info: CheckpointInfo) -> tuple[nn.Module, list[str]]:
    """The network with fresh, seeded weights, or published ones that its arguments name; and the note that says so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_module(info.architecture, info.arguments)
    published = {*info.arguments} - {*without_published_weights(info.arguments)}
    return module, [
        f"published {', '.join(sorted(published))}" if published else "fresh weights, seed 0: it is untrained"
    ]


def _loaded(info: CheckpointInfo, state_dict: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with the file's weights; memory is taken only once the shapes are known to fit."""
    arguments = without_published_weights(info.arguments)
    weights = {key: value.float() if value.is_floating_point() else value for key, value in state_dict.items()}
    for building in (Weightless(), nullcontext()):
        with building:
            module = build_module(info.architecture, arguments)
        try:
            module.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            own = module.state_dict()
            fitting = sum(key in own and own[key].shape == value.shape for key, value in weights.items())
            raise UserError(
                f"The weights in {name} do not fit the architecture {info.architecture}: {fitting} of {len(weights)} "
                f"entries match its {len(own)}; it is a checkpoint of another architecture or of other arguments."
            ) from error
        if not has_weightless(module):  # else a table, say, that is computed from the sizes and is not in the file
            break
    # The order of weights that convolutions are fastest in. Other networks may use operations that refuse it.
    return module.to(memory_format=torch.channels_last) if ARCHITECTURES[info.architecture].channels_last else module
