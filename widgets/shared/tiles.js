// What components with thumbnails have in common; it stands before each of them in one script. An `owner` is the root of
// a component, which has `ask` and what it has `asked`.

const MILLISECONDS_BETWEEN_REQUESTS = 400;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && !key.startsWith("aria-")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Asks again and again while Python says that something is to come.
function askWhile(isWaiting, owner) {
  clearInterval(owner.waiting);
  if (!isWaiting) return;
  owner.waiting = setInterval(() => {
    if (owner.isConnected) owner.ask({ tick: owner.asked.tick + 1 });
    else clearInterval(owner.waiting);
  }, MILLISECONDS_BETWEEN_REQUESTS);
}

// A tile that is taken away under a press gets no click: what comes meanwhile is shown after it.
function holdWhilePressed(owner, tiles, show) {
  tiles.addEventListener("pointerdown", () => {
    owner.isPressed = true;
    const over = new AbortController();
    const release = () => {
      over.abort();
      owner.isPressed = false;
      setTimeout(() => show(owner)); // after the click
    };
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, release, { capture: true, signal: over.signal });
  });
}

function thumbnail(url, attributes = {}) {
  const made = element("img", { alt: "", draggable: false, src: root() + url, ...attributes });
  let pause = 250;
  made.onerror = () => { // Streamlit has no file of a page while the page runs anew
    if (made.isConnected) setTimeout(() => { made.src = made.src; }, pause);
    pause = Math.min(2 * pause, 4000);
  };
  return made;
}

// The script's own address leads to the server's root, under a base path and on sub-pages too.
function root() {
  return document.querySelector('script[src*="/static/"]').src.split("/static/")[0];
}

