// Controls follow the checkpoint. Whatever was typed stays: only values that the page itself put there are replaced.

const last = {};

function same(one, other) {
  return one === other || (one !== null && other !== null && typeof other === "number" && Number(one) === other);
}

// Takes what the server tells of the checkpoint in use and the values of this moment, and returns the new ones.
export function follow(tab, text, values) {
  if (!text) return values;
  const { title, names, defaults, wanted: own, suggested, presets } = JSON.parse(text);
  const before = last[tab];
  if (before?.title === title) return values;
  const preset = presets[tab] ?? {};
  const wanted = { ...own[tab], ...suggested[tab], ...preset };
  const offered = { ...defaults[tab], ...before?.offered };
  last[tab] = { title, offered: { ...offered, ...wanted } };
  // A preset was asked for by whoever chose the checkpoint; the first look at a page asks for nothing.
  const asked = (name) => before !== undefined && name in preset;
  const follows = (name, value) => name in wanted && (asked(name) || same(value, offered[name]));
  return names.map((name, at) => (follows(name, values[at]) ? wanted[name] : values[at]));
}
