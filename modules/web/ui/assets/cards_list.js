// Which cards are shown, and in which order. Pure.

const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const FAMILIES = new Set(["sd1", "sd2", "sdxl"]);
const SEARCHED = 4;

export const ORDERS = { Path: "path", Name: "name", "Date Created": "created", "Date Modified": "modified" };

function words(card) {
  card.words ??= [card.key, card.name, card.alias, card.title, card.text, card.hash, card.tags].filter(Boolean).join("\n").toLowerCase();
  return card.words;
}

function isHidden(card, search, options) {
  if (!card.hidden || options.hidden === "Always") return false;
  return options.hidden === "Never" || search.length < SEARCHED;
}

// Made for another kind of model than the one in use.
export function isForOthers(page, card, options) {
  if (page !== "lora" || options.all || !FAMILIES.has(options.family)) return false;
  return card.family ? card.family !== options.family : options.hide_unknown;
}

function isBelow(card, folder, options) {
  if (!folder) return true;
  return options.slash ? card.key.startsWith(`${folder}/`) : `/${card.key}`.includes(`/${folder}/`);
}

export function wanted(page, cards, { search, folder }, options) {
  const asked = search.trim().toLowerCase();
  const all = asked.split(/\s+/).filter(Boolean);
  const shown = cards.filter((card) => !isForOthers(page, card, options));
  return {
    others: cards.length - shown.length,
    cards: shown.filter((card) => isBelow(card, folder, options) && !isHidden(card, asked, options)
      && all.every((word) => words(card).includes(word))),
  };
}

// The server's order is that of paths.
export function sorted(cards, order, descending) {
  const by = {
    path: null,
    name: (one, other) => names.compare(one.name, other.name),
    created: (one, other) => (one.created ?? 0) - (other.created ?? 0),
    modified: (one, other) => (one.modified ?? 0) - (other.modified ?? 0),
  }[order];
  const made = by ? [...cards].sort(by) : [...cards];
  return descending ? made.reverse() : made;
}

export function folders(cards, options) {
  const found = new Set();
  for (const card of cards) {
    for (let at = card.folder ?? ""; at; at = at.includes("/") ? at.slice(0, at.lastIndexOf("/")) : "") found.add(at);
  }
  const isOffered = (path) => options.hidden_folders || !path.split("/").some((part) => part.startsWith("."));
  return [...found].filter(isOffered).sort(names.compare);
}
