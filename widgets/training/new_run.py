"""The card that starts a training run: its data, its network, its settings, and what it would take."""

from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import streamlit as st

from core.data.reports import DataSetReport
from core.display.words import bytes_in_words, duration
from core.errors import UserError
from core.training import TrainingSettings
from core.training.runs import start
from widgets.shared.data_sets import data_sets_at_hand
from widgets.shared.inspected import inspected, show_facts, show_issues
from widgets.shared.model_picker import own_networks
from widgets.shared.results import Report
from widgets.shared.slow_work import compute_in_background
from widgets.shared.trained_networks import training_folder
from widgets.shared.user_errors import show_user_error, show_user_errors

if TYPE_CHECKING:
    from core.training.estimation import TrainingEstimate

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data" / "vessels"
_SOURCES = {"samples": "Sample vessels", "library": "Library", "folder": "A folder"}
_FIRST = ("epochs", "learning_rate", "crop")
_ELSEWHERE = ("images", "masks", "architecture", "arguments", "class_names", "crops_per_image", *_FIRST)
_LABELS = {
    "zoom": "Zoom", "jitter": "Intensity changes", "upright": "Keep upright", "elastic": "Elastic deformation",
    "noise": "Noise", "normalisation": "Normalisation", "validation_fraction": "Share for validation",
    "test_fraction": "Share for the test", "batch_size": "Batch size", "epochs": "Epochs",
    "learning_rate": "Learning rate", "schedule": "Schedule", "loss": "Loss", "weight_decay": "Weight decay",
    "penalty": "Penalty", "penalty_weight": "Weight of the penalty", "patience": "Patience",
    "precision": "Precision", "keep_every": "Keep every n-th epoch", "seed": "Seed", "crop": "Crop",
    "split": "File with the split", "groups": "Groups", "folds": "Folds", "fold": "Fold for the test",
    "split_seed": "Seed of the split", "class_weights": "Class weights", "devices": "Devices", "strategy": "Strategy",
}  # fmt: skip
_OWN = {"custom_resnet": {"width": 16}, "unet": {"width": 16, "depth": 3}}
_ENCODERS = ("resnet18", "resnet34", "resnet50", "mobilenet_v2", "efficientnet-b0", "efficientnet-b5")
_KEPT_EPOCHS = 12
"""About as many are kept where the user does not say how many."""
_TWO_CLASSES = ("background", "foreground")
_WIDTH = 125
"""Of a number, in CSS pixels."""


def new_run_card() -> None:
    """Choose data, network and settings, and start."""
    with st.container(border=True, key="new_run", gap="small"):
        settings, report = None, None
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            folder, masks = _pick_data()
            architecture, arguments = _pick_network()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            name = st.text_input(
                "Name", "network", key="train_name", persist_state="session", max_chars=80, width=170,
                help="What the trained network is called in the pickers for the model.",
            )  # fmt: skip
            chosen = _pick_settings()
        with show_user_errors():
            report = None if folder is None else _looked_through(folder, masks)
            if report is not None and not report.errors:
                settings = TrainingSettings(
                    images=str(folder), masks=masks, architecture=architecture, arguments=arguments,
                    class_names=_class_names(report), **chosen,
                )  # fmt: skip
                settings = _if_it_fits(settings, report)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="train_row"):
            # Not by a callback: its arguments would be those of the run before, without what was typed last.
            is_pressed = st.button(
                "Start training", type="primary", icon=":material/play_arrow:", key="train_start",
                disabled=settings is None,
                help="The run goes on without this page, also when the program ends. One trains at a time; others "
                "wait.",
            )  # fmt: skip
            with show_user_errors():
                if is_pressed and settings is not None:
                    st.session_state["train_run"] = start(settings, name, training_folder()).folder.name
                if settings is not None and report is not None:
                    _show_estimate(settings, report)


def _if_it_fits(settings: TrainingSettings, report: DataSetReport) -> TrainingSettings | None:
    """The settings; None, with the reason on the page, where the crops are larger than an image."""
    try:
        settings.check_crop((image.name, image.height, image.width) for image in report.images)
    except UserError as error:
        show_user_error(error)
        return None
    return settings


def _class_names(report: DataSetReport) -> tuple[str, ...] | None:
    """Those typed, else None where the data or the samples have names of their own, else names by number."""
    typed = tuple(part.strip() for part in st.session_state.get("train_classes", "").split(",") if part.strip())
    is_named = not all(name.isdecimal() for name in report.class_names)
    if typed or is_named or report.folder == SAMPLES:
        return typed or None
    if len(report.class_names) <= len(_TWO_CLASSES):
        return _TWO_CLASSES
    return tuple(f"class {name}" for name in report.class_names)


