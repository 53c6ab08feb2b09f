// What a running job looks like: the bar, the picture in the making, the page's title, the buttons.

import { byId } from "./dom.js";

const TITLE = document.title || "Stable Diffusion";
let titled = true;

export function setTitled(wanted) {
  titled = wanted;
  if (!wanted) document.title = TITLE;
}

function parts(tab) {
  const progress = byId(`${tab}_progress`);
  return {
    track: progress?.querySelector(".progress-track"),
    bar: progress?.querySelector(".progress-bar"),
    text: progress?.querySelector(".progress-text"),
    preview: byId(`${tab}_live_preview`)?.querySelector("img"),
    box: byId(`${tab}_generate_box`),
  };
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, "0");
  if (hours > 0) return `${hours}:${String(minutes).padStart(2, "0")}:${rest}`;
  return minutes > 0 ? `${minutes}:${rest}` : `${whole % 60}s`;
}

export function describe(state) {
  if (state.note) return state.note;
  if (state.position > 0) return state.position === 1 ? "Next in the queue" : `In the queue: place ${state.position}`;
  if (state.steps > 0) {
    const percent = `${Math.floor(state.fraction * 100)}%`;
    const left = state.eta === null ? "" : ` ETA: ${duration(state.eta)}`;
    const batch = state.batches > 1 ? `, batch ${state.batch + 1}/${state.batches}` : "";
    const doing = state.step >= state.steps && state.stage ? `, ${state.stage}` : "";
    return `${percent}${left} (step ${state.step}/${state.steps}${batch}${doing})`;
  }
  return state.stage ? `${state.stage} ...` : "Waiting ...";
}

export function show(tab, state) {
  const { track, bar, text, box } = parts(tab);
  if (track) {
    track.hidden = false;
    bar.style.width = `${(state.fraction * 100).toFixed(1)}%`;
    text.textContent = describe(state) + (state.waiting > 0 ? ` · ${state.waiting} more waiting` : "");
  }
  if (box) box.dataset.running = state.position > 0 ? "queued" : "yes";
  if (!titled) return;
  const left = state.eta === null ? "" : ` ETA: ${duration(state.eta)}`;
  document.title = state.steps > 0 ? `[${Math.floor(state.fraction * 100)}%${left}] ${TITLE}` : `[Waiting] ${TITLE}`;
}

export function preview(tab, address) {
  const { preview: image } = parts(tab);
  if (!image) return;
  const loading = new Image();
  loading.onload = () => {
    if (byId(`${tab}_generate_box`)?.dataset.running !== "yes") return;
    image.src = address;
    image.hidden = false;
  };
  loading.src = address;
}

export function idle(tab) {
  const { track, preview: image, box } = parts(tab);
  if (track) track.hidden = true;
  if (image) {
    image.hidden = true;
    image.removeAttribute("src");
  }
  if (box) delete box.dataset.running;
  document.title = TITLE;
}

// The log area belongs to gradio; words of ours go in front of it and are gone with the next result.
export function say(tab, message) {
  const log = byId(`html_log_${tab}`);
  if (!log) return;
  log.querySelector(".said")?.remove();
  if (!message) return;
  const line = document.createElement("div");
  line.className = "error said";
  line.setAttribute("role", "alert");
  line.textContent = message;
  log.prepend(line);
}
