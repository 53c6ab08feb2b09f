onUiLoaded(() => {
    const mark = document.createElement("span");
    mark.id = "panel_mark";
    mark.textContent = `${gradioApp().querySelector("#txt2img_prompt textarea") ? "prompt" : "nothing"} ${opts.panel_rows}`;
    document.body.append(mark);
});
