"""Copies of a network whose weights are drawn anew, layer by layer from the output side."""

import copy
import hashlib
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.segmenter import Segmenter


def layers_from_the_top(segmenter: Segmenter, size: tuple[int, int]) -> list[str]:
    """Names of the modules whose own parameters reach the logits, the one used last first.

    A module's own parameters are those that are not its parts'; "" is the network itself. Parameters that are shared
    count for the module that uses them last. What never reaches the logits, as an auxiliary head, is left out.

    Args:
        segmenter: The network; a copy of it is run once on a black image.
        size: (height, width) of that image.

    Raises:
        UserError: A network that cannot be copied, or none of whose parameters reaches the logits.
    """
    duplicate = _copied(segmenter, segmenter.name)
    for parameter in duplicate.module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    black = torch.zeros(1, segmenter.in_channels, *size, device=segmenter.device)
    with torch.enable_grad():
        used = _order_of_use(duplicate.unchecked_logits(black))
    own = {
        name: [parameter for parameter in module.parameters(recurse=False) if id(parameter) in used]
        for name, module in duplicate.module.named_modules()
    }
    order = sorted(
        (name for name, parameters in own.items() if parameters),
        key=lambda name: max(used[id(parameter)] for parameter in own[name]),
        reverse=True,
    )
    claimed: set[int] = set()
    found = []
    for name in order:
        if any(id(parameter) not in claimed for parameter in own[name]):
            found.append(name)
            claimed |= {id(parameter) for parameter in own[name]}
    if not found:
        raise UserError(f"No parameter of {segmenter.name} reaches its logits, so there is nothing to randomise.")
    return found


def randomised(segmenter: Segmenter, layers: Sequence[str], seed: int = 0) -> Segmenter:
    """A copy of the network in which the layers' own parameters are drawn anew; the original stays as it is.

    A module that can (`reset_parameters`: convolutions, linear layers, normalisations) starts afresh as torch starts
    it: batch normalisation with scale 1, shift 0 and running statistics 0 and 1, so that it passes on what comes. Any
    other parameter is drawn from a normal distribution of its own mean and standard deviation. A layer's draws depend
    on the seed and its name alone, so the copies of one seed share the layers that are randomised in both.

    Args:
        segmenter: The network.
        layers: Names as in `segmenter.module.named_modules()`, e.g. of `layers_from_the_top`.
        seed: Of the draws, which are the same on every device.

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
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(_seed_of(name, seed))
            _draw_anew(duplicate.module.get_submodule(name))
    duplicate.module.to(segmenter.device)
    return duplicate


def _draw_anew(module: nn.Module) -> None:
    reset: Callable[[], object] | None = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        if parameter.is_floating_point():
            parameter.normal_(float(parameter.mean()), float(parameter.std(correction=0)))


def _seed_of(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "little")


def _order_of_use(logits: Tensor) -> dict[int, int]:
    """By the id of each parameter that reaches the logits, the number of the operation that uses it last."""
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
    return used


def _copied(segmenter: Segmenter, name: str) -> Segmenter:
    with segmenter.lock:  # or the hooks that another thread has put there would be copied, too
        try:
            module = copy.deepcopy(segmenter.module)
        except (RuntimeError, TypeError) as error:
            raise UserError(f"The network {segmenter.name} cannot be copied, so it cannot be randomised.") from error
    duplicate = copy.copy(segmenter)
    duplicate.module, duplicate.lock, duplicate.name = module, threading.RLock(), name
    vars(duplicate).pop("weights_hash", None)
    return duplicate
