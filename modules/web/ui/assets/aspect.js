// While width or height of img2img change: the part of the picture that has their proportions.

import { byId, el, isShown } from "./dom.js";

const SHOWN_MS = 2000;
let frame = null;
let timer = 0;

function size(name) {
  return Number(byId(`img2img_${name}`)?.querySelector("input[type=number]")?.value);
}

// The picture is fitted into its element, so it may be smaller than that.
function pictureBox(image) {
  const around = image.getBoundingClientRect();
  const by = Math.min(around.width / image.naturalWidth, around.height / image.naturalHeight);
  const width = image.naturalWidth * by;
  const height = image.naturalHeight * by;
  return { left: around.left + (around.width - width) / 2, top: around.top + (around.height - height) / 2, width, height };
}

export function inscribed(box, width, height) {
  const by = Math.min(box.width / width, box.height / height);
  const inside = { width: width * by, height: height * by };
  return { left: box.left + (box.width - inside.width) / 2, top: box.top + (box.height - inside.height) / 2, ...inside };
}

// Puts the frame over the picture; false when there is none to put it over.
function place() {
  const image = [...document.querySelectorAll("#mode_img2img img")].find((one) => isShown(one) && one.naturalWidth > 0);
  const [width, height] = [size("width"), size("height")];
  if (!image || !(width > 0) || !(height > 0)) return false;
  if (frame === null) {
    frame = el("div", { id: "imageARPreview", class: "aspect-frame" });
    (document.querySelector(".gradio-container") ?? document.body).append(frame);
  }
  const inside = inscribed(pictureBox(image), width, height);
  for (const [name, value] of Object.entries(inside)) frame.style[name] = `${value}px`;
  return true;
}

function show() {
  if (!place()) return;
  frame.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (frame.hidden = true), SHOWN_MS);
}

export function listen() {
  document.addEventListener("scroll", () => frame && !frame.hidden && place(), { capture: true, passive: true });
  document.addEventListener("input", (event) => {
    if (event.isTrusted && event.target.closest?.("#img2img_width, #img2img_height")) show();
  });
}
