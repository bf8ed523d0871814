"""Activations of chosen layers and the gradients of one score by them, from one forward and one backward pass."""

import difflib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import UserError, explained_differentiation
from ...models.spatial import SpatialForm, spatial_form
from ...segmenter import Image, Segmenter
from ...segmenter.prompts import layer_sizes
from ...target import Target

_NAMES_SHOWN = 3


class LayerValues(NamedTuple):
    """Activations A, float (channels, height, width), and G = ∂score / ∂A; 0 where the score does not depend on A."""

    activations: Tensor
    gradients: Tensor


@dataclass(frozen=True, eq=False)
class LayerPass:
    """One forward and one backward pass through a network.

    Attributes:
        layers: Activations and gradients by the layer's name.
        score: The target's value.
        padded_size: (height, width) of the image as the network got it; layers cover that area.
    """

    layers: dict[str, LayerValues]
    score: float
    padded_size: tuple[int, int]


@dataclass(eq=False)
class Recording:
    """Outputs of layers in the last run of a network.

    Attributes:
        outputs: The last output of each layer that ran, as it left the layer.
        calls: How often each ran.
        padded_size: (height, width) of the network's input, in pixels of the image; layers cover that area.
        input_size: (height, width) of what the layers see, which is another only for a network that resizes it.
    """

    outputs: dict[str, Tensor] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    padded_size: tuple[int, int] = (0, 0)
    input_size: tuple[int, int] = (0, 0)


Replacement = Callable[[int, Tensor], Tensor]
"""Called with the number of a layer's call in this run (from 1) and its output; gives what goes on."""


def activations_and_gradients(segmenter: Segmenter, image: Image, target: Target, layers: Sequence[str]) -> LayerPass:
    """A and G = ∂target / ∂A of several layers, in one forward and one backward pass.

    Arguments as in `cam`. A layer that runs several times stands for its last run. No parameter's `.grad` is touched,
    and the hooks are gone afterwards, whatever happens. Threads may share the segmenter.

    Raises:
        UserError: A layer that is not there, does not run or has no spatial size; or the image or the target does not
            fit the network.
    """
    with torch.enable_grad():
        batch = segmenter.as_batch(image, single=True).detach().requires_grad_()
        with recorded(segmenter, layers) as recording:
            logits = segmenter.logits(batch)
        forms = {name: form_of(segmenter, recording, name) for name in layers}
        score = target(logits).sum()
        outputs = [recording.outputs[name] for name in forms]
        found: Sequence[Tensor] = [torch.zeros_like(output) for output in outputs]
        if score.requires_grad and outputs:
            with explained_differentiation():
                found = torch.autograd.grad(score, outputs, allow_unused=True, materialize_grads=True)
    values = {}
    for (name, form), output, gradients in zip(forms.items(), outputs, found, strict=True):
        values[name] = LayerValues(form.as_map(output.detach())[0], form.as_map(gradients)[0])
    return LayerPass(values, float(score.detach()), recording.padded_size)


@contextmanager
def recorded(
    segmenter: Segmenter, layers: Sequence[str], replace: Replacement = lambda _, output: output.clone()
) -> Iterator[Recording]:
    """While it lasts, this thread's runs of the network leave the outputs of `layers` in the recording.

    What `replace` gives goes on in their place: by default a copy, as what comes next may change it in place. The
    segmenter's lock is held. Runs in other threads pass the hooks untouched: not everything that runs a network holds
    the lock.

    Raises:
        UserError: A layer that is not there.
    """
    known = dict(segmenter.module.named_modules(remove_duplicate=False))
    modules = {name: _layer(segmenter, known, name) for name in layers}
    recording, owner = Recording(), threading.get_ident()

    def start(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == owner:
            recording.outputs.clear()  # what ran before was a trial of another size
            recording.calls.clear()
            size = inputs[0].shape[-2], inputs[0].shape[-1]
            recording.input_size, recording.padded_size = layer_sizes(segmenter.module, size)

    def record(name: str, output: object) -> object:
        tensor = output[0] if type(output) is tuple and output else output  # attention gives its weights too
        if threading.get_ident() != owner or not isinstance(tensor, Tensor):
            return None
        if torch.is_grad_enabled() and not tensor.requires_grad and tensor.is_floating_point():
            tensor = tensor.detach().requires_grad_()  # the image does not reach it, and yet the score may depend on it
        recording.calls[name] = recording.calls.get(name, 0) + 1
        recording.outputs[name] = tensor
        replaced = replace(recording.calls[name], tensor)
        return replaced if isinstance(output, Tensor) else (replaced, *output[1:])  # type: ignore[index]

    with segmenter.lock:
        handles = [segmenter.module.register_forward_pre_hook(start)]
        try:
            for name, module in modules.items():
                handles.append(module.register_forward_hook(lambda _, __, output, name=name: record(name, output)))
            yield recording
        finally:
            for handle in handles:
                handle.remove()


def form_of(segmenter: Segmenter, recording: Recording, layer: str) -> SpatialForm:
    """How a recorded layer's output is a map.

    Raises:
        UserError: The layer did not run, or its output has no spatial size.
    """
    if layer not in recording.outputs:
        raise UserError(
            f'The layer "{layer}" of {segmenter.name} gives no features for the prediction; choose one that does.'
        )
    output = recording.outputs[layer]
    form = spatial_form(tuple(output.shape), recording.input_size) if output.is_floating_point() else None
    if form is None or output.shape[0] == 0 or form.height * form.width <= 1 or form.channels < 1:
        raise UserError(
            f'The layer "{layer}" of {segmenter.name} has no spatial size (its output is '
            f"{'×'.join(map(str, output.shape))}), so there is no map; choose a layer that gives feature maps."
        )
    return form


def _layer(segmenter: Segmenter, modules: dict[str, nn.Module], name: str) -> nn.Module:
    names = [known for known in modules if known]
    if name in names:
        return modules[name]
    more = " and more" if len(names) > _NAMES_SHOWN else ""
    hint = f"it has {', '.join(names[:_NAMES_SHOWN])}{more}." if names else "it has no parts."
    for near in difflib.get_close_matches(name, names, n=1, cutoff=0.3):
        hint = f'did you mean "{near}"?'
    raise UserError(f'The network {segmenter.name} has no layer "{name}"; {hint}')
