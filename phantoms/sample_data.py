"""The small example images that come with the project, drawn from fixed seeds."""

from dataclasses import replace
from pathlib import Path

from core.io.files import write_atomically

from .phantom import PHANTOM_KINDS, draw_phantom
from .writing import write_phantom

_README = """\
Synthetic vessel images (no microscope saw them) with their exact masks and skeletons, in VessMAP's folder layout.
`vessels/`: 16 grey 8-bit images; `formats/`: a 16-bit, a non-square and an RGB one.
`fundus/test/`: 8 synthetic RGB retinas with masks of their vessels.
`scenes/test/`: 8 synthetic streets with masks of the classes road, sidewalk, building, vegetation, sky, car, person
and pole (indices 0 to 7).
Write them again, pixel for pixel, with `python -m phantoms samples`. Their seeds are 0 to 109; training uses others.
`jacobians/`: a finished Jacobian of the first vessel image. Compute it again, in half a minute, with
`python -m core jacobian --model vessmap --image sample_data/vessels/images/phantom_00.tiff --class vessel
--space logit --stride 4 --summaries --out sample_data/jacobians`.
"""


def write_samples(folder: Path) -> list[Path]:
    """Write the example images with their masks and skeletons; each call writes the same bytes.

    `folder/vessels` and `folder/formats` both hold `images/<stem>.tiff` (`.png` for RGB), `labels/<stem>.png` and
    `skeletons/<stem>.png`. `folder/fundus/test` and `folder/scenes/test` hold `images/<stem>.png` and
    `masks/<stem>.png`. Folders are made, and files that are there already replaced as a whole.

    Returns:
        The files, in the order written.
    """
    written = [write_atomically(folder / "README.md", _README.encode())]
    colour = draw_phantom("vessels", 109, channels=3)
    vessels = [
        *((f"vessels/phantom_{seed:02d}", draw_phantom("vessels", seed), 8) for seed in range(16)),
        ("formats/sixteen_bit", draw_phantom("vessels", 104), 16),
        ("formats/not_square", draw_phantom("vessels", 101, (200, 312)), 8),
        ("formats/colour", replace(colour, image=colour.image[[1, 0, 2]]), 8),  # the vessels are green
    ]
    for path, phantom, bits in vessels:
        set_name, stem = path.split("/")
        written += write_phantom(folder / set_name, stem, phantom, PHANTOM_KINDS["vessels"].palette, bits, "labels")
    for kind, stem in (("fundus", "fundus"), ("scenes", "scene")):
        for seed in range(8):
            phantom, test = draw_phantom(kind, seed), folder / kind / "test"
            written += write_phantom(test, f"{stem}_{seed:02d}", phantom, PHANTOM_KINDS[kind].palette)
    return written
