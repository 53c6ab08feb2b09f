// The Queue tab: who waits, who runs, and the pictures of the last quarter of an hour.

import { get, post } from "./api.js";
import { el, isShown } from "./dom.js";

const PERIOD_MS = 1500;
const MOST_PICTURES = 6;
const pictures = new Map();

export async function mount(element) {
  const now = el("div", { class: "queue-now" });
  const ended = el("div", { class: "queue-ended" });
  element.replaceChildren(
    el("div", { class: "queue-panel" }, el("h3", {}, "Waiting and running"), now, el("h3", {}, "Recent"), ended),
  );
  let last = "";
  for (;;) {
    if (isShown(element) && !document.hidden) {
      try {
        const { jobs } = await get("internal/jobs");
        const text = JSON.stringify(jobs);
        if (text !== last) {
          last = text;
          draw(now, ended, jobs);
        }
      } catch (error) {
        last = "";
        now.replaceChildren(el("p", { class: "error" }, `The queue cannot be seen: ${error.message}`));
      }
    }
    await new Promise((done) => setTimeout(done, PERIOD_MS));
  }
}

function draw(now, ended, jobs) {
  const live = jobs.filter((job) => job.state === "running" || job.state === "queued");
  const old = jobs.filter((job) => !live.includes(job)).reverse();
  now.replaceChildren(...(live.length > 0 ? live.map(line) : [el("p", { class: "note" }, "Nothing is running.")]));
  ended.replaceChildren(...(old.length > 0 ? old.map(line) : [el("p", { class: "note" }, "Nothing yet.")]));
}

function line(job) {
  const state =
    job.state === "queued" ? `waiting, place ${job.position}`
    : job.state === "running" ? `running, ${Math.floor(job.fraction * 100)}% ${job.stage}`
    : job.state;
  const row = el(
    "div", { class: `queue-line state-${job.state.replace(" ", "-")}` },
    el("span", { class: "queue-state" }, state),
    el("span", { class: "queue-kind" }, `${job.kind} (${job.source}${job.user ? `, ${job.user}` : ""})`),
    el("time", {}, clock(job.ended_at ?? job.started_at ?? job.accepted_at)),
  );
  if (job.id === null) return row;
  if (job.state === "running" || job.state === "queued") {
    const button = el("button", { type: "button", class: "queue-cancel" }, job.state === "running" ? "Interrupt" : "Cancel");
    button.addEventListener("click", () => {
      button.disabled = true;
      post(`internal/jobs/${job.id}/cancel`).catch(() => (button.disabled = false));
    });
    row.append(button);
  } else {
    const shelf = el("div", { class: "queue-pictures" });
    row.append(shelf);
    fill(shelf, job);
  }
  return row;
}

async function fill(shelf, job) {
  if (!pictures.has(job.id)) pictures.set(job.id, last(job.id));
  const end = await pictures.get(job.id);
  if (end === null) return;
  if (end.type === "failed") {
    shelf.append(el("span", { class: "error" }, end.message));
    return;
  }
  for (const image of end.images.slice(0, MOST_PICTURES)) {
    shelf.append(el("img", { src: image.url, loading: "lazy", alt: image.file ?? "picture", title: image.infotext }));
  }
  if (end.images.length > MOST_PICTURES) shelf.append(el("span", {}, `and ${end.images.length - MOST_PICTURES} more`));
  if (end.images.length > 0) {
    shelf.append(el("button", { type: "button", onclick: () => window.webui.showJob(job.kind, job.id) }, "Show"));
  }
}

// The stream of an ended job holds everything at once and ends by itself.
async function last(id) {
  try {
    const response = await fetch(`internal/jobs/${id}/events`);
    if (!response.ok) return null;
    const lines = (await response.text()).split("\n").filter((one) => one.startsWith("data: "));
    return JSON.parse(lines.at(-1).slice("data: ".length));
  } catch {
    return null;
  }
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}
