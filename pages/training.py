"""Training: a network learns from a folder of images with masks, in a process of its own."""

import streamlit as st

from core.training.runs import LIVE
from widgets.shared.header import page_header
from widgets.shared.trained_networks import visible_runs
from widgets.shared.user_errors import show_said, show_user_errors
from widgets.training.comparison import settings_view
from widgets.training.new_run import new_run_card
from widgets.training.one_run import along_training, curves, log, predictions, run_card
from widgets.training.run_list import pick_runs

SECONDS_BETWEEN_LOOKS = 1.0


def main() -> None:
    page_header(
        "Train a network",
        "On your images with masks. A run goes on without this page, and its network is in every model picker.",
    )
    new_run_card()
    is_live = any(run.status.state in LIVE for run in visible_runs())
    st.fragment(show_runs, run_every=SECONDS_BETWEEN_LOOKS if is_live else None)(is_live=is_live)


@show_user_errors()
def show_runs(*, is_live: bool) -> None:
    found = visible_runs()
    if is_live != any(run.status.state in LIVE for run in found):
        st.rerun()
    if not found:
        st.info(
            "Here you will see the runs: curves, predictions that sharpen, and the networks. Press Start training: "
            "the sample vessels take a minute or two.",
            icon=":material/model_training:",
        )
        return
    chosen = pick_runs(found)
    show_said("training", chosen[0].folder.name)
    if len(chosen) == 1:
        run_card(chosen[0])
    curves(chosen)
    if len(chosen) > 1:
        settings_view(chosen)
    predictions(chosen)
    if len(chosen) == 1:
        along_training(chosen[0])
        settings_view(chosen)
        log(chosen[0])


main()
