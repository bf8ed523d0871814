"""The card of a run: its choices, its estimated cost, and its progress."""

from dataclasses import replace
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.display.colours import intensity_rgb
from core.display.words import duration
from core.errors import UserError
from core.jacobian import Jacobian, JacobianRequest
from core.jacobian.archive import store_bytes
from core.jacobian.disk_space import bytes_in_words
from core.jacobian.estimation import Estimator
from core.segmenter import Segmenter
from core.target import Score
from widgets.jacobian.estimated import estimate_card
from widgets.jacobian.example import example_button, example_of, say_example
from widgets.jacobian.job import ACTIVE, SUMMARIES, Job, Run, State, find, start
from widgets.shared.results import Claim
from widgets.shared.slow_work import follow, request
from widgets.shared.sources import PickedImage
from widgets.shared.stores import open_store

STRIDES = {"8": "Every 8th", "4": "Every 4th", "2": "Every 2nd", "1": "Every pixel"}
STORAGES = {"float32": "Exact", "float16": "16 bit", "uint8": "8 bit", SUMMARIES: "Summaries only"}
_SECONDS_BETWEEN_LOOKS = 0.5
_WORDS: dict[State, str] = {
    "waiting": "Waiting for another run to end",
    "preparing": "Preparing: tracing the receptive field, planning and timing the passes",
    "running": "Running: coarse grids first, so the maps become finer",
    "cancelling": "Stopping after this pass",
}

_INVITATION = """
You will see **how many input pixels influence each output pixel**, as a picture of the whole image. Click one of its
pixels to see which they are.

The picture is coarse at first and becomes finer while you look. The run goes on if you leave the page, and can be
cancelled and resumed.
"""


def run_card(segmenter: Segmenter, image: PickedImage, score: Score, folder: Path) -> tuple[Jacobian | None, bool]:
    """Choices, estimate, progress and buttons of one run.

    Returns:
        The Jacobian so far, before anything is known of it the example if it is the same network and image, else None;
        and whether it still grows.
    """
    with st.container(border=True):
        choices = st.container(horizontal=True, vertical_alignment="bottom")
        stride = choices.selectbox(
            "Output pixels", list(STRIDES), key="stride", bind="query-params", width=170,
            format_func=lambda name: STRIDES[name],
            help="Every 8th row and column is 1 pixel in 64. A finer run begins with the coarse "
            "grids, so its first picture comes as soon.",
        )  # fmt: skip
        storage = choices.selectbox(
            "Save rows", list(STORAGES), key="storage", bind="query-params", width=170,
            format_func=lambda name: STORAGES[name],
            help="A row is the gradient map of one pixel. Saved, a click reads it from the disk; fewer bits take less "
            "disk and round a little. Summaries only: a few megabytes, every map on this page, and a click computes "
            "the pixel's gradient map afresh.",
        )  # fmt: skip
        keep_rows = storage != SUMMARIES
        request = JacobianRequest(
            score.class_index, score.space, int(stride), storage if keep_rows else "float32",  # type: ignore[arg-type]
            keep_rows, score.against,
        )  # fmt: skip
        run = Run(segmenter, image, request, folder)
        job = find(run)
        state = None if job is None else job.state  # once: a run that ends meanwhile is seen by the next look
        active = state in ACTIVE
        if not active and not run.path.exists():
            job = None  # its store was deleted
        found = _so_far(run, job)
        example = example_of(segmenter, image) if found is None else None
        is_empty = found is None and example is None
        with _beside(image) if is_empty else choices:
            if job is not None and active:
                _follow(job, state, folder, shown=found is not None)
            elif found is None:
                _offer(run, has_example=example is not None)
            elif not found.complete:
                _button(run, "Resume", "resume")
            else:
                _say_complete(found)
            if is_empty:
                st.markdown(_INVITATION)
        if found is not None and not active and not found.complete:
            _show_stopped(run, found)
        if job is not None and (error := job.error) is not None:
            st.error(str(error), icon=":material/error:")
        if example is not None:
            say_example(segmenter, example)
    if not active and _takes_a_pass_for_each_pixel(run, found):
        estimate_card(segmenter, image, score)
    return found or example, active


def _takes_a_pass_for_each_pixel(run: Run, found: Jacobian | None) -> bool:
    if found is not None:
        return found.manifest.dense and not found.manifest.statistics
    work = _estimator(run).computation
    if not work.done() or work.exception() is not None:  # which the card of the run says
        return False
    cost = work.result().estimate(replace(run.request, stride=1), run.path)
    return cost.dense and cost.passes == cost.pixels


