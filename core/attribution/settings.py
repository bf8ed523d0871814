"""Settings of methods: their fields carry label, help, bounds and choices, which options and inputs are made from."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import UserError

FIXED_OPTIONS = frozenset({
    "against", "border_width", "box", "class", "class_name", "column", "data", "device", "grey", "help", "image",
    "images", "label", "lasso", "masks", "method", "methods", "model", "options", "out", "pixel_set", "prompt",
    "question", "reading", "reduction", "region", "row", "run", "samples", "scaling", "scheduler", "space", "targets",
    "weights",
})  # fmt: skip
"""Options and parameters that `explain`, `ig` and `cam` have beside the settings of methods."""
FIXED_OPTIONS_OF_EVALUATE = FIXED_OPTIONS | {
    "context_only", "fill", "fill_sigma", "layer", "markdown", "method_settings", "metrics", "no_context_only",
    "removal", "score", "seed", "sigma", "targets_per_image",
}  # fmt: skip
"""Options and parameters that `evaluate` has beside the settings of metrics, and those of the other commands."""
FIXED_KEYS = frozenset({
    "against", "agreement_of", "architecture", "arguments", "arrived", "border_width", "box", "channels", "class",
    "classes", "column", "context_only", "convert", "convert_here", "encoder", "file_drop", "files", "fill",
    "fill_sigma", "image", "image_in_url", "label", "lasso", "layer", "methods", "metrics", "next_error",
    "normalisation", "over", "pixel_set", "prompt", "prompt_column", "prompt_here", "prompt_row", "ranked_by",
    "remove_truth", "row", "sanity_method", "sanity_mode", "scaling", "score", "send_pixel", "several_images",
    "several_test", "shown", "space", "stages", "tab", "top_share", "trust_opacity", "trust_percentile", "trust_scale",
    "truth_files", "use_as_truth", "your_files",
})  # fmt: skip
"""Keys of the Trust page's inputs beside the settings of methods."""
METRIC_PREFIX = "test_"
"""The Trust page puts it before the keys of metrics' settings."""
FIXED_PREFIXES = ("_", METRIC_PREFIX, "second_")
"""What other keys of the Trust page begin with; those with a hyphen are its charts and buttons."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a method, or of several that share it.

    Attributes:
        name: Name of the field.
        annotation: Type of the field.
        default: Its default.
        label: Label on screen.
        help: What it does, with its unit, in one or two sentences.
        option: Name of the option in the shell, without dashes.
        key: Key in the page's URL.
        low: Lowest value of the page's input; the method itself checks what it is given.
        high: Highest value of the page's input.
        step: Step of the page's input.
        at_most: Name of another setting that bounds it from above.
        choices: Values to choose from, with what each is called on screen.
        only_with: Values of other settings, by name, with which alone it has an effect; pages disable it otherwise.
        quick: Default where the maps of many methods are compared.
        on_page: Whether pages offer it; the others are for Python and the shell.
    """

    name: str = ""
    annotation: Any = None
    default: Any = None
    label: str = ""
    help: str = ""
    option: str = ""
    key: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    at_most: str = ""
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    only_with: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quick: Any = None
    on_page: bool = True

    @property
    def number_type(self) -> type[int] | type[float] | None:
        """Int or float where it is a number; None where it is not."""
        types = _plain_types(self.annotation)
        return int if int in types else float if float in types else None

    @property
    def takes_image(self) -> bool:
        """Whether it may also be an image (C, H, W)."""
        return np.ndarray in _plain_types(self.annotation)

    @property
    def values(self) -> dict[str, Any]:
        """The values to choose from, by the word for each: its choices, else those of its `Literal` or bool."""
        types = _plain_types(self.annotation)
        literals = {"true": True, "false": False} if bool in types else {}
        literals |= {str(value): value for value in types if not isinstance(value, type)}
        convert = self.number_type or str
        return {str(word): literals[word] if word in literals else convert(word) for word in self.choices} or literals

    @property
    def metavar(self) -> str:
        """What the shell's help shows as its values."""
        types = _plain_types(self.annotation)
        numbers = [] if self.number_type is None else [self.number_type.__name__]
        pair = ["int,int"] if tuple in types else []
        return "|".join([*self.values, *numbers, *pair, *(["file"] if self.takes_image else [])]) or "text"

    def parse(self, text: str) -> Any:
        """The value that a text stands for: a choice, a number, or two numbers with a comma between them.

        Raises:
            UserError: The text is none of these.
        """
        types, values = _plain_types(self.annotation), self.values
        if text in values or (str in types and not values):
            return values.get(text, text)
        try:
            if tuple in types and "," in text:
                first, second = (int(part) for part in text.split(","))
                return first, second
            if self.number_type is not None:
                return self.number_type(text)
        except ValueError:
            pass
        wanted = [", ".join(values)] if values else []
        wanted += ["a whole number" if self.number_type is int else "a number"] if self.number_type else []
        wanted += ["two whole numbers with a comma between them"] if tuple in types else []
        raise UserError(f'The option --{self.option} is {", or ".join(wanted)}; "{text}" was given.')


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Settings of a method or metric that has none."""


def setting(default: Any, **attributes: Any) -> Any:
    """A field of a `Settings` dataclass with attributes of `Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(**attributes)})


def seed_setting() -> Any:
    """The seed that all methods with random numbers share."""
    return setting(0, label="Seed", help="Seed of everything that is drawn at random.", low=0, on_page=False)


def settings_of(settings_class: type) -> tuple[Setting, ...]:
    """The settings that the fields of a `Settings` dataclass stand for, in their order."""
    types = get_type_hints(settings_class)
    found = []
    for field in dataclasses.fields(settings_class):
        own: Setting = field.metadata.get("setting", Setting())
        option = own.option or field.name.replace("_", "-")
        found.append(
            dataclasses.replace(
                own,
                name=field.name,
                annotation=types[field.name],
                default=field.default,
                label=own.label or field.name.replace("_", " ").capitalize(),
                option=option,
                key=own.key or option.replace("-", "_"),
            )
        )
    return tuple(found)


def refuse_clashes(
    owner: str, settings: Sequence[Setting], known_settings: Mapping[str, Setting], fixed_options: Collection[str]
) -> None:
    """Raise a ValueError if a setting has the name, option or key of a different one, or the name of a fixed option."""
    for own in settings:
        for name in (own.name, own.option.replace("-", "_")):
            if name in fixed_options:
                raise ValueError(
                    f'The setting "{own.name}" of {owner} clashes with "{name}" of the commands; give it a name and an '
                    "option of its own."
                )
        for known in (*known_settings.values(), *settings):
            if own != known and (own.name == known.name or own.option == known.option or own.key == known.key):
                raise ValueError(
                    f'The setting "{own.name}" of {owner} clashes with "{known.name}" of another; define it in the '
                    "same way, or give it a name, an option and a key of its own."
                )


def refuse_fixed_keys(owner: str, settings: Iterable[Setting]) -> None:
    """Raise a ValueError if a setting on the Trust page has the key of another input there."""
    for own in settings:
        is_fixed = own.key in FIXED_KEYS or own.key.startswith(FIXED_PREFIXES) or not own.key.isidentifier()
        if own.on_page and is_fixed:
            raise ValueError(
                f'The key "{own.key}" of the setting "{own.name}" of {owner} may be that of another input on the Trust '
                "page; give it another key, of letters, digits and underscores."
            )


def _plain_types(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, and the words of a `Literal`, e.g. (int, "auto") of int | Literal["auto"]."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) is tuple:
        return (tuple,)
    members = get_args(annotation)
    return tuple(plain for member in members for plain in _plain_types(member)) if members else (annotation,)
