// What a gallery shows: which picture is selected, and one picture over the whole page.

import { byId, el } from "./dom.js";

let dialog = null;
let parts = {};
let tab = "";
let zoomed = true;

// In preview the row of small pictures tells which one is in front, else the grid does.
function thumbnails(of) {
  const gallery = byId(`${of}_gallery`);
  const row = [...(gallery?.querySelectorAll(".preview .thumbnails .thumbnail-item") ?? [])];
  return row.length > 0 ? row : [...(gallery?.querySelectorAll(".grid-container .thumbnail-item") ?? [])];
}

function selected(of) {
  return Math.max(0, thumbnails(of).findIndex((one) => one.classList.contains("selected")));
}

export function picked(of) {
  return String(dialog?.open && of === tab ? Number(dialog.dataset.at) : selected(of));
}

// The mark of the selected picture moves a moment after the click.
export async function inFront(of) {
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  return picked(of);
}

export function listen(tabs, options) {
  document.addEventListener(
    "click",
    (event) => {
      const picture = event.target.closest?.(".gallery-container .preview .media-button");
      const of = picture && tabs.find((one) => byId(`${one}_gallery`)?.contains(picture));
      if (!of || !options.lightbox || event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      open(of, options.zoomed);
    },
    true,
  );
  // The middle button opens the picture itself.
  document.addEventListener("auxclick", (event) => {
    const picture = event.button === 1 ? event.target.closest?.(".gallery-container .preview .media-button img") : null;
    if (picture) window.open(picture.src, "_blank", "noopener");
  });
}

function open(of, wanted) {
  tab = of;
  zoomed = wanted;
  if (dialog === null) build();
  dialog.showModal();
  show(selected(of));
}

function build() {
  const button = (label, title, run, kind = "") => el("button", { type: "button", title, class: kind, onclick: run }, label);
  parts = {
    image: el("img", { alt: "" }),
    place: el("span", { class: "place" }),
    said: el("span", { class: "said", role: "status" }),
  };
  dialog = el(
    "dialog", { id: "lightboxModal", class: "lightbox", onkeydown: key },
    el("div", { class: "frame", onclick: (event) => event.target === event.currentTarget && dialog.close() }, parts.image),
    button("‹", "Previous picture (left arrow)", () => step(-1), "step before"),
    button("›", "Next picture (right arrow)", () => step(1), "step after"),
    el(
      "div", { class: "bar" }, parts.said, parts.place,
      button("Zoom", "Change the size (z)", () => zoom()),
      button("Save", "Save this picture (s)", () => save()),
      button("Close", "Close (Esc)", () => dialog.close()),
    ),
  );
  dialog.setAttribute("aria-label", "Picture");
  (document.querySelector(".gradio-container") ?? document.body).append(dialog);
}

function addresses() {
  return thumbnails(tab).map((one) => one.querySelector("img")?.src).filter(Boolean);
}

function show(at) {
  const all = addresses();
  if (all.length === 0) return dialog.close();
  const index = (at + all.length) % all.length;
  dialog.dataset.at = index;
  parts.image.src = all[index];
  parts.place.textContent = all.length > 1 ? `${index + 1} / ${all.length}` : "";
  parts.said.textContent = "";
  fit();
  thumbnails(tab)[index]?.click();
}

function step(by) {
  show(Number(dialog.dataset.at) + by);
}

// As large as the page, or, a second time, as many pixels as the picture has.
function zoom() {
  zoomed = !zoomed;
  fit();
}

function fit() {
  dialog.dataset.fit = zoomed ? "page" : "full";
}

// The words below the gallery say how it went.
function save() {
  const log = byId(`html_log_${tab}`);
  parts.said.textContent = "Saving ...";
  const told = new MutationObserver(() => {
    told.disconnect();
    parts.said.textContent = log.innerText.trim();
  });
  told.observe(log, { childList: true, subtree: true, characterData: true });
  byId(`save_${tab}`)?.click();
}

function key(event) {
  const run = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), s: save, z: zoom }[event.key];
  if (run === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  run();
}
