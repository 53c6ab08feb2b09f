// What A1111's page had and gradio's has not: class names, selectors, tabs whose content is there from the start.
"use strict";

(() => {
/** Selector -> the class that elements had. Classes of whole components are given to them by the server. */
const OLD_CLASSES = [
    ['[role="tablist"]', "tab-nav"],
    ["[data-testid=accordion-content] > .column", "gap"],
    [".extra-networks [id$=_cards]", "extra-network-cards"],
    ["div.form", "gr-form"],
    [".progress-track", "progressDiv"],
    [".progress-track > .progress-bar", "progress"],
    [".live-preview", "livePreview"],
    ["textarea[data-testid=textbox], input[data-testid=textbox]", "gr-text-input"],
];

/** Written for older page -> for this one; only where nothing is found as it is written. */
const OLD_SELECTORS = [
    [/(\blabel(?:[.:\[][^\s>]*)?)\s*>\s*(?=(?:textarea|input)\b)/g, "$1 "],
    [/(#[\w-]*tabs?[\w-]*|\.tabs)\s*>\s*(?=(?:div)?\.tab-nav\b)/g, "$1 > .tab-wrapper > "],
    [/(#[\w-]*tabs?[\w-]*|\.tabs)\s*>\s*div:(?:first-child|first-of-type|nth-child\(1\))\s*>\s*(?=button\b)/g, "$1 > .tab-wrapper > .tab-nav > "],
    [/:scope\s*>\s*(?=(?:div)?\.tab-nav\b)/g, ":scope > .tab-wrapper > "],
];

/** Tabs of the host whose content page scripts look for. */
const MOUNTED_TABS = ["tab_txt2img", "tab_img2img"];
const MOUNTED_STRIPS = ["tabs", "mode_img2img"];
const MOUNT_STEP_MS = 20;
const MOUNT_MOST_MS = 3000;

function addOldClasses() {
    for (const [selector, name] of OLD_CLASSES) {
        for (const one of document.querySelectorAll(`:is(${selector}):not(.${name})`)) one.classList.add(name);
    }
}

/** @returns {string} a selector in the words of this page. */
function renewedSelector(selector) {
    return OLD_SELECTORS.reduce((text, [old, now]) => text.replace(old, now), selector);
}

function answerOldSelectors(prototype) {
    for (const name of ["querySelector", "querySelectorAll"]) {
        const plain = prototype[name];
        prototype[name] = function (selector) {
            const found = plain.call(this, selector);
            if (typeof selector !== "string" || (name === "querySelector" ? found : found.length)) return found;
            const renewed = renewedSelector(selector);
            return renewed === selector ? found : plain.call(this, renewed);
        };
    }
}
answerOldSelectors(Document.prototype);
answerOldSelectors(Element.prototype);

// Before the buttons of tabs there is a copy of them, which measures their width and does nothing else.
document.addEventListener("click", (event) => {
    const copies = event.target.closest?.('.tab-container[aria-hidden="true"]');
    const button = copies && event.target.closest("button");
    if (button) copies.parentElement.querySelectorAll(':scope > [role="tablist"] > button')[[...copies.children].indexOf(button)]?.click();
}, true);

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Wait until a panel has content that does not grow any more. */
async function grown(panel) {
    let before = 0;
    for (let waited = 0; waited < MOUNT_MOST_MS; waited += MOUNT_STEP_MS) {
        const size = panel.getElementsByTagName("*").length;
        if (size > 3 && size === before) return;
        before = size;
        await wait(MOUNT_STEP_MS);
    }
}

const buttonsOf = (strip) => [...strip.querySelectorAll(':scope > .tab-wrapper > [role="tablist"] > button[role="tab"]')];

/** @returns {Set<string>} ids of tabs whose opening is an event that the server hears. */
function heardTabs() {
    const config = window.gradio_config ?? {};
    const heard = new Set((config.dependencies ?? []).filter((one) => one.backend_fn).flatMap((one) => one.targets.filter(([, event]) => event === "select").map(([id]) => id)));
    return new Set((config.components ?? []).filter((one) => one.type === "tabitem" && heard.has(one.id)).map((one) => String(one.props.id ?? one.id)));
}

/** Open the tabs of a strip one after the other, and in the end the first one again. */
async function mountStrip(strip, heard, wanted = () => true) {
    const buttons = buttonsOf(strip);
    const first = buttons.find((one) => one.classList.contains("selected"));
    if (!MOUNTED_STRIPS.includes(strip.id) && buttons.some((one) => heard.has(one.dataset.tabId))) return;
    for (const button of buttons.filter((one) => wanted(one.id.replace(/-button$/, "")))) {
        if (!button.classList.contains("selected")) button.click();
        await wait(0);
        const panels = [...strip.querySelectorAll(':scope > [role="tabpanel"]')];
        const panel = panels.find((one) => one.style.display !== "none");
        if (!panel) continue;
        await grown(panel);
        for (const inner of innerStrips(panel)) await mountStrip(inner, heard);
    }
    if (first && !first.classList.contains("selected")) first.click();
}

/** @returns {Element[]} strips of tabs right inside of a panel. Pages of cards are fetched when somebody wants them. */
function innerStrips(panel) {
    const around = (strip) => strip.parentElement.closest(".tabs:not(.extra-networks)");
    return [...panel.querySelectorAll(".tabs:not(.extra-networks)")].filter((one) => !panel.contains(around(one)));
}

/** Content of tabs is made when they are first opened, and page scripts look for it right away. */
async function mountTabs() {
    const answer = await fetch("./internal/a1111/tabs", { cache: "no-store" }).catch(() => null);
    const theirs = answer?.ok ? await answer.json() : [];
    const wanted = new Set([...MOUNTED_TABS, ...theirs]);
    document.documentElement.dataset.mounting = "yes";
    try {
        await mountStrip(document.getElementById("tabs"), heardTabs(), (id) => wanted.has(id));
    } finally {
        delete document.documentElement.dataset.mounting;
    }
}

window.a1111Page = { addOldClasses, mountTabs };
})();
