"""Copies of a network with randomised weights, layer by layer from the output side."""

import copy
import hashlib
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from ..errors import UserError, is_out_of_memory
from ..segmenter import Segmenter

_LARGEST_SIDE = 64
"""Largest side of the image that the layers' order is read on: the graph of a large one would only cost memory."""
_FRESH_BUFFERS = {"running_mean": 0.0, "running_var": 1.0, "weight": 1.0, "bias": 0.0}
_drawing = threading.Lock()
"""Held while torch's own CPU generator is set to a layer's seed: `reset_parameters` draws from no other."""


def layers_from_the_top(segmenter: Segmenter, size: tuple[int, int]) -> list[str]:
    """Names of the modules whose own parameters reach the logits, the one used last first.

    A module's own parameters are those that are not its parts'; "" is the network itself. Parameters that are shared
    count for the module that uses them last. What never reaches the logits, as an auxiliary head, is left out. A
    module without parameters that keeps learned running statistics (`BatchNorm2d(affine=False)`, a frozen batch
    normalisation) is a layer, too.

    Args:
        segmenter: The network; a copy of it is run once on a black image.
        size: (height, width) of the images it is for. The black one has sides of at most 64, or this size where the
            network does not take that.

    Raises:
        UserError: A network that cannot be copied, or none of whose parameters reaches the logits.
    """
    duplicate = _copied(segmenter, segmenter.name)
    for parameter in duplicate.module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    results: list[tuple[int, Node]] = []

    def note(module: nn.Module, _: object, result: object) -> None:
        if isinstance(result, Tensor) and result.grad_fn is not None:
            results.append((id(module), result.grad_fn))

    for module in duplicate.module.modules():
        if _keeps_statistics(module) and not list(module.parameters(recurse=False)):
            module.register_forward_hook(note)
    used = _order_of_use(_logits_of_black(duplicate, size), results)
    own = {
        name: [part for part in (id(module), *map(id, module.parameters(recurse=False))) if part in used]
        for name, module in duplicate.module.named_modules()
    }
    order = sorted(
        (name for name, parts in own.items() if parts),
        key=lambda name: max(used[part] for part in own[name]),
        reverse=True,
    )
    claimed: set[int] = set()
    found = []
    for name in order:
        if not claimed.issuperset(own[name]):
            found.append(name)
            claimed.update(own[name])
    if not found:
        raise UserError(f"No parameter of {segmenter.name} reaches its logits, so there is nothing to randomise.")
    return found


def randomised(segmenter: Segmenter, layers: Sequence[str], seed: int = 0) -> Segmenter:
    """A copy of the network with the layers' own parameters randomised; the original stays as it is.

    A module that can (`reset_parameters`: convolutions, linear layers, normalisations) is initialised as torch does
    it: batch normalisation with scale 1, shift 0 and running statistics 0 and 1, so that it passes on what comes; a
    frozen one, which keeps all four as buffers, too. Any other parameter is drawn from a normal distribution of its
    own mean and standard deviation; where that deviation is 0, as for a single number, the larger of |mean| and 1
    takes its place, or the parameter would stay as it is. A layer's draws depend on the seed and its name alone, so
    the copies of one seed share the layers that are randomised in both.

    The draws are torch's own, from its CPU generator, which is put back; no other generator is touched. Threads that
    randomise wait for each other; one that draws something else from that generator at that moment disturbs them.

    Args:
        segmenter: The network.
        layers: Names as in `segmenter.module.named_modules()`, e.g. of `layers_from_the_top`.
        seed: Seed of the draws, which are the same on every device.

    Raises:
        UserError: A layer that is not there, or a network that cannot be copied.
    """
    modules = dict(segmenter.module.named_modules(remove_duplicate=False))
    unknown = [name for name in layers if name not in modules]
    if unknown:
        raise UserError(f'The network {segmenter.name} has no layer "{unknown[0]}".')
    duplicate = _copied(segmenter, f"{segmenter.name} (randomised)")
    duplicate.module.cpu()
    for name in layers:
        layer_seed = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "little")
        with _drawing, torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(layer_seed)
            _randomise(duplicate.module.get_submodule(name))
    duplicate.module.to(segmenter.device)
    return duplicate


def _randomise(module: nn.Module) -> None:
    reset: Callable[[], object] | None = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        if parameter.is_floating_point():
            mean, spread = float(parameter.mean()), float(parameter.std(correction=0))
            parameter.normal_(mean, spread or max(abs(mean), 1.0))
    if _keeps_statistics(module):
        for name, buffer in module.named_buffers(recurse=False):
            if name in _FRESH_BUFFERS:
                buffer.fill_(_FRESH_BUFFERS[name])


def _keeps_statistics(module: nn.Module) -> bool:
    return any(name == "running_mean" for name, _ in module.named_buffers(recurse=False))


def _logits_of_black(segmenter: Segmenter, size: tuple[int, int]) -> Tensor:
    def logits(size: Sequence[int]) -> Tensor:
        # The image needs a gradient, or statistics used before the first parameter would leave no trace in the graph.
        black = torch.zeros(1, segmenter.in_channels, *size, device=segmenter.device, requires_grad=True)
        with torch.enable_grad():
            return segmenter.unchecked_logits(black)

    small = min(size[0], _LARGEST_SIDE), min(size[1], _LARGEST_SIDE)
    try:
        return logits(small)
    except (RuntimeError, ValueError, AssertionError) as error:  # what networks raise for a size they refuse
        if small == size or is_out_of_memory(error):
            raise
        return logits(size)


def _order_of_use(logits: Tensor, results: Sequence[tuple[int, Node]]) -> dict[int, int]:
    """By the id of what reaches the logits, a parameter or a module with a result, the last operation's number."""
    used: dict[int, int] = {}
    waiting, seen = [logits.grad_fn], {logits.grad_fn}
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        for following, _ in node.next_functions:
            parameter = getattr(following, "variable", None)
            if parameter is not None:
                used[id(parameter)] = max(used.get(id(parameter), -1), node._sequence_nr())  # noqa: SLF001 - torch offers no other
            elif following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    for module, node in results:
        if node in seen:
            used[module] = max(used.get(module, -1), node._sequence_nr())  # noqa: SLF001 - torch offers no other
    return used


def _copied(segmenter: Segmenter, name: str) -> Segmenter:
    with segmenter.lock:  # or the hooks that another thread has put there would be copied, too
        try:
            module = copy.deepcopy(segmenter.module)
        except (RuntimeError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            raise UserError(f"The network {segmenter.name} cannot be copied, so it cannot be randomised.") from error
    duplicate = copy.copy(segmenter)
    duplicate.module, duplicate.lock, duplicate.name = module, threading.RLock(), name
    return duplicate
