// A text such as 640x960, pasted into a field for width or height, fills both.

import { byId, fill } from "./dom.js";

const SIZE = /^\s*(\d{2,5})\s*[x×*]\s*(\d{2,5})\s*$/i;

export function parseSize(text) {
  const found = SIZE.exec(text);
  return found === null ? null : [found[1], found[2]];
}

export function listen(tabs) {
  document.addEventListener("paste", (event) => {
    const tab = tabs.find((one) => event.target.closest?.(`#${one}_width, #${one}_height`));
    const size = tab && parseSize(event.clipboardData.getData("text/plain"));
    if (!size) return;
    event.preventDefault();
    for (const [at, name] of ["width", "height"].entries()) {
      const field = byId(`${tab}_${name}`)?.querySelector("input[type=number]");
      if (!field) continue;
      fill(field, size[at]);
      field.dispatchEvent(new Event("change", { bubbles: true }));
      field.dispatchEvent(new Event("blur"));
    }
  });
}