def _pick_data() -> tuple[Path | None, str | None]:
    source = st.segmented_control(
        "Images with masks", list(_SOURCES), default="samples", required=True, key="train_source",
        format_func=lambda name: _SOURCES[name], persist_state="session", width="content",
    )  # fmt: skip
    if source == "samples":
        return SAMPLES, None
    if source == "library":
        known = data_sets_at_hand()
        if st.session_state.get("train_set") not in known:
            st.session_state["train_set"] = next(iter(known))
        return known[st.selectbox("Data set", list(known), key="train_set", persist_state="session", width=220)], None
    named = st.text_input(
        "Folder", key="train_folder", placeholder="/data/cells", persist_state="session", width=260,
        help="On the machine that runs this program: images/ beside labels/ or masks/, with equal names; or train/, "
        "val/ and test/ of these.",
    )  # fmt: skip
    masks = st.text_input(
        "Masks, if they are elsewhere", key="train_masks", placeholder="/data/masks",
        persist_state="session", width=230,
    )  # fmt: skip
    return (Path(named).expanduser() if named else None), masks or None


def _looked_through(folder: Path, masks: str | None) -> DataSetReport | None:
    """What is in the data, with everything that is wrong; None while it is read."""
    found = inspected(folder, masks)
    if found is not None:
        show_facts(found)
        show_issues(found)
    return found


def _pick_network() -> tuple[str, dict[str, Any]]:
    from core.models import ARCHITECTURES  # noqa: PLC0415 - imports torch, which the head of the page need not wait for

    architecture = st.selectbox(
        "Network", [*own_networks(), *ARCHITECTURES], len(own_networks()), key="train_architecture",
        persist_state="session",
        help="custom_resnet is the vessel network's; smp_… are those of segmentation_models_pytorch, with an encoder "
        "of your choice. All begin with random weights. For a network of your own, start the app with "
        "`-- --model path/to/file.py:function`.", width=190,
    )  # fmt: skip
    arguments: dict[str, Any] = {}
    if architecture in _OWN:
        for name, default in _OWN[architecture].items():
            arguments[name] = st.number_input(
                name.capitalize(), 1, 256 if name == "width" else 8, default, key=f"train_{architecture}_{name}",
                persist_state="session", width=_WIDTH,
            )  # fmt: skip
    elif architecture.startswith("smp_"):
        arguments["encoder_name"] = st.selectbox(
            "Encoder", _ENCODERS, key="train_encoder", accept_new_options=True, persist_state="session",
            help="Or type the name of another one, also of timm: tu-convnext_tiny.", width=170,
        )  # fmt: skip
    return architecture, arguments


def _pick_settings() -> dict[str, Any]:
    known = {each.name: each for each in fields(TrainingSettings) if each.name in _FIRST or each.name not in _ELSEWHERE}
    found = {name: _input(known.pop(name), width=_WIDTH) for name in _FIRST}
    with st.popover("More settings", icon=":material/tune:"):
        st.text_input(
            "Names of the classes", key="train_classes", placeholder="background, lesion", persist_state="session",
            help="Commas between them, in the order of the numbers in the masks; by default those of the data set.",
        )  # fmt: skip
        columns = st.columns(2)
        for place, each in enumerate(known.values()):
            with columns[place % 2]:
                found[each.name] = _input(each)
    if found["keep_every"] is None:
        found["keep_every"] = max(1, -(-found["epochs"] // _KEPT_EPOCHS))
    return found


def _input(each: "Field[Any]", **options: Any) -> Any:
    """The input for one field of the settings, after its type."""
    words: dict[str, Any] = {
        "label": _LABELS[each.name], "help": each.metadata["help"], "key": f"train_{each.name}",
        "persist_state": "session",
    } | options  # fmt: skip
    default: Any = each.default
    if get_origin(each.type) is Literal:
        return st.selectbox(options=get_args(each.type), format_func=lambda name: name.replace("_", " "), **words)
    if each.type == str | None:
        return st.text_input(value=None, **words) or None
    if each.name == "keep_every":
        words["placeholder"] = f"about {_KEPT_EPOCHS} in all"
    if each.type == int | None or "placeholder" in words:
        return st.number_input(value=None, step=1, **words)
    if each.type is bool:
        return st.toggle(value=default, **words)
    if each.type is int:
        return st.number_input(value=default, step=1, **words)
    return st.number_input(value=float(default), format="%g", step=None, **words)


def _show_estimate(settings: TrainingSettings, report: DataSetReport) -> None:
    """Time and memory, from two real steps."""

    def timed(_report: Report) -> "TrainingEstimate":
        from core.training.estimation import estimate  # noqa: PLC0415 - Lightning takes seconds to import

        return estimate(settings)

    key = "training estimate", repr(settings), tuple(sorted(image.pixel_hash for image in report.images))
    found = compute_in_background("training estimate", key, "Timing two steps", timed)
    if found is None:
        st.caption(":material/hourglass_top: Timing two steps…")
        return
    kept = settings.epochs // settings.keep_every + (settings.keep_every > 1) if settings.keep_every else 0
    on_disk = f" The weights of {kept} epochs, kept to explain pixels along training, take up to "
    on_disk += f"{bytes_in_words(4 * found.parameters * kept)} on disk."
    st.markdown(
        f"About **{duration(found.seconds)}**, {bytes_in_words(found.memory_bytes)} of memory",
        help=f"{found.parameters:,} parameters; {found.steps_per_epoch} steps an epoch of "
        f"{found.seconds_per_step:.2f} s, timed on these images; less where it stops early."
        + (on_disk if kept else ""),
    )
