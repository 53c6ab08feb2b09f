// What the page's own scripts offer to gradio's events, and what they do by themselves.

import * as aspect from "./aspect.js";
import { get, post } from "./api.js";
import { byId, isShown, sleep, waitFor } from "./dom.js";
import * as drops from "./drops.js";
import { follow } from "./follow.js";
import * as gallery from "./gallery.js";
import * as hints from "./hints.js";
import { Jobs } from "./jobs.js";
import * as keys from "./keys.js";
import * as localize from "./localize.js";
import * as menus from "./menus.js";
import * as sizes from "./sizes.js";
import * as styles from "./styles.js";
import * as tokens from "./tokens.js";
import * as view from "./view.js";

const TABS = ["txt2img", "img2img"];
const MERGER = "modelmerger";
const EXTRAS = "extras";
const LABELS = { [MERGER]: "Checkpoint Merger", [EXTRAS]: "Extras" };
const jobs = Object.fromEntries([...TABS, EXTRAS, MERGER].map((tab) => [tab, new Jobs(tab)]));

// On narrow screens some tabs are in a menu, where their buttons have no ids.
function tabButton(tabs, id, label) {
  const inMenu = [...document.querySelectorAll(`#${tabs} > .tab-wrapper .overflow-dropdown button`)];
  return byId(`${id}-button`) ?? inMenu.find((button) => button.textContent.trim() === label);
}

function openTab(id) {
  tabButton("tabs", `tab_${id}`, LABELS[id] ?? id)?.click();
  // Not a page of cards, but what makes pictures.
  tabButton(`${id}_extra_tabs`, `${id}_generation`, "Generation")?.click();
}

// The inner tabs are there a moment after the tab around them; their labels are also those of hidden buttons.
async function openSource(source) {
  const label = (await waitFor(`img2img_submit_${source}`)).textContent.trim();
  for (let tries = 0; tries < 100; tries++) {
    const button = tabButton("mode_img2img", `img2img_${source}_tab`, label);
    if (button) return button.click();
    await sleep(100);
  }
}

window.webui = {
  accepted: (tab, id) => {
    if (id) jobs[tab].add(id);
    menus.answered(tab, Boolean(id));
  },
  wanted: (tab) => jobs[tab].takeWanted(),
  interrupt: (tab) => jobs[tab].end("cancel"),
  skip: (tab) => jobs[tab].end("skip"),
  // The inner tab in front is the one whose panel is seen; on narrow screens its button may be inside a menu.
  submit: (tab) => {
    const sources = [...document.querySelectorAll(`[id^=${tab}_submit_]`)];
    sources.find((button) => isShown(byId(button.id.replace("_submit_", "_") + "_tab")))?.click();
  },
  follow,
  picked: gallery.picked,
  inFront: gallery.inFront,
  openSource,
  restore: (tab) => jobs[tab].restore(),
  showJob: (kind, id) => {
    const tab = kind in jobs ? kind : TABS[0];
    openTab(tab);
    jobs[tab].show(id);
  },
  countTokens: (tab) => tokens.soon(tab),
  setStyles: (tab, names) => tokens.setStyles(tab, names),
  // Something was sent: bring its target to the front; empty when there was nothing to send.
  sent: (target) => {
    if (!target) return;
    const tab = target === "txt2img" || target === EXTRAS ? target : "img2img";
    openTab(tab);
    if (tab === EXTRAS) return tabButton(`mode_${EXTRAS}`, `${EXTRAS}_single_tab`, "Single Image")?.click();
    if (tab === "img2img") openSource(target);
    tokens.soon(tab);
  },
  editStyles: (tab) => styles.edit(tab),
  // Choose a checkpoint, as its selector would.
  chooseCheckpoint: async (title) => {
    const { refused } = await post("internal/ui/settings", { values: { sd_model_checkpoint: title } });
    if (refused.sd_model_checkpoint) throw new Error(refused.sd_model_checkpoint);
    byId("quicksettings_reload")?.click();
  },
  settingsChanged: () => {
    byId("quicksettings_reload")?.click();
    learn();
  },
};

const options = { lightbox: true, zoomed: true, counters: true, title: true };

async function learn() {
  Object.assign(options, await get("internal/ui/page").catch(() => ({})));
  view.setTitled(options.title);
  document.documentElement.toggleAttribute("data-no-counters", !options.counters);
}

learn().then(() => {
  if (options.localized) localize.start();
});
gallery.listen([...TABS, EXTRAS], options);
drops.listen(TABS);
aspect.listen();
menus.listen(TABS, jobs);
sizes.listen(TABS);
keys.listen([...TABS, EXTRAS], jobs);
tokens.listen();
hints.listen([...TABS, EXTRAS]);
for (const tab of Object.keys(jobs)) jobs[tab].resume();
