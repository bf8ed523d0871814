// A file dropped anywhere on the page goes into Streamlit's own uploader, so that its limits and checks apply.

const HINT = "Drop to open the file";

export default function ({ data, parentElement }) {
  const root = parentElement.host ?? parentElement;
  if (root.stopFileDrop) return root.stopFileDrop; // it is called again on each run
  const events = new AbortController();
  const hint = makeHint();
  const style = document.createElement("style");
  // A frame would take the drag for itself, and the browser would leave the page for the file.
  style.textContent = "html.dragging-file iframe { pointer-events: none }";

  const uploader = () => document.querySelector(`.st-key-${data.uploader} [data-testid=stFileUploader] input[type=file]`);
  const isForPage = (event) =>
    event.dataTransfer?.types.includes("Files") &&
    !event.composedPath().some((element) => element.dataset?.testid === "stFileUploader");
  const show = (isShown) => {
    hint.style.display = isShown ? "flex" : "none";
    if (isShown) {
      colour(hint, root);
      document.documentElement.classList.add("dragging-file");
    }
  };
  const end = () => {
    show(false);
    document.documentElement.classList.remove("dragging-file");
  };
  const over = (event) => {
    const isOurs = isForPage(event) && uploader() !== null;
    show(isOurs);
    if (!isOurs) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  };
  const drop = (event) => {
    const isOurs = isForPage(event);
    end();
    if (!isOurs) return;
    event.preventDefault(); // else the browser would leave the page for the file
    const input = uploader();
    if (!input || !event.dataTransfer.files.length) return;
    const files = new DataTransfer();
    for (const file of event.dataTransfer.files) files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const leave = (event) => {
    if (event.relatedTarget === null) end(); // the pointer has left the window
  };

  document.head.append(style);
  document.body.append(hint);
  const options = { signal: events.signal };
  window.addEventListener("dragenter", over, options);
  window.addEventListener("dragover", over, options);
  window.addEventListener("dragleave", leave, options);
  window.addEventListener("drop", drop, options);
  root.stopFileDrop = () => {
    events.abort();
    end();
    hint.remove();
    style.remove();
    delete root.stopFileDrop;
  };
  return root.stopFileDrop;
}

function makeHint() {
  const hint = document.createElement("div");
  hint.setAttribute("role", "status");
  hint.dataset.testid = "fileDropHint";
  hint.textContent = HINT;
  hint.style.cssText =
    "position: fixed; inset: 0; z-index: 1000000; display: none; align-items: center; justify-content: center; " +
    "pointer-events: none; font-size: 1.5rem; font-weight: 600; border: 3px dashed; box-sizing: border-box";
  return hint;
}

// The hint lies outside the component, where the theme's variables are not set.
function colour(hint, root) {
  const theme = getComputedStyle(root);
  const variable = (name, otherwise) => theme.getPropertyValue(`--st-${name}`).trim() || otherwise;
  const background = variable("background-color", "white");
  hint.style.background = `color-mix(in srgb, ${background} 85%, transparent)`;
  hint.style.color = variable("text-color", "black");
  hint.style.borderColor = variable("primary-color", "currentcolor");
  hint.style.fontFamily = variable("font", "sans-serif");
}
