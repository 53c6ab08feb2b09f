// The page in another language: texts that are known are replaced wherever gradio or our scripts write them.

import { get } from "./api.js";

// What people, models and files say stays as it is.
const THEIRS = "textarea, script, style, .infotext, .pnginfo, .model .name, .queue-kind, .options, .token, svg";
const ATTRIBUTES = ["placeholder", "title", "aria-label"];
let texts = new Map();

function translated(text) {
  const bare = text.trim();
  const found = bare && texts.get(bare);
  return found ? text.replace(bare, () => found) : null;
}

function visitText(node) {
  if (node.parentElement?.closest(THEIRS)) return;
  const found = translated(node.data);
  if (found !== null && found !== node.data) node.data = found;
}

function visitElement(element) {
  for (const name of ATTRIBUTES) {
    const value = element.getAttribute(name);
    const found = value && translated(value);
    if (found && found !== value) element.setAttribute(name, found);
  }
}

function visit(root) {
  if (root.nodeType === Node.TEXT_NODE) return visitText(root);
  if (root.nodeType !== Node.ELEMENT_NODE) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = root; node !== null; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) visitText(node);
    else visitElement(node);
  }
}

export async function start() {
  const { texts: known, rtl } = await get("internal/ui/localization").catch(() => ({ texts: {}, rtl: false }));
  texts = new Map(Object.entries(known));
  if (rtl) document.documentElement.dir = "rtl";
  if (texts.size === 0) return;
  visit(document.body);
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") visitText(change.target);
      else if (change.type === "attributes") visitElement(change.target);
      else change.addedNodes.forEach(visit);
    }
  }).observe(document.body, {
    childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES,
  });
}
