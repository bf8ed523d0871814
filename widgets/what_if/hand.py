"""What a hand that paints in the browser does to a `LiveEdit`, and what the browser is told of it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.attribution.windowed import MapWindow
from core.counterfactual.brush import Brush
from core.counterfactual.edit import Edit
from core.counterfactual.live_edit import LiveEdit
from core.drawn_regions import DrawnPart, region_mask
from core.errors import UserError
from core.receptive_field.windows import Box, everything
from core.target import Score
from widgets.viewer.scene import Paint

IMAGE, LABELS, CHANGED, DIFFERENCE = "image", "labels", "changed", "difference"
"""Names of the layers that answers patch."""
_QUICK_SECONDS = 0.4
"""A run of the whole image that takes longer is not made by itself while the hand rests."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an action did.

    Attributes:
        maps: What has changed, by the name of its layer.
        state: What the browser has to know: see `Painter.take` in painting.js.
    """

    maps: Mapping[str, MapWindow]
    state: Mapping[str, Any]


@dataclass(eq=False)
class Hand:
    """One tab's painting of one image by one network. Safe to share between threads.

    An action comes with its number; it is done once, however often it arrives. A stroke comes in pieces: each says how
    many points came before it. A move comes again and again, the same from its start, until it ends.

    Attributes:
        edit: The painting and its prediction.
        version: Counts the changes.
        lock: Held while the edit changes or is read.
        checked: Largest difference of the kept logits to a run of the whole image; None before one was compared.
    """

    edit: LiveEdit
    version: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    checked: float | None = None
    _client: str = ""
    _number: int = 0
    _done: int = 0
    _applied: int = 0
    _shown: dict[str, np.ndarray] = field(default_factory=dict)
    _shown_version: tuple[int, Score] | None = None

    def act(self, action: Mapping[str, Any], settings: Mapping[str, Any], score: Score) -> Outcome:
        """Do what an action says.

        Raises:
            UserError: It cannot be done, or is not understood.
        """
        with self.lock:
            before, what = self.version, action.get("do", "look")
            client, number = str(action.get("client", "")), _whole(action.get("number", 0))
            if client != self._client:
                self._client, self._number, self._done, self._applied = client, 0, 0, 0
            image_box, outputs = None, None
            if what == "check":
                outputs = self._check()
            elif what not in ("look", "sync") and number > self._done:
                image_box = self._do(what, number, action, settings)
                outputs = self.edit.renew(image_box)
            if outputs is not None:
                self.version += 1
            is_whole = what == "sync"
            if is_whole:
                image_box = outputs = self._everything
            state = {
                "client": self._client, "number": self._number, "done": self._done, "applied": self._applied,
                "turn": action.get("turn", 0), "from": before, "version": self.version, "isWhole": is_whole,
                "undo": self.edit.painting.can_undo, "redo": self.edit.painting.can_redo,
            }  # fmt: skip
            return Outcome(self._maps(image_box, outputs, score), state)

    def load(self, edit: Edit) -> None:
        """Take over an edit from a file, as a step that can be undone.

        Raises:
            UserError: It is an edit of another image.
        """
        with self.lock:
            if self.edit.renew(self.edit.painting.load(edit)) is not None:
                self.version += 1

    def release(self) -> None:
        """Give memory back that is needed only while this is painted on."""
        with self.lock:
            self.edit.prediction.release()

    def saved(self) -> bytes:
        """The edit so far as the bytes of a file."""
        with self.lock:
            self.edit.painting.finish()
            return self.edit.painting.edit().file_bytes()

    def paint(self, name: str) -> Paint:
        """What the viewer paints on; the name holds for this painting and score."""
        painting = self.edit.painting
        return Paint(f"{name}-{id(self)}", self.version, painting.can_undo, painting.can_redo)

    def shown(self, score: Score) -> Mapping[str, np.ndarray]:
        """The image (C, H, W), and (H, W) the labels, the changed pixels, the difference of the scores; copies.

        They are the same arrays until something changes, so that they are sent once.
        """
        with self.lock:
            if self._shown_version != (self.version, score):
                maps = self._maps(self._everything, self._everything, score)
                self._shown = {
                    name: window.values if name == IMAGE else window.values[0] for name, window in maps.items()
                }
                self._shown_version = self.version, score
            return self._shown

    def _do(self, what: object, number: int, action: Mapping[str, Any], settings: Mapping[str, Any]) -> Box | None:
        painting = self.edit.painting
        if what == "stroke":
            return self._stroke(number, action, settings)
        if what == "move":
            return self._move(number, action)
        self._number = self._done = number
        if what == "undo":
            return painting.undo()
        if what == "redo":
            return painting.redo()
        if what == "restore":
            return painting.restore()
        if what == "fill":
            return painting.fill(self._area(action), brush_of(settings, action, number))
        raise _not_understood()

    def _stroke(self, number: int, action: Mapping[str, Any], settings: Mapping[str, Any]) -> Box | None:
        points, start = _points(action.get("points")), _whole(action.get("from", 0))
        if number != self._number:
            self._number, self._applied = number, 0
            self.edit.painting.begin(brush_of(settings, action, number))
        new = points[max(0, self._applied - start) :] if start <= self._applied else []
        box = self.edit.painting.draw(new) if new else None
        self._applied += len(new)
        if action.get("end") is True and self._applied == start + len(points):
            self.edit.painting.finish()
            self._done = number
        return box

    def _move(self, number: int, action: Mapping[str, Any]) -> Box | None:
        offset = action.get("offset")
        rows, columns = (
            (_signed(value) for value in offset) if isinstance(offset, list) and len(offset) == 2 else (0, 0)
        )
        self._number = number
        box = self.edit.painting.move(self._area(action), (rows, columns), is_copied=action.get("copy") is True)
        if action.get("end") is True:
            self.edit.painting.finish()
            self._done = number
        return box

    def _check(self) -> Box | None:
        """Compare with a run of the whole image, which takes the place of what is kept; None where that takes long."""
        prediction = self.edit.prediction
        if prediction.is_exact or prediction.seconds > _QUICK_SECONDS:
            return None
        self.checked = self.edit.check()
        return self._everything

    def _area(self, action: Mapping[str, Any]) -> np.ndarray:
        parts = action.get("parts")
        if not isinstance(parts, list):
            raise _not_understood()
        return region_mask(self.edit.painting.size, [DrawnPart.from_description(part) for part in parts])

    @property
    def _everything(self) -> Box:
        return everything(self.edit.painting.size)

    def _maps(self, image_box: Box | None, outputs: Box | None, score: Score) -> dict[str, MapWindow]:
        maps = {}
        if image_box is not None:
            corner = image_box[0].start, image_box[1].start
            maps[IMAGE] = MapWindow(self.edit.painting.image[(..., *image_box)].copy(), *corner)
        if outputs is not None:
            corner = outputs[0].start, outputs[1].start
            labels = self.edit.labels[outputs]
            changed = (labels != self.edit.labels_before[outputs]).astype(np.uint8)
            maps[LABELS] = MapWindow(labels[None].copy(), *corner)
            maps[CHANGED] = MapWindow(changed[None], *corner)
            maps[DIFFERENCE] = self.edit.difference(score, outputs)
        return maps


def brush_of(settings: Mapping[str, Any], action: Mapping[str, Any], seed: int) -> Brush:
    """The brush that the viewer's controls are set to."""
    if "colour" in settings:
        code = str(settings["colour"])
        intensity = tuple(int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    else:
        intensity = (float(settings["intensity"]),)
    return Brush(
        settings["brush"], float(settings["size"]), float(settings["softness"]), intensity, float(settings["sigma"]),
        float(settings["amount"]), _offset(action), seed,
    )  # fmt: skip


def _offset(action: Mapping[str, Any]) -> tuple[int, int]:
    offset = action.get("offset", [0, 0])
    if not isinstance(offset, list) or len(offset) != 2:
        raise _not_understood()
    return _signed(offset[0]), _signed(offset[1])


def _points(value: object) -> list[tuple[float, float]]:
    try:
        return [(float(row), float(column)) for row, column in value]  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError) as error:
        raise _not_understood() from error


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _not_understood()
    return value


def _signed(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 10**6:
        raise _not_understood()
    return value


def _not_understood() -> UserError:
    return UserError("The request cannot be understood.")
