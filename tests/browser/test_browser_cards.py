"""Cards in a real browser: clicks change prompts, dialogs change files, and a thousand cards are a few elements."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save, save_file

from modules.families.toy.checkpoint import make_toy_checkpoint
from tests.browser.browser_house import Visit

pytestmark = pytest.mark.browser

MANY = 1000
HOSTILE = "<img src=x onerror=document.title='caught'>"
NOTES = {"description": HOSTILE, "activation text": "ink drawing", "preferred weight": 0.7, "negative text": "colour",
         "foreign": [1]}  # fmt: skip
UP = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    loras, embeddings = made / "models" / "Lora", made / "embeddings"
    for folder in (loras / "style", loras / "many", embeddings, made / "models" / "Stable-diffusion"):
        folder.mkdir(parents=True)
    told = {"ss_output_name": "Inked", "note": HOSTILE, "ss_tag_frequency": json.dumps({"a": {"night sky": 3}})}
    save_file({UP: np.zeros((1, 1), np.float32)}, loras / "style" / "ink.safetensors", told)
    (loras / "style" / "ink.json").write_text(json.dumps(NOTES))
    Image.new("RGB", (20, 30), (200, 40, 40)).save(loras / "style" / "ink.preview.png")
    plain = save({UP: np.zeros((1, 1), np.float32)})
    for number in range(MANY):
        (loras / "many" / f"n{number}.safetensors").write_bytes(plain)
    save_file({"emb_params": np.zeros((2, 768), np.float32)}, embeddings / "easy.safetensors")
    make_toy_checkpoint(made / "models" / "Stable-diffusion" / "zebra.safetensors", seed=1)
    return made


def open_page(visit: Visit, page: str) -> None:
    visit.page.click(f"#txt2img_{page}-button")
    visit.page.wait_for_selector(f"#txt2img_{page}_cards .card")


def open_ink(visit: Visit) -> Any:
    """Find the LoRA with notes among all the others."""
    open_page(visit, "lora")
    visit.page.fill("#txt2img_lora_extra_search", "ink")
    found = visit.page.locator("#txt2img_lora_cards .card")
    found.nth(1).wait_for(state="detached")
    return found


def prompts(visit: Visit) -> tuple[str, str]:
    fields = ("#txt2img_prompt textarea", "#txt2img_neg_prompt textarea")
    return visit.page.input_value(fields[0]), visit.page.input_value(fields[1])


OPTIONS = {"separator": " ", "multiplier": 1, "aliases": True}
INK = {"name": "ink", "alias": "Inked", "weight": 0.7, "activation": "ink drawing", "negative": "colour"}
NETWORKS = [
    ("lora", INK, "a cat", "", OPTIONS, "a cat <lora:Inked:0.7> ink drawing", "(colour:1)"),
    ("lora", INK, "a cat <lora:Inked:0.7> ink drawing", "(colour:1)", OPTIONS, "a cat", ""),
    ("lora", INK, "a <lora:ink:0.3:0.5>, ink drawing, b", "x (colour:1)", OPTIONS, "a, b", "x"),
    ("lora", INK, "<lyco:ink> b <lora:Inked:1>", "", OPTIONS, "b", ""),
    ("lora", INK, "", "", {**OPTIONS, "aliases": False}, "<lora:ink:0.7> ink drawing", "(colour:1)"),
    (
        "lora",
        {"name": "a.b(c)"},
        "<lora:axb(c):1>",
        "",
        {**OPTIONS, "separator": ", "},
        "<lora:axb(c):1>, <lora:a.b(c):1>",
        "",
    ),
    ("lora", {"name": "x", "spelled": "s/x"}, "", "", {**OPTIONS, "multiplier": 0.8}, "<lora:s/x:0.8>", ""),
    ("hypernet", {"name": "h"}, "a <lora:h:1>", "", OPTIONS, "a <lora:h:1> <hypernet:h:1>", ""),
]
WORDS = [
    ("easy", "", "easy"), ("easy", "bad", "bad easy"), ("easy", "bad easy", "bad"), ("easy", "easy bad", "bad"),
    ("easy", "uneasy easy-2", "uneasy easy-2 easy"), ("easy", "a (easy:1.2) b", "a b"), ("a.b", "axb", "axb a.b"),
]  # fmt: skip


def test_every_way_of_putting_a_card_into_a_prompt(visit: Visit):
    made = visit.page.evaluate(
        """async (cases) => {
            const { toggleNetwork } = await import('./internal/ui/assets/cards_prompt.js');
            return cases.map(([kind, card, prompt, negative, options]) => toggleNetwork(kind, card, { prompt, negative }, options));
        }""",
        [list(case[:5]) for case in NETWORKS],
    )
    assert [(one["prompt"], one["negative"]) for one in made] == [case[5:] for case in NETWORKS]
    pieces = visit.page.evaluate(
        """async ([card, options]) => {
            const { togglePieces } = await import('./internal/ui/assets/cards_prompt.js');
            const once = togglePieces(card, { prompt: 'a', negative: 'b' }, options);
            return [once, togglePieces(card, once, options)];
        }""",
        [{"insert": "<spice:x:1> (hot)", "against": "(bland:1.2)"}, OPTIONS],
    )
    assert pieces == [
        {"prompt": "a <spice:x:1> (hot)", "negative": "b (bland:1.2)", "added": True},
        {"prompt": "a", "negative": "b", "added": False},
    ]
    words = visit.page.evaluate(
        """async ([cases, options]) => {
            const { toggleWord } = await import('./internal/ui/assets/cards_prompt.js');
            return cases.map(([name, text]) => toggleWord(name, text, options).text);
        }""",
        [[list(case[:2]) for case in WORDS], OPTIONS],
    )
    assert words == [case[2] for case in WORDS]


def test_a_click_puts_a_network_in_and_another_takes_it_out(visit: Visit):
    visit.prompt("a cat")
    ink = open_ink(visit)
    ink.locator(".card-use").click()
    assert prompts(visit) == ("a cat <lora:Inked:0.7> ink drawing", "(colour:1)")
    ink.locator(".card-use").click()
    assert prompts(visit) == ("a cat", "")


def test_an_embedding_goes_where_the_cursor_was(visit: Visit):
    open_page(visit, "textual_inversion")
    use = visit.page.locator("#txt2img_textual_inversion_cards .card-use")
    visit.page.focus("#txt2img_neg_prompt textarea")
    use.click()
    assert prompts(visit) == ("", "easy")
    visit.page.focus("#txt2img_prompt textarea")
    use.click()
    assert prompts(visit) == ("easy", "easy")


def test_a_thousand_cards_are_a_few_elements(visit: Visit):
    open_page(visit, "lora")
    assert visit.page.inner_text("#txt2img_lora_cards_html [role=status]") == str(MANY + 1)
    assert visit.page.evaluate("document.querySelectorAll('*').length") <= 2000
    scroll = "document.querySelector('#txt2img_lora_cards').parentElement.scrollTo(0, 1e7)"
    visit.page.evaluate(scroll)
    visit.page.wait_for_selector(f'#txt2img_lora_cards [data-name="n{MANY - 1}"]')
    assert visit.page.locator("#txt2img_lora_cards .card").count() < 60
    visit.page.select_option("#txt2img_lora_extra_sort", "name")
    visit.page.click("#txt2img_lora_extra_sort_dir")
    visit.page.evaluate("document.querySelector('#txt2img_lora_cards').parentElement.scrollTo(0, 0)")
    visit.page.wait_for_selector(f'#txt2img_lora_cards [data-name="n{MANY - 1}"]')
    visit.page.click('#txt2img_lora_dirs [data-folder="style"]')
    visit.page.wait_for_selector('#txt2img_lora_cards [data-name="ink"]')
    assert visit.page.locator("#txt2img_lora_cards .card").count() == 1


def test_metadata_and_notes_are_text(visit: Visit, data: Path):
    ink = open_ink(visit)
    assert HOSTILE in ink.inner_text()
    ink.hover()
    ink.locator(".metadata-button").click()
    visit.page.wait_for_function("document.querySelector('.cards-dialog pre')?.textContent.includes('night sky')")
    assert HOSTILE in visit.page.inner_text(".cards-dialog pre")
    visit.page.click(".cards-close")
    ink.hover()
    ink.locator(".edit-button").click()
    field = visit.page.locator(".cards-dialog [data-note=description]")
    assert field.input_value() == HOSTILE
    visit.page.locator(".cards-word", has_text="night sky").click()
    field.fill("plain words")
    visit.page.click(".cards-save")
    visit.page.wait_for_selector(".cards-dialog", state="detached")
    visit.page.wait_for_function(
        "document.querySelector('#txt2img_lora_cards .card').innerText.includes('plain words')"
    )
    stored = json.loads((data / "models" / "Lora" / "style" / "ink.json").read_text())
    assert stored == {**NOTES, "description": "plain words", "activation text": "ink drawing, night sky"}
    assert visit.page.title() != "caught"
    (data / "models" / "Lora" / "style" / "ink.json").write_text(json.dumps(NOTES))
    visit.page.click("#txt2img_lora_extra_refresh")
    visit.page.wait_for_function("document.querySelector('#txt2img_lora_cards .card').innerText.includes('onerror')")


def test_the_picture_in_the_gallery_becomes_the_preview(visit: Visit, data: Path):
    visit.number("steps", 2)
    visit.prompt("a preview")
    visit.page.click("#txt2img_generate")
    visit.wait_until_done()
    visit.page.wait_for_selector("#txt2img_gallery .thumbnail-item img")
    ink = open_ink(visit)
    before = ink.locator("img").get_attribute("src")
    ink.hover()
    ink.locator(".edit-button").click()
    visit.page.click(".cards-replace")
    visit.page.wait_for_function(
        "/ink.preview.png/.test(document.querySelector('.cards-dialog [role=status]').textContent)"
    )
    visit.page.click(".cards-close")
    visit.page.wait_for_function(
        "(before) => document.querySelector('#txt2img_lora_cards img')?.getAttribute('src') !== before", arg=before
    )
    with Image.open(data / "models" / "Lora" / "style" / "ink.preview.png") as made:
        assert made.info["parameters"].startswith("a preview")


def test_a_checkpoint_is_chosen_by_its_card(visit: Visit):
    open_page(visit, "checkpoints")
    visit.page.click('#txt2img_checkpoints_cards [data-name="zebra"] .card-use')
    visit.page.wait_for_selector('#txt2img_checkpoints_cards [data-name="zebra"][data-chosen]')
    visit.page.wait_for_function(
        "document.querySelector('#setting_sd_model_checkpoint input').value.startsWith('zebra')"
    )
    visit.page.click('#txt2img_checkpoints_cards [data-name="toy"] .card-use')
    visit.page.wait_for_selector('#txt2img_checkpoints_cards [data-name="toy"][data-chosen]')


def test_cards_fit_a_narrow_screen(visit: Visit):
    visit.page.set_viewport_size({"width": 400, "height": 800})
    visit.page.wait_for_timeout(300)
    visit.page.locator("#txt2img_extra_tabs .overflow-menu > button").first.click()
    visit.page.locator("#txt2img_extra_tabs .overflow-dropdown button", has_text="Lora").click()
    visit.page.wait_for_selector("#txt2img_lora_cards .card")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 400


def test_what_is_sent_to_a_tab_shows_what_makes_pictures(visit: Visit):
    open_page(visit, "lora")
    visit.page.locator("#txt2img_steps").wait_for(state="hidden")
    visit.page.evaluate("window.webui.sent('txt2img')")
    visit.page.locator("#txt2img_steps").wait_for()
