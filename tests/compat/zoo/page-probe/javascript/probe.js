// Notes what the page looked like when each callback came. Names of its own must not meet those of the host.
const wait = "mine", seen = [], changed = 0;
var probe = { loaded: [], updates: 0, after: 0, tabs: [], options: 0, fromFolder: null };

onUiLoaded(() => {
    const app = gradioApp();
    for (const selector of [
        "#txt2img_prompt > label > textarea", "#img2img_prompt > label > textarea", "#tabs > .tab-nav > button",
        "#tabs > div:first-child > button", "#img2img_sketch", "#txt2img_hr .gradio-slider", "#probe_inner textarea",
        "#probe_hidden", "#probe_second_tab textarea", ".gradio-dropdown .wrap-inner", "#hires_prompt textarea",
    ]) {
        if (app.querySelector(selector)) probe.loaded.push(selector);
    }
    fetch("/file=extensions/page-probe/javascript/words.txt").then((got) => got.text()).then((text) => { probe.fromFolder = text.trim(); });
});
onUiUpdate(() => { probe.updates++; });
onAfterUiUpdate(() => { probe.after++; });
onUiTabChange(() => { probe.tabs.push(get_uiCurrentTab().textContent.trim()); });
onOptionsChanged(() => { probe.options++; });

function probeScript(...given) {
    return given.map((one) => `${one}?`);
}
