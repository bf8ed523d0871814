// The card of the image shown; pressed, it opens thumbnails of all images. Python sends the part that is in view.
//
// All that is asked of Python lies in one state, so that nothing is lost where several changes wait for one run.

const MILLISECONDS_OF_TYPING = 250;

export default function ({ data, parentElement, setStateValue }) {
  const gallery = parentElement.querySelector(".gallery");
  if (data.order < gallery.data?.order) return; // an earlier run's call, come late: in_order.py
  gallery.data = data;
  gallery.ask = (changes) => {
    Object.assign(gallery.asked, changes);
    setStateValue("asked", { ...gallery.asked });
  };
  if (!gallery.asked) build(gallery, data);
  if (gallery.shown !== data.current?.name) {
    gallery.shown = data.current?.name;
    if (gallery.asked.tick) gallery.ask({ tick: 0 }); // the score of this image may be on its way
  }
  if (!gallery.isPressed) show(gallery);
  askWhile(data.waiting, gallery);
}

function show(gallery) {
  const { data } = gallery;
  const content = JSON.stringify(data);
  if (gallery.content === content) return;
  gallery.content = content;
  if (gallery.card) showCard(gallery, data.current);
  fill(gallery, data);
}

function build(gallery, data) {
  gallery.asked = { open: false, first: {}, find: "", picked: null, tick: 0 };
  gallery.groups = element("div", { className: "groups" });
  gallery.groups.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.image) pick(gallery, button.image);
    else if (button?.turn) turn(gallery, button);
  });
  gallery.groups.addEventListener("keydown", (event) => move(gallery, event));
  holdWhilePressed(gallery, gallery.groups, show);
  if (data.isOpen) gallery.append(dropZone(gallery), gallery.groups);
  else gallery.append(makeCard(gallery), makeDialog(gallery));
}

function makeCard(gallery) {
  gallery.card = element("button", { type: "button", className: "card", "aria-haspopup": "dialog", "data-wraps": "" });
  gallery.card.addEventListener("click", () => {
    gallery.dialog.showModal();
    gallery.ask({ open: true });
  });
  return gallery.card;
}

function makeDialog(gallery) {
  const find = element("input", { type: "search", placeholder: "Find by name", "aria-label": "Find by name" });
  find.addEventListener("input", () => {
    const { groups } = gallery;
    groups.style.minHeight ||= `min(${groups.offsetHeight}px, 60vh)`; // the dialog keeps its size while the list shrinks
    clearTimeout(gallery.typing);
    const ask = () => gallery.ask({ find: find.value.trim(), first: {} });
    gallery.typing = setTimeout(ask, MILLISECONDS_OF_TYPING);
  });
  const close = element("button", { type: "button", className: "close", title: "Close", ariaLabel: "Close" }, "×");
  close.addEventListener("click", () => gallery.dialog.close());
  gallery.legend = element("span", { className: "legend" });
  const head = element("div", { className: "head" }, element("h2", {}, "Images"), gallery.legend, find, close);
  gallery.dialog = element("dialog", { ariaLabel: "Images" }, head, gallery.groups);
  gallery.dialog.addEventListener("close", () => {
    if (gallery.asked.open) gallery.ask({ open: false });
  });
  gallery.dialog.addEventListener("click", (event) => {
    if (event.target === gallery.dialog) gallery.dialog.close(); // its backdrop
  });
  // Streamlit takes single letters for its shortcuts, and does not see that they are typed into a field in here.
  gallery.dialog.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const isTyped = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.altKey && !event.metaKey;
    if (isTyped) find.focus();
    const words = find.value.trim().toLowerCase();
    const first = tiles(gallery).find((button) => button.image.name.toLowerCase().includes(words));
    if (event.key !== "Enter" || event.target !== find || !words || !first) return;
    event.preventDefault(); // or it would press the card, which gets the focus back
    pick(gallery, first.image);
  });
  return gallery.dialog;
}

// A file that is dropped anywhere goes into the uploader in the side bar; here it is said, and offered to a click.
function dropZone(gallery) {
  const zone = element("button", { type: "button", className: "drop" });
  zone.append(element("strong", {}, "Drop an image anywhere on this page"), element("span", {}, "or click to choose a file"));
  zone.addEventListener("click", () => {
    document.querySelector(`.st-key-${gallery.data.uploader} [data-testid=stFileUploader] input[type=file]`)?.click();
  });
  return zone;
}

function showCard(gallery, image) {
  const content = JSON.stringify([image, gallery.data.scoreName]);
  if (gallery.card.content === content) return;
  gallery.card.content = content;
  const score = image.score ? `${gallery.data.scoreName} ${image.score}` : "";
  const words = element("span", { className: "words" }, element("span", { className: "name" }, image.name.replaceAll("/", "/\u200b")));
  if (score || image.hint) words.append(element("span", { className: "score" }, score || image.hint));
  gallery.card.replaceChildren(picture(image), words, element("span", { className: "more", ariaHidden: "true" }));
  gallery.card.title = image.name;
  gallery.card.ariaLabel = `Image: ${image.name}${score ? `, ${score}` : ""}. Choose another`;
}

