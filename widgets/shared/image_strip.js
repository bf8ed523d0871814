// Thumbnails in a row. Python sends the names and, once they are made, the addresses of the thumbnails.

const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const MILLISECONDS_BETWEEN_REQUESTS = 400;

export default function ({ data, parentElement, setTriggerValue }) {
  const strip = parentElement.querySelector(".strip");
  strip.pick = (name) => {
    press(strip, name); // at once; the page follows
    strip.picked = name;
    setTriggerValue("picked", name);
  };
  const content = JSON.stringify(data.images);
  if (strip.content !== content) {
    strip.content = content;
    fill(strip, data.images);
  }
  if (strip.current !== data.current || strip.picked === data.current) strip.picked = null;
  if (strip.current !== data.current || !strip.querySelector("[aria-pressed=true]")) {
    strip.current = data.current;
    scrollTo(strip, press(strip, data.current));
  }
  clearInterval(strip.waiting);
  // Again and again: a trigger that is sent while the page runs can be lost. Of two that wait for one run Streamlit keeps
  // the later, so a click that no run has answered is sent along.
  const ask = () => {
    if (strip.picked) setTriggerValue("picked", strip.picked);
    setTriggerValue("waiting", Date.now());
  };
  if (data.waiting) strip.waiting = setInterval(ask, MILLISECONDS_BETWEEN_REQUESTS);
  if (!strip.listens) {
    strip.listens = true;
    strip.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) strip.pick(button.ariaLabel);
    });
    strip.addEventListener("keydown", (event) => move(strip, event));
  }
  return () => clearInterval(strip.waiting);
}

// The script's own address leads to the server's root, under a base path and on sub-pages too.
function root() {
  return document.querySelector('script[src*="/static/"]').src.split("/static/")[0];
}

function fill(strip, images) {
  const focused = strip.getRootNode().activeElement?.ariaLabel;
  const left = strip.scrollLeft;
  strip.replaceChildren(...images.map(makeButton));
  strip.scrollLeft = left;
  [...strip.children].find((button) => button.ariaLabel === focused)?.focus();
}

function makeButton({ name, url, width, height }) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = button.ariaLabel = name;
  button.ariaPressed = "false";
  button.tabIndex = -1;
  if (url) {
    const picture = document.createElement("img");
    Object.assign(picture, { width, height, alt: "", draggable: false, src: root() + url });
    button.append(picture);
  } else {
    const label = document.createElement("span");
    label.textContent = name;
    button.append(label);
  }
  return button;
}

// One button takes part in Tab: the image shown, else the first; the arrows lead to the others.
function press(strip, name) {
  const buttons = [...strip.children];
  for (const button of buttons) button.ariaPressed = String(button.ariaLabel === name);
  const pressed = buttons.find((button) => button.ariaLabel === name);
  stop(strip, pressed ?? buttons[0]);
  return pressed;
}

function stop(strip, stopped) {
  for (const button of strip.children) button.tabIndex = button === stopped ? 0 : -1;
}

function move(strip, event) {
  if (!(event.key in STEPS) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const buttons = [...strip.children];
  const index = buttons.indexOf(event.target.closest("button")) + STEPS[event.key];
  const next = buttons[Math.min(Math.max(index, 0), buttons.length - 1)];
  stop(strip, next);
  next.focus({ preventScroll: true });
  scrollTo(strip, next);
}

// scrollIntoView would scroll the page as well.
function scrollTo(strip, button) {
  if (!button) return;
  const [outer, inner] = [strip.getBoundingClientRect(), button.getBoundingClientRect()];
  if (inner.left < outer.left) strip.scrollLeft += inner.left - outer.left - 3;
  if (inner.right > outer.right) strip.scrollLeft += inner.right - outer.right + 3;
}
