"""The card of a run: its choices, its estimated cost, and its progress."""

from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.display.words import bytes_in_words, duration
from core.errors import UserError
from core.jacobian import Jacobian, JacobianRequest
from core.jacobian.archive import store_bytes
from core.jacobian.estimation import Estimate, Estimator
from core.segmenter import Segmenter
from core.target import Score
from widgets.jacobian.estimated import estimate_card
from widgets.jacobian.example import example_of, offer_example, offer_way_back, say_example
from widgets.jacobian.job import ACTIVE, SUMMARIES, Job, Run, State, find, start
from widgets.shared.results import Claim
from widgets.shared.slow_work import follow, request
from widgets.shared.sources import PickedImage
from widgets.shared.stores import open_store

STRIDES = {"8": "Every 8th", "4": "Every 4th", "2": "Every 2nd", "1": "Every pixel"}
STORAGES = {"float32": "Exact", "float16": "16 bit", "uint8": "8 bit", SUMMARIES: "Summaries only"}
_COUNTS_CHANGE = "Counts still change: the largest value may grow"
_SECONDS_BETWEEN_LOOKS = 0.5
_WORDS: dict[State, str] = {
    "waiting": "Waiting for another run to end",
    "preparing": "Preparing: tracing the receptive field",
    "running": "Running, coarse grids first",
    "cancelling": "Stopping after this pass",
}


@dataclass(frozen=True)
class Outcome:
    """What there is of a run.

    Attributes:
        jacobian: The Jacobian so far, before anything is known of it the example if it is of the same network and
            image, else None.
        is_running: Whether it still grows.
        outlook: What will be there in its place, and what that takes.
        is_estimated: Whether its cost has been estimated.
    """

    jacobian: Jacobian | None
    is_running: bool
    outlook: str = ""
    is_estimated: bool = True


def run_card(segmenter: Segmenter, image: PickedImage, score: Score, folder: Path) -> Outcome:
    """Choices, estimate, progress and buttons of one run."""
    with st.container(border=True):
        # One row of one height in every state, of the same parts in the same order: the pictures below keep their
        # place, and no part is shown for a moment in place of another.
        row = st.container(horizontal=True, vertical_alignment="bottom")
        with row:
            run = Run(segmenter, image, _pick_request(score), folder)
        job = find(run)
        state = None if job is None else job.state  # once: a run that ends meanwhile is seen by the next look
        active = state in ACTIVE
        if not active and not run.path.exists():
            job = None  # its store was deleted
        found = _so_far(run, job)
        example = example_of(segmenter, image) if found is None else None
        cost = None
        with row:
            if job is not None and active:
                _button(run, "Run", "play_arrow", fits=False)
                _follow(job, state, folder, shown=found is not None)
            elif found is None:
                cost = _offer(run, example)
            elif not found.complete:
                _button(run, "Resume", "resume")
                _say_stopped(run, found)
            else:
                _button(run, "Run", "play_arrow", fits=False)
                _say_complete(found)
        if job is not None and (error := job.error) is not None:
            st.error(str(error), icon=":material/error:")
        _warn(cost)
    if not active and _takes_a_pass_for_each_pixel(run, found):
        estimate_card(segmenter, image, score)
    return Outcome(found or example, active, _outlook(cost, is_running=active), is_estimated=cost is not None)


def _pick_request(score: Score) -> JacobianRequest:
    stride = st.selectbox(
        "Output pixels", list(STRIDES), key="stride", bind="query-params", width=150,
        format_func=lambda name: STRIDES[name],
        help="Every 8th row and column is 1 pixel in 64. A finer run begins with the coarse grids, so its first "
        "picture comes as soon.",
    )  # fmt: skip
    storage = st.selectbox(
        "Save rows", list(STORAGES), key="storage", bind="query-params", width=150,
        format_func=lambda name: STORAGES[name],
        help="A row is the gradient map of one pixel. Saved, a click reads it from the disk; fewer bits take less "
        "disk and round a little. Summaries only: a few megabytes, every map on this page, and a click computes the "
        "pixel's gradient map afresh.",
    )  # fmt: skip
    keep_rows = storage != SUMMARIES
    return JacobianRequest(
        score.class_index, score.space, int(stride), storage if keep_rows else "float32",  # type: ignore[arg-type]
        keep_rows, score.against,
    )  # fmt: skip


def _takes_a_pass_for_each_pixel(run: Run, found: Jacobian | None) -> bool:
    if found is not None:
        return found.manifest.dense and not found.manifest.statistics
    work = _estimator(run).computation
    if not work.done() or work.exception() is not None:  # which the card of the run says
        return False
    cost = work.result().estimate(replace(run.request, stride=1), run.path)
    return cost.dense and cost.passes == cost.pixels