function fill(gallery, data) {
  const root = gallery.getRootNode();
  const focused = root.activeElement?.image?.name ?? root.activeElement?.turn;
  const top = gallery.groups.scrollTop;
  const current = data.current?.name;
  const places = JSON.stringify(data.groups.map(({ name, count, first, images }) => [name, count, first, images.map((image) => image.name)]));
  // Where only pictures or scores have come, the tiles stay, and so does the one that has the focus.
  if (gallery.places === places) {
    const images = data.groups.flatMap((group) => group.images);
    tiles(gallery).forEach((button, index) => describe(button, images[index], data, current));
    return;
  }
  gallery.places = places;
  gallery.groups.replaceChildren(...data.groups.map((group) => makeGroup(group, data, current)));
  if (!data.groups.some((group) => group.images.length)) {
    const words = gallery.asked.find ? `No image is called “${gallery.asked.find}”; a shorter part of the name finds more.` : "Loading…";
    gallery.groups.append(element("p", { className: "legend" }, words));
  }
  gallery.groups.scrollTop = top;
  if (gallery.legend) {
    gallery.legend.textContent = `${data.scoreName} against the ground truth, where there is one`;
  }
  const buttons = tiles(gallery);
  const shown = buttons.find((button) => button.image.name === current) ?? buttons[0];
  if (shown) shown.tabIndex = 0;
  const again = [...gallery.groups.querySelectorAll("button")];
  const found = again.find((button) => focused && (button.image?.name === focused || button.turn === focused));
  if (found && !found.disabled) focus(gallery, found);
  else if (gallery.dialog?.open && shown && (focused || !gallery.wasOpen)) focus(gallery, shown);
  gallery.wasOpen = Boolean(gallery.dialog?.open && shown);
}

function makeGroup(group, data, current) {
  const title = element("h3", {}, group.name, element("span", { className: "legend" }, ` ${group.count.toLocaleString("en")}`));
  const head = element("div", { className: "title" }, title);
  if (group.count > data.page) {
    const last = group.first + group.images.length;
    const range = `${(group.first + 1).toLocaleString("en")}–${last.toLocaleString("en")}`;
    head.append(
      turnButton(group, group.first - data.page, "‹", `Earlier images of ${group.name}`, group.first > 0),
      element("span", { className: "legend", role: "status" }, range),
      turnButton(group, last, "›", `Later images of ${group.name}`, last < group.count),
    );
  }
  const grid = element("div", { className: "grid" }, ...group.images.map((image) => tile(image, data, current)));
  return element("section", { ariaLabel: group.name, hidden: !group.images.length }, head, grid);
}

function turnButton(group, first, sign, label, enabled) {
  const button = element("button", { type: "button", className: "turn", ariaLabel: label, title: label }, sign);
  button.disabled = !enabled;
  Object.assign(button, { turn: `${sign} ${group.name}`, group: group.name, first });
  return button;
}

function turn(gallery, button) {
  gallery.ask({ first: { ...gallery.asked.first, [button.group]: button.first } });
}

function tile(image, data, current) {
  const button = element("button", { type: "button", className: "tile", tabIndex: -1, title: image.name });
  describe(button, image, data, current);
  return button;
}

function describe(button, image, data, current) {
  const content = JSON.stringify([image, data.scoreName, image.name === current]);
  if (button.content === content) return;
  Object.assign(button, { content, image });
  const score = image.score ? `${data.scoreName} ${image.score}` : image.hint;
  button.ariaLabel = score ? `${image.name}, ${score}` : image.name;
  button.ariaCurrent = image.name === current ? "true" : null;
  const label = element("span", { className: "name" }, image.label);
  button.replaceChildren(picture(image), label, element("span", { className: "score" }, image.score || image.hint));
}

function picture({ url, width, height }) {
  const frame = element("span", { className: "picture" });
  if (!url) return frame;
  frame.append(thumbnail(url, { width, height }));
  return frame;
}

function pick(gallery, image) {
  gallery.content = JSON.stringify(gallery.data); // what came during the press is of the image left
  if (gallery.card) showCard(gallery, image); // at once; the page follows
  gallery.ask({ picked: { name: image.name, time: Date.now() }, open: false, tick: 0 });
  gallery.dialog?.close();
}

function tiles(gallery) {
  return [...gallery.groups.querySelectorAll(".tile")];
}

// One tile takes part in Tab; the arrows lead to the others.
function move(gallery, event) {
  const from = event.target.closest(".tile");
  if (!from || event.ctrlKey || event.altKey || event.metaKey) return;
  const buttons = tiles(gallery);
  const index = buttons.indexOf(from);
  const steps = {
    ArrowLeft: () => buttons[index - 1],
    ArrowRight: () => buttons[index + 1],
    ArrowUp: () => inNextRow(buttons, from, -1),
    ArrowDown: () => inNextRow(buttons, from, 1),
    Home: () => buttons[0],
    End: () => buttons.at(-1),
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const next = steps[event.key]();
  if (next) focus(gallery, next);
}

function inNextRow(buttons, from, direction) {
  const place = from.getBoundingClientRect();
  const away = (button) => {
    const box = button.getBoundingClientRect();
    return { button, rows: direction * (box.top - place.top), columns: Math.abs(box.left - place.left) };
  };
  const beyond = buttons.map(away).filter(({ rows }) => rows > 1);
  beyond.sort((one, other) => one.rows - other.rows || one.columns - other.columns);
  return beyond[0]?.button;
}

function focus(gallery, button) {
  if (button.image) for (const other of tiles(gallery)) other.tabIndex = other === button ? 0 : -1;
  button.focus({ preventScroll: true });
  // scrollIntoView would scroll the page as well.
  const [outer, inner] = [gallery.groups.getBoundingClientRect(), button.getBoundingClientRect()];
  if (inner.top < outer.top) gallery.groups.scrollTop += inner.top - outer.top - 30;
  if (inner.bottom > outer.bottom) gallery.groups.scrollTop += inner.bottom - outer.bottom + 6;
}
