// Thumbnails of a data set, thousands of them: only the rows in view are in the document, and only they are asked of
// Python. All that is asked lies in one state, so that nothing is lost where several changes wait for one run.

const MILLISECONDS_OF_SCROLLING = 120;
const ROWS_BEYOND = 2;
const GAP = 8;
const WORDS = 38; // height of the two lines under a picture
const PADDING = 6;

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  if (data.order < grid.data?.order) return; // an earlier run's call, come late: in_order.py
  if (!grid.asked) build(grid);
  if (grid.data?.version !== data.version) {
    grid.known = new Map();
    grid.scroller.scrollTop = 0;
  }
  grid.data = data;
  grid.ask = (changes) => {
    Object.assign(grid.asked, changes);
    setStateValue("asked", { ...grid.asked });
  };
  grid.open = (name) => setTriggerValue("opened", name);
  data.items.forEach((item, index) => grid.known.set(data.first + index, item));
  grid.head.hidden = !data.hasMasks;
  if (!grid.isPressed) draw(grid);
  askWhile(data.waiting, grid);
}

function build(grid) {
  grid.asked = { first: 0, count: 0, version: "", tick: 0 };
  const opacity = element("input", { type: "range", min: 0, max: 100, value: 60, ariaLabel: "Opacity of the masks" });
  const mark = element("input", { type: "checkbox", checked: true });
  const paint = () => {
    grid.style.setProperty("--mask", mark.checked ? opacity.value / 100 : 0);
    opacity.disabled = !mark.checked;
  };
  for (const input of [opacity, mark]) input.addEventListener("input", paint);
  paint();
  grid.head = element("div", { className: "head" }, element("label", {}, mark, "Masks"), opacity);
  grid.sheet = element("div", { className: "sheet", role: "list" });
  grid.scroller = element("div", { className: "scroller", tabIndex: -1 }, grid.sheet);
  grid.scroller.addEventListener("scroll", () => draw(grid));
  grid.sheet.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) grid.open(button.dataset.name);
  });
  grid.sheet.addEventListener("keydown", (event) => move(grid, event));
  holdWhilePressed(grid, grid.sheet, draw);
  grid.append(grid.head, grid.scroller);
  new ResizeObserver(() => grid.data && draw(grid)).observe(grid.scroller);
}

function layout(grid) {
  const { data, scroller } = grid;
  const width = data.perTile * data.width + (data.perTile - 1) * GAP + 2 * PADDING + 2;
  const height = data.height + WORDS + 2 * PADDING + 2;
  const columns = Math.max(1, Math.floor((scroller.clientWidth + GAP) / (width + GAP)));
  return { width, height, columns, rows: Math.ceil(data.count / columns) };
}

function draw(grid) {
  const { data, scroller, sheet } = grid;
  if (!scroller.clientWidth) return;
  const { width, height, columns, rows } = layout(grid);
  const pitch = height + GAP;
  sheet.style.height = `${Math.max(0, rows * pitch - GAP)}px`;
  const above = Math.max(0, Math.floor(scroller.scrollTop / pitch) - ROWS_BEYOND);
  const below = Math.ceil((scroller.scrollTop + scroller.clientHeight) / pitch) + ROWS_BEYOND;
  const first = above * columns;
  const last = Math.min(data.count, below * columns);
  const standing = new Map([...sheet.children].map((tile) => [tile.index, tile]));
  for (const [index, tile] of standing) if (index < first || index >= last) tile.remove();
  for (let index = first; index < last; index += 1) {
    let tile = standing.get(index);
    if (!tile) {
      tile = element("div", { className: "tile", role: "listitem" });
      tile.index = index;
      tile.setAttribute("aria-posinset", index + 1);
      tile.setAttribute("aria-setsize", data.count);
      // In the order of the list, for Tab and for screen readers.
      const next = [...sheet.children].find((other) => other.index > index);
      sheet.insertBefore(tile, next ?? null);
    }
    const left = (index % columns) * (width + GAP);
    const top = Math.floor(index / columns) * pitch;
    Object.assign(tile.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    describe(grid, tile, grid.known.get(index));
  }
  askLater(grid, first, last - first);
}

// What is in view, also where it is known: Python only serves the pictures that were asked for last.
function askLater(grid, first, count) {
  const { asked, data } = grid;
  clearTimeout(grid.scrolling);
  if (asked.first === first && asked.count === count && asked.version === data.version) return;
  grid.scrolling = setTimeout(() => {
    if (grid.isConnected) grid.ask({ first, count, version: data.version, tick: 0 });
  }, grid.asked.count ? MILLISECONDS_OF_SCROLLING : 0);
}

function describe(grid, tile, item) {
  const content = JSON.stringify([item, grid.data.perTile]);
  if (tile.content === content) return;
  const focused = grid.getRootNode().activeElement;
  const place = [...tile.querySelectorAll("button")].indexOf(focused);
  tile.content = content;
  const pictures = element("div", { className: "pictures" });
  for (const each of item?.pictures ?? []) pictures.append(picture(grid, each));
  tile.replaceChildren(
    pictures,
    element("span", { className: "name", title: item?.label ?? "" }, item?.label ?? ""),
    element("span", { className: "note", title: item?.note ?? "" }, item?.note ?? ""),
  );
  const buttons = tile.querySelectorAll("button");
  if (place >= 0) buttons[place]?.focus({ preventScroll: true });
  else if (grid.wanted?.index === tile.index && buttons.length) { // an arrow led here before its pictures were known
    (buttons[grid.wanted.beside] ?? buttons[0]).focus({ preventScroll: true });
    grid.wanted = undefined;
  }
}

function picture(grid, { name, label, url, mask, width, height }) {
  const button = element("button", { type: "button", title: `Open ${label} in the Pixel Explorer` });
  button.dataset.name = name;
  button.dataset.leaves = ""; // for history.js
  button.ariaLabel = `Open ${label} in the Pixel Explorer`;
  Object.assign(button.style, { width: `${grid.data.width}px`, height: `${grid.data.height}px` });
  if (url) {
    const frame = element("span", { className: "frame" });
    Object.assign(frame.style, { width: `${width}px`, height: `${height}px` });
    frame.append(thumbnail(url));
    if (mask) frame.append(thumbnail(mask, { className: "mask" }));
    button.append(frame);
  }
  return button;
}

// The arrows lead from picture to picture, also to those that are not in view yet.
function move(grid, event) {
  const from = event.target.closest("button");
  if (!from || event.ctrlKey || event.altKey || event.metaKey) return;
  const { data, scroller } = grid;
  const { columns, height } = layout(grid);
  const at = from.closest(".tile").index;
  const beside = [...from.closest(".tile").querySelectorAll("button")].indexOf(from);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: data.count - 1 - at };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const to = at + steps[event.key];
  if (to < 0 || to >= data.count) return;
  const top = Math.floor(to / columns) * (height + GAP);
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  if (top + height > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + height - scroller.clientHeight;
  draw(grid);
  const tile = [...grid.sheet.children].find((each) => each.index === to);
  const buttons = tile?.querySelectorAll("button") ?? [];
  if (buttons.length) (buttons[beside] ?? buttons[0]).focus({ preventScroll: true });
  else grid.wanted = { index: to, beside };
}