def _outlook(cost: Estimate | None, *, is_running: bool) -> str:
    if is_running:
        then = "The first picture is being computed."
    elif cost is None:
        then = "Press Run; how long it takes is being estimated."
    else:
        then = f"Press Run: about {duration(cost.seconds)}, at most {bytes_in_words(cost.disk_bytes)}."
    return f"Here you will see how many input pixels influence each output pixel.\n{then}"


def _offer(run: Run, example: Jacobian | None) -> Estimate | None:
    """The button that starts the run, what it would cost, and the example; None while the cost is estimated."""
    claim = _estimator(run)
    cost = claim.computation.result().estimate(run.request, run.path) if claim.computation.done() else None
    _button(run, "Run", "play_arrow", fits=cost is None or cost.fits_on_disk)
    with _status():
        if cost is None:
            _wait_for(claim)
        else:
            _describe(run, cost, claim.computation.result())
        if example is not None:
            say_example(run.segmenter, example)
    if example is None:
        offer_example()
    else:
        offer_way_back()
    return cost


def _warn(cost: Estimate | None) -> None:
    if cost is not None and cost.note:
        st.info(cost.note, icon=":material/info:")
    if cost is not None and not cost.fits_on_disk:
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
    st.button(
        label, icon=f":material/{icon}:", type="primary", key="run", on_click=start, args=(run,), disabled=not fits,
        help="The picture is coarse at first and becomes finer while you look. The run goes on if you leave the page, "
        "and can be cancelled and resumed.",
    )  # fmt: skip


def _status() -> DeltaGenerator:
    return st.container(gap=None, width="stretch", key="run_status")


def _follow(job: Job, state: State | None, folder: Path, *, shown: bool) -> None:
    with _status():
        if state is not None:
            st.markdown(f":material/hourglass_top: {_WORDS[state]}", help=f"Saved in {_in_words(folder)}.")
        st.caption(_COUNTS_CHANGE if shown else "The first picture comes with the first passes")
    follow(job.place, job.claim, lambda: (job.state, shown or job.shows_something), (state, shown))


def _say_complete(found: Jacobian) -> None:
    with _status():
        st.markdown(
            f":material/check_circle: Complete: all {found.num_passes:,} passes, "
            f"{bytes_in_words(store_bytes(found.path))} on disk",
            help=f"Saved as {_in_words(found.path)}.",
        )
        st.caption("Another choice computes another Jacobian; this one is kept")


def _say_stopped(run: Run, found: Jacobian) -> None:
    done = round(found.fraction * found.num_passes)
    with _status():
        st.markdown(
            f":material/pause_circle: Stopped after {done:,} of {found.num_passes:,} passes",
            help=f"Saved as {_in_words(run.path)}, {bytes_in_words(store_bytes(run.path))}. Resume goes on there.",
        )
        st.caption(_COUNTS_CHANGE)


def _describe(run: Run, cost: Estimate, estimator: Estimator) -> None:
    up, down, left, right = cost.receptive_field
    st.markdown(
        f"About **{duration(cost.seconds)}**, at most **{bytes_in_words(cost.disk_bytes)}**",
        help=f"Saved in {_in_words(run.folder)}. {cost.passes:,} passes for {cost.pixels:,} pixels, "
        f"{cost.speedup:.1f}\N{NO-BREAK SPACE}× fewer: those whose receptive fields do not meet share a backward pass, "
        f"exactly. The fields reach {up} rows up, {down} down, {left} left and {right} right. "
        f"A pass takes {cost.seconds_per_pass:.3f} s, measured, {cost.batch_size} at once, with about "
        f"{bytes_in_words(cost.memory_bytes)} of memory. {bytes_in_words(cost.free_disk_bytes)} of disk are free.",
    )
    others = []
    for stride, name in STRIDES.items():
        if int(stride) != run.request.stride:
            seconds = estimator.estimate(replace(run.request, stride=int(stride)), run.path).seconds
            others.append(f"{name}: {duration(seconds)}".replace(" ", "\N{NO-BREAK SPACE}"))
    st.caption(" · ".join(others))


def _wait_for(claim: Claim[Estimator]) -> None:
    @st.fragment(run_every=_SECONDS_BETWEEN_LOOKS)
    def look() -> None:
        if claim.computation.done():
            st.rerun()
        st.caption(f":material/hourglass_top: Estimating the time… ({claim.computation.seconds:.0f} s so far)")

    look()


def _estimator(run: Run) -> Claim[Estimator]:
    key = "estimator", run.segmenter.weights_hash, str(run.segmenter.device), run.image.values.shape
    return request("estimator", key, lambda _: Estimator(run.segmenter, run.image.values, run.request))


def _in_words(path: Path) -> str:
    here = Path.cwd()
    return f"`{path.relative_to(here) if path.is_relative_to(here) else path}`"