def _beside(image: PickedImage) -> DeltaGenerator:
    """A place beside the image, while there is no other picture."""
    slots = st.columns([1, 2], gap="medium")
    with slots[0]:
        st.image(intensity_rgb(image.values), image.name, width="stretch")
    return slots[1]


def _offer(run: Run, *, has_example: bool) -> None:
    """What the run would cost, and the button that starts it: in one line where the example is shown already."""
    claim = _estimator(run)
    fits = not claim.computation.done() or claim.computation.result().estimate(run.request, run.path).fits_on_disk
    if has_example:
        _button(run, "Run", "play_arrow", fits=fits)
    with st.container(gap=None):
        _estimate(run, claim)
    if not has_example:
        with st.container(horizontal=True):
            _button(run, "Run", "play_arrow", fits=fits)
            example_button()
    if not fits:
        st.warning("This would not fit on the disk: save fewer bits or summaries only, or sample more coarsely.")


def _so_far(run: Run, job: Job | None) -> Jacobian | None:
    if job is not None and job.shows_something:
        return job.jacobian
    if not run.path.exists():
        return None
    found = open_store(run.path, run.segmenter)
    if found.manifest.image_hash != run.image.hash:
        raise UserError(f"{run.path} is the Jacobian of another image; delete it, or choose another folder.")
    return found if found.fraction > 0 else None


def _button(run: Run, label: str, icon: str, *, fits: bool = True) -> None:
    st.button(label, icon=f":material/{icon}:", type="primary", key="run", on_click=start, args=(run,),
              disabled=not fits)  # fmt: skip


def _follow(job: Job, state: State | None, folder: Path, *, shown: bool) -> None:
    if state is not None:
        st.caption(f":material/hourglass_top: {_WORDS[state]}. Saved in {_in_words(folder)}")
    follow(job.place, job.claim, lambda: (job.state, shown or job.shows_something), (state, shown))


def _say_complete(found: Jacobian) -> None:
    st.caption(
        f":material/check_circle: Complete: all {found.num_passes:,} passes, "
        f"{bytes_in_words(store_bytes(found.path))} on disk",
        help=f"Saved as {_in_words(found.path)}.",
    )


def _show_stopped(run: Run, found: Jacobian) -> None:
    done = round(found.fraction * found.num_passes)
    st.progress(found.fraction, f"{done:,} of {found.num_passes:,} passes done, then stopped; Resume goes on there")
    st.caption(f"{bytes_in_words(store_bytes(run.path))} in {_in_words(run.path)}")


def _estimate(run: Run, claim: Claim[Estimator]) -> None:
    if not claim.computation.done():
        _wait_for(claim)
        st.caption(f"Saved in {_in_words(run.folder)}")
        return
    estimator = claim.computation.result()
    cost = estimator.estimate(run.request, run.path)
    up, down, left, right = cost.receptive_field
    st.markdown(
        f"About **{duration(cost.seconds)}** for {cost.pixels:,} pixels, at most "
        f"**{bytes_in_words(cost.disk_bytes)}** in {_in_words(run.folder)}",
        help=f"{cost.passes:,} passes, {cost.speedup:.1f}\N{NO-BREAK SPACE}× fewer than pixels: "
        "those whose receptive fields do not meet share a backward pass, exactly. "
        f"The fields reach {up} rows up, {down} down, {left} left and {right} right. "
        f"A pass takes {cost.seconds_per_pass:.3f} s, measured, {cost.batch_size} at once, with about "
        f"{bytes_in_words(cost.memory_bytes)} of memory. {bytes_in_words(cost.free_disk_bytes)} of disk are free.",
    )
    if cost.note:
        st.info(cost.note, icon=":material/info:")
    others = ", ".join(
        f"{name.lower()} {duration(estimator.estimate(replace(run.request, stride=int(stride)), run.path).seconds)}"
        for stride, name in STRIDES.items()
        if int(stride) != run.request.stride
    )
    st.caption(f"The others: {others}")


def _wait_for(claim: Claim[Estimator]) -> None:
    @st.fragment(run_every=_SECONDS_BETWEEN_LOOKS)
    def look() -> None:
        if claim.computation.done():
            st.rerun()
        st.caption(
            f":material/hourglass_top: Estimating: tracing the receptive field and timing a few passes… "
            f"{claim.computation.seconds:.0f} s. You can press Run already."
        )

    look()


def _estimator(run: Run) -> Claim[Estimator]:
    key = "estimator", run.segmenter.weights_hash, str(run.segmenter.device), run.image.values.shape
    return request("estimator", key, lambda _: Estimator(run.segmenter, run.image.values, run.request))


def _in_words(path: Path) -> str:
    here = Path.cwd()
    return f"`{path.relative_to(here) if path.is_relative_to(here) else path}`"
