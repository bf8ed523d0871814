"""What is known of a training run: progress, curves, predictions that sharpen, its network."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields

import numpy as np
import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from core.display.colours import intensity_rgb, labels_over
from core.display.words import duration, number
from core.errors import UserError
from core.training.record import EpochRecord, compare_curves, learning_curves
from core.training.runs import LIVE, PreviewedImage, Run, read_previews
from widgets.shared.trained_networks import name_of_network
from widgets.shared.user_errors import plain_text, say
from widgets.training.comparison import in_common, names_of
from widgets.training.run_list import STATES

_OPACITY = 0.5
_FEW_EPOCHS = 12
_EPOCH = "_train_epoch"


def run_card(run: Run) -> None:
    """Name, state and progress of a run, with what can be done about it."""
    status = run.status
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain_text(run.title)}**: {STATES[status.state]}", width="content")
        if status.state in LIVE:
            st.button("Stop", icon=":material/stop:", key="train_stop", on_click=run.stop,
                      help="The best weights so far stay, and the run can be resumed.")  # fmt: skip
        elif status.state != "finished":
            st.button("Resume", icon=":material/resume:", key="train_resume", on_click=_try, args=(run.resume,),
                      help="From the last whole epoch, to the weights that it would have had.")  # fmt: skip
        if run.checkpoint is not None and status.state not in LIVE:
            with suppress(StreamlitPageNotFoundError):  # a page that runs by itself has no others
                st.page_link(
                    "pages/pixel_explorer.py", label="Explain its pixels", icon=":material/my_location:",
                    query_params={"model": name_of_network(run)}, width="content",
                )  # fmt: skip
            st.download_button(
                "Weights", run.checkpoint.read_bytes, f"{run.name}.safetensors", icon=":material/download:",
                on_click="ignore", key="train_weights",
            )  # fmt: skip
        if status.state not in LIVE:
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown("Its weights, curves and predictions are deleted.")
                st.button("Delete this run", key="train_delete", on_click=_try, args=(run.delete,), type="primary")
    if status.reason:
        st.error(plain_text(status.reason, "$*~"), icon=":material/error:")
    if status.state == "queued":
        st.caption("Another run is training on this machine; this one begins when it ends.")
    if status.state == "lost":
        st.caption("Its process is gone, as after a restart of the machine. Resume goes on from the last whole epoch.")
    if status.state == "running":
        in_epoch = status.step / status.steps if status.steps else 0.0
        left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
        rate = "" if status.learning_rate is None else f", learning rate {number(status.learning_rate, 2)}"
        st.progress(
            min(1.0, (status.epoch + in_epoch) / max(1, status.epochs)),
            f"Epoch {min(status.epoch + 1, status.epochs)} of {status.epochs}, step {status.step} of {status.steps}"
            f"{rate}{left}",
        )


def curves(shown: list[Run]) -> None:
    """The learning curves of one run, or of several in one figure."""
    records = {run.folder.name: records_of(run) for run in shown}
    if not any(records.values()):
        st.caption("The curves begin with the first epoch.")
        return
    if len(shown) == 1:
        own = next(iter(records.values()))
        best = max(own, key=lambda record: record.validation_iou if record.validation_iou >= 0 else -1).epoch
        figure = learning_curves(own, best)
    else:
        figure = compare_curves(dict(zip(names_of(shown), records.values(), strict=True)))
    figure.update_layout(
        template=None, title=None, height=300, margin={"t": 30, "b": 10, "l": 10, "r": 10}, legend_y=-0.25
    )
    longest = max(map(len, records.values()))
    figure.update_xaxes(title_text="", tickformat="d", dtick=1 if longest < _FEW_EPOCHS else None)
    st.plotly_chart(figure, key="train_curves", config={"displayModeBar": False})


def records_of(run: Run) -> list[EpochRecord]:
    """The rows of the run's epochs so far."""
    names = [each.name for each in fields(EpochRecord) if each.name != "epoch"]
    return [EpochRecord(int(row["epoch"]), **{name: row[name] for name in names}) for row in run.metrics()]


def predictions(shown: list[Run]) -> None:
    """A few validation images with what the network says about them after an epoch; of several runs side by side."""
    epochs = sorted({epoch for run in shown for epoch in run.preview_epochs})
    if not epochs:
        return
    st.markdown("**The same validation images after every epoch**")
    chosen = _pick_epoch(epochs)
    known = {}
    for name, run in zip(names_of(shown), shown, strict=True):
        kept_epochs = [epoch for epoch in run.preview_epochs if epoch <= chosen]
        if kept_epochs:
            known[f"{plain_text(name)}, epoch {kept_epochs[-1]}"] = read_previews(run.folder, kept_epochs[-1])
    if len(shown) > 1:
        _side_by_side(known)
        return
    for column, preview in zip(st.columns(4), next(iter(known.values()), ()), strict=False):
        with column:
            st.image(_over(preview, preview.labels), caption=f"{preview.stem}: predicted", width="stretch")
            st.image(_over(preview, preview.mask), caption="ground truth", width="stretch")


def _side_by_side(known: Mapping[str, Sequence[PreviewedImage]]) -> None:
    """A row for each image: its ground truth, and what each run says."""
    rows = in_common(list(known.values()))
    if not rows:
        st.caption("These runs have no validation image in common.")
    for row in rows:
        pictures = [(f"{row[0].stem}: ground truth", row[0].mask)]
        pictures += [(name, each.labels) for name, each in zip(known, row, strict=True)]
        for column, (caption, labels) in zip(st.columns(max(3, len(pictures))), pictures, strict=False):
            with column:
                st.image(_over(row[0], labels), caption=caption, width="stretch")


def _pick_epoch(epochs: list[int]) -> int:
    """One of the epochs; the last one as they come, until an earlier one is chosen."""
    if len(epochs) == 1:
        return epochs[0]
    kept = st.session_state.get(_EPOCH)
    st.session_state["train_epoch"] = kept if kept in epochs else epochs[-1]

    def keep() -> None:
        moved = st.session_state["train_epoch"]
        st.session_state[_EPOCH] = None if moved == epochs[-1] else moved

    return int(st.select_slider("Epoch", epochs, key="train_epoch", on_change=keep))


def _over(preview: PreviewedImage, labels: np.ndarray) -> np.ndarray:
    return labels_over(intensity_rgb(preview.image), labels.astype(np.int64), _OPACITY)


def along_training(run: Run) -> None:
    """The gradient maps of a few pixels after every epoch whose weights are kept, once it is opened."""
    panel = st.expander(
        "Explanation along training", key="train_along", on_change="rerun", icon=":material/movie:"
    )  # fmt: skip
    if panel.open:
        from widgets.training.along import along_panel  # noqa: PLC0415 - imports torch and SciPy

        with panel:
            along_panel(run)


def log(run: Run) -> None:
    """What the process printed."""
    with st.expander("Log"):
        st.code(run.log() or "Nothing yet.", language=None)


def _try(change: Callable[[], None]) -> None:
    try:
        change()
    except UserError as error:
        say("training", [str(error)])
