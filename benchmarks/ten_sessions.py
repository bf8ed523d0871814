"""Ten sessions that hover at once for a minute: `python benchmarks/ten_sessions.py`.

Each is a tab in a browser profile of its own, open on the Pixel Explorer; for each of them a client asks over the live
channel for one pixel after another, as fast as it is answered. Every map is compared with the serial answer. The
targets are printed, not asserted.
"""

import argparse
import os
import sys
from pathlib import Path

import torch

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: Streamlit imports a package named click

from core import load_segmenter
from core.receptive_field.known import learn_field
from tests.browser.app import chromium, running_app
from tests.browser.sessions import SIZE, hover_at_once, largest_error


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    segmenter = load_segmenter("vessmap", "cpu")
    learn_field(segmenter, SIZE)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; one thread of torch per answer")
    with running_app(OMP_NUM_THREADS="1") as address, chromium() as browser:
        sessions, memory = hover_at_once(browser, address, arguments.sessions, arguments.seconds)
    load = os.getloadavg()[0]
    rates = sorted(len(session.answers) / arguments.seconds for session in sessions)
    print(f"{len(rates)} sessions, {arguments.seconds:g} s, load {load:.1f} at the end")
    print(f"maps a second per session  {rates[0]:.2f} to {rates[-1]:.2f}, in all {sum(rates):.1f}   target ≥ 1.5 each")
    print(
        f"server's memory            {memory[0]:.0f} MiB after a quarter, {memory[1]:.0f} MiB at the end   target flat"
    )
    print(f"largest difference         {largest_error(sessions, segmenter):.1e} of the map's maximum   target ≤ 1e-6")


if __name__ == "__main__":
    main()
