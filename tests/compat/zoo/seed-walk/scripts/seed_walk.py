"""A script of the drop-down: several runs, a grid, an interruption that is heard."""

import gradio as gr

import modules.scripts as scripts
from modules import images
from modules.processing import Processed, fix_seed, process_images
from modules.shared import opts, state


class SeedWalk(scripts.Script):
    def title(self):
        return "Seed walk"

    def show(self, is_img2img):
        return not is_img2img

    def ui(self, is_img2img):
        count = gr.Slider(minimum=1, maximum=8, step=1, value=2, label="Runs", elem_id=self.elem_id("count"))
        words = gr.Textbox(label="Words", value="")
        return [count, words]

    def run(self, p, count, words):
        fix_seed(p)
        state.job_count = int(count)
        made, infotexts, seeds = [], [], []
        p.do_not_save_grid = True
        first_seed, prompt = p.seed, p.prompt
        for number in range(int(count)):
            if state.interrupted:
                break
            state.job = f"{number + 1} of {count}"
            p.seed = first_seed + 10 * number
            p.prompt = f"{prompt} {words}".strip()
            if number == 1:
                p.cfg_scale = 3.5
                opts.CLIP_stop_at_last_layers = 2
            found = process_images(p)
            made.append(found.images[0])
            infotexts.append(found.infotexts[0])
            seeds.append(found.seed)
        grid = images.image_grid(made, rows=1)
        return Processed(
            p,
            [grid, *made],
            seeds[0],
            infotexts[0],
            all_seeds=seeds,
            infotexts=[infotexts[0], *infotexts],
            index_of_first_image=1,
            all_prompts=[p.prompt] * len(made),
        )
