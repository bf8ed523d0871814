"""The registry of attribution methods: what a method is, and how one or several are run by name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch

from ..compute.progress import Progress, progress_of_part
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution
from .settings import FIXED_OPTIONS, NoSettings, Setting, refuse_clashes, refuse_fixed_keys, settings_of

Kind = Literal["sensitivity", "contribution", "layer"]
"""What the values are: score per unit of intensity, shares of the score, or a map of a layer's size."""
Values = Mapping[str, Any]
"""Values of settings by name; a setting that is missing has its default."""
Size = tuple[int, int]


class Method:
    """An attribution method. A new one is a subclass with these attributes and `run`, decorated with `register`.

    Attributes:
        name: Name in code, files and URLs, and `method` of its attributions.
        title: Name on screen.
        kind: How its values are read, see `importance` and `predicted_drops`.
        sentence: What its map shows, in one sentence for people.
        aliases: Other names of the method.
        is_quick: False where it runs the network so often that it is computed only on request.
        group: Methods of one group share their passes of the network, see `run_together`; by default its own name.
        Settings: A frozen dataclass whose fields are made with `setting`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    kind: ClassVar[Kind]
    sentence: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    is_quick: ClassVar[bool] = True
    group: str = ""
    Settings: ClassVar[type] = NoSettings

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Any, progress: Progress | None
    ) -> Attribution:
        """The attribution of a target in an image (C, H, W).

        Raises:
            UserError: The image, the target or the settings do not fit.
        """
        raise NotImplementedError

    def passes(self, settings: Any, segmenter: Segmenter, size: Size) -> int:
        """Number of images that run through the network, for an image of `size` (height, width)."""
        return 1

    def completed(self, values: Values, segmenter: Segmenter, size: Size) -> Values:
        """The values, with those that depend on the network, such as the layer, filled in."""
        return values

    def suited_to(self, size: Size) -> Values:
        """Values of settings that suit images of `size` (height, width) better than their defaults."""
        return {}

    def run_together(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Mapping[str, Any], progress: Progress | None
    ) -> dict[str, Attribution]:
        """The attributions of several methods of this one's group, by name; `settings` holds those of each."""
        return {name: METHODS[name].run(segmenter, image, target, own, progress) for name, own in settings.items()}

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Its settings, in the order of the fields of `Settings`."""
        return settings_of(self.Settings)

    def settings_from(self, values: Values) -> Any:
        """Its `Settings` with those of the values that are its own."""
        return self.Settings(**{own.name: values[own.name] for own in self.settings if own.name in values})

    @property
    def is_signed(self) -> bool:
        """Whether its `importance` has a sign."""
        return self.kind == "contribution"


METHODS: dict[str, Method] = {}
"""All methods by name, in the order of display."""

MethodClass = TypeVar("MethodClass", bound=type[Method])


def register(method_class: MethodClass) -> MethodClass:
    """Add a method to `METHODS`; a decorator for its class.

    Raises:
        ValueError: Its name is taken, or it has a setting that another method defines otherwise, or one that is named
            like a fixed option or keyed like another input of the Trust page.
    """
    method = method_class()
    taken = [name for known in METHODS.values() for name in (known.name, *known.aliases)]
    for name in (method.name, *method.aliases):
        if name in taken:
            raise ValueError(f'There is already a method "{name}".')
    refuse_clashes(method.name, method.settings, all_settings(), FIXED_OPTIONS)
    refuse_fixed_keys(method.name, method.settings)
    method.group = method.group or method.name
    METHODS[method.name] = method
    return method_class


def method_named(name: str) -> Method:
    """The method of that name or alias.

    Raises:
        UserError: There is none; the message lists the names.
    """
    for method in METHODS.values():
        if name == method.name or name in method.aliases:
            return method
    raise UserError(f'The method is one of {", ".join(METHODS)}; "{name}" was given.')


def quick_methods() -> tuple[str, ...]:
    """Names of the methods that are computed by default, in the order of display."""
    return tuple(name for name, method in METHODS.items() if method.is_quick)


def all_settings(methods: Sequence[str] | None = None) -> dict[str, Setting]:
    """The settings of all methods, or of those named, by name; one that several methods share comes once."""
    chosen = METHODS.values() if methods is None else map(method_named, methods)
    return {own.name: own for method in chosen for own in method.settings}


def quick_settings() -> dict[str, Any]:
    """Values of all settings with which the maps of many methods are compared."""
    return {name: own.default if own.quick is None else own.quick for name, own in all_settings().items()}


def quickest_first(
    methods: Sequence[str], segmenter: Segmenter, size: Size, settings: Values | None = None
) -> list[str]:
    """The names by increasing number of passes, for images of `size` (height, width)."""
    _, passes = _settings_and_passes([method_named(name) for name in methods], segmenter, size, settings or {})
    return sorted(methods, key=lambda name: passes[method_named(name).group])


def explain(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    method: str,
    settings: Values | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """The attribution of one method, by its name in `METHODS` or an alias; further arguments as in `gradient`.

    The settings are values by name, see `all_settings`; those of other methods are ignored. The progress counts passes
    of the network.

    Raises:
        UserError: An unknown method or setting, or as the method itself.
    """
    return next(explain_each(segmenter, image, target, [method], settings, progress))[1]


def explain_each(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    methods: Sequence[str] | None = None,
    settings: Values | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Attribution]]:
    """The attributions of several methods in the order given, each as soon as it is there.

    Methods of one group share their passes of the network, which are run when the first of them is due. Arguments as in
    `explain`; without `methods` all quick ones are run. The progress counts the passes of all methods together.

    Raises:
        UserError: As `explain`; an unknown method or setting before anything runs.
    """
    chosen = [method_named(name) for name in (quick_methods() if methods is None else methods)]
    known = all_settings()
    unknown = [name for name in settings or {} if name not in known]
    if unknown:
        raise UserError(f'The settings are {", ".join(known)}; "{unknown[0]}" was given.')
    return _explained(segmenter, image, target, chosen, settings or {}, progress)


def _explained(
    segmenter: Segmenter, image: Image, target: Target, methods: list[Method], values: Values, progress: Progress | None
) -> Iterator[tuple[str, Attribution]]:
    batch = segmenter.as_batch(image, single=True)
    size = batch.shape[2], batch.shape[3]
    settings, passes = _settings_and_passes(methods, segmenter, size, values)
    total, done = sum(passes.values()), 0
    found: dict[str, Attribution] = {}
    for method in methods:
        if method.name not in found:
            together = {one.name: settings[one.name] for one in methods if one.group == method.group}
            report = progress_of_part(progress, done, passes[method.group], total)
            found |= method.run_together(segmenter, image, target, together, report)
            done += passes[method.group]
            report(1, 1)
        yield method.name, found[method.name]


def _settings_and_passes(
    methods: Sequence[Method], segmenter: Segmenter, size: Size, values: Values
) -> tuple[dict[str, Any], dict[str, int]]:
    """The settings of each method by its name, and the passes by group."""
    for method in methods:
        values = method.completed(values, segmenter, size)
    settings = {method.name: method.settings_from(values) for method in methods}
    passes = {method.group: method.passes(settings[method.name], segmenter, size) for method in methods}
    return settings, passes


def importance(attribution: Attribution) -> np.ndarray:
    """Importance of each pixel, float32 (H, W).

    For sensitivities the magnitude over the channels, for contributions their signed sum, for class activation maps the
    positive part, resized to the image.

    Raises:
        UserError: The attribution of a method that is not in `METHODS`.
    """
    kind = _kind_of(attribution)
    if kind == "sensitivity":
        return attribution.magnitude()
    return attribution.signed_map() if kind == "contribution" else attribution.at_image_size(positive=True)


def predicted_drops(attribution: Attribution, image: Image, fill: np.ndarray) -> np.ndarray:
    """Drop of the score that the map predicts when a pixel shows `fill` instead, float64 (H, W).

    For sensitivities Σ_c values · (image - fill), the first order; for contributions Σ_c values, made with a baseline
    or fill of their own; for class activation maps the signed map, resized. Both image and fill are (C, H, W).

    Raises:
        UserError: The attribution of a method that is not in `METHODS`, or an image or fill of another size.
    """
    kind = _kind_of(attribution)
    if kind == "layer":
        return attribution.at_image_size(positive=False).astype(np.float64)
    if kind == "contribution":
        return attribution.values.sum(axis=0, dtype=np.float64)
    shown, filled = (np.asarray(torch.as_tensor(each).detach().cpu(), np.float64) for each in (image, fill))
    if not shown.shape == filled.shape == attribution.values.shape:
        raise UserError(
            f"The image {shown.shape}, the fill {filled.shape} and the map {attribution.values.shape} must be of one "
            "size."
        )
    return (attribution.values * (shown - filled)).sum(axis=0)


def _kind_of(attribution: Attribution) -> Kind:
    if attribution.method not in METHODS:
        raise UserError(f'The method is one of {", ".join(METHODS)}; this map is of "{attribution.method}".')
    return METHODS[attribution.method].kind
