// The menus of the right button on Generate and Interrupt, and generating again and again.

import { byId, el } from "./dom.js";

const PERIOD_MS = 500;
const timers = {};
const asked = {};
let menu = null;

export function isForever(tab) {
  return timers[tab] !== undefined;
}

// Another run as soon as the last one has ended. One that was asked for and not yet answered counts as running.
function begin(tab, jobs) {
  stop(tab);
  const again = () => {
    if (jobs[tab].current !== null || asked[tab]) return;
    asked[tab] = true;
    byId(`${tab}_generate`)?.click();
  };
  timers[tab] = setInterval(again, PERIOD_MS);
  byId(`${tab}_generate_box`)?.toggleAttribute("data-forever", true);
  again();
}

export function stop(tab) {
  clearInterval(timers[tab]);
  delete timers[tab];
  asked[tab] = false;
  byId(`${tab}_generate_box`)?.removeAttribute("data-forever");
}

// The server has answered; what it refuses once it would refuse for ever.
export function answered(tab, accepted) {
  asked[tab] = false;
  if (!accepted) stop(tab);
}

function close() {
  menu?.remove();
  menu = null;
}

function open(event, tab, jobs) {
  close();
  const entry = (words, run) =>
    el("button", { type: "button", role: "menuitem", onclick: () => (close(), run()) }, words);
  menu = el(
    "div", { id: "context-menu", class: "context-menu", role: "menu" },
    isForever(tab)
      ? entry("Cancel generate forever", () => stop(tab))
      : entry("Generate forever", () => begin(tab, jobs)),
  );
  menu.style.left = `${Math.min(event.clientX, innerWidth - 220)}px`;
  menu.style.top = `${event.clientY}px`;
  (document.querySelector(".gradio-container") ?? document.body).append(menu);
  menu.firstElementChild.focus();
}

export function listen(tabs, jobs) {
  document.addEventListener("contextmenu", (event) => {
    const tab = tabs.find((one) => byId(`${one}_generate_box`)?.contains(event.target));
    if (tab === undefined) return;
    event.preventDefault();
    open(event, tab, jobs);
  });
  document.addEventListener("pointerdown", (event) => {
    if (menu !== null && !menu.contains(event.target)) close();
  });
  document.addEventListener("keydown", (event) => {
    if (menu === null || event.key !== "Escape") return;
    event.stopImmediatePropagation();
    close();
  }, true);
}
