// Pictures that are pasted or dropped: onto the prompt to read how they were made, elsewhere into an image field.

import { byId, fill, isShown, sleep } from "./dom.js";

const MOST_CHARS = 10_000;

function pictures(data) {
  return [...(data?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

function put(input, file) {
  const transfer = new DataTransfer();
  transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function promptTab(target, tabs) {
  const box = target instanceof Element ? target.closest(".prompt-container") : null;
  return box && tabs.find((tab) => byId(`${tab}_prompt_container`) === box);
}

// A picture of our own gallery comes as an address.
async function ownPicture(data) {
  const address = data.getData("text/uri-list").split("\n")[0].trim();
  if (!address || new URL(address, document.baseURI).origin !== location.origin) return null;
  const answer = await fetch(address).catch(() => null);
  const kind = answer?.ok ? (answer.headers.get("Content-Type") ?? "") : "";
  return kind.startsWith("image/") ? new File([await answer.blob()], "picture", { type: kind }) : null;
}

async function onPrompt(tab, data) {
  const text = [...data.files].find((file) => file.type.startsWith("text/") || file.name.endsWith(".txt"));
  if (text) {
    fill(byId(`${tab}_prompt`).querySelector("textarea"), (await text.text()).slice(0, MOST_CHARS));
    byId(tab === "txt2img" ? "paste" : `${tab}_paste`)?.click();
    return;
  }
  const picture = pictures(data)[0] ?? (await ownPicture(data));
  const input = byId(`${tab}_prompt_image`)?.querySelector("input[type=file]");
  if (picture && input) put(input, picture);
}

// Into the first empty image field that is seen, else in place of what the last one holds.
async function pasteInto(file) {
  const fields = [...document.querySelectorAll("[data-testid=image], .image-container")]
    .map((one) => one.closest(".block"))
    .filter((block, at, all) => block && isShown(block) && !block.closest(".gallery-container") && all.indexOf(block) === at);
  const empty = fields.find((block) => block.querySelector("input[type=file]"));
  if (empty) return put(empty.querySelector("input[type=file]"), file);
  const last = fields.at(-1);
  const clear = last?.querySelector("button[aria-label='Remove Image'], button[aria-label='Clear']");
  if (!clear) return;
  clear.click();
  for (let tries = 0; tries < 50; tries++) {
    const input = last.querySelector("input[type=file]");
    if (input) return put(input, file);
    await sleep(50);
  }
}

export function listen(tabs) {
  document.addEventListener(
    "dragover",
    (event) => {
      if (promptTab(event.target, tabs) && !event.dataTransfer.types.includes("text/html")) event.preventDefault();
      else if (promptTab(event.target, tabs) && event.dataTransfer.types.includes("text/uri-list")) event.preventDefault();
    },
    true,
  );
  document.addEventListener(
    "drop",
    (event) => {
      const tab = promptTab(event.target, tabs);
      const data = event.dataTransfer;
      if (!tab || (data.files.length === 0 && !data.types.includes("text/uri-list"))) return;
      event.preventDefault();
      event.stopPropagation();
      onPrompt(tab, data);
    },
    true,
  );
  document.addEventListener("paste", (event) => {
    const file = pictures(event.clipboardData)[0];
    if (!file || event.clipboardData.types.includes("text/plain")) return;
    event.preventDefault();
    pasteInto(file);
  });
}
