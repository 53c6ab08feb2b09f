"""Puts its own in the place of everything around sampling."""

import gradio as gr
import torch

from modules import processing, rng, scripts, sd_samplers, sd_samplers_common, shared
from modules.sd_samplers_kdiffusion import CFGDenoiser

SEEN, UNDO = [], []


class HalfNoise:
    """Noise at half its strength; everything else is that of the batch."""

    def __init__(self, rng):
        self.rng = rng

    def next(self):
        return self.rng.next() * 0.5


class OnlyNegative(CFGDenoiser):
    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        SEEN.append((len(conds_list), cond_scale, self.step))
        return x_out[-uncond.shape[0] :]


def by_hand(p):
    def sample(conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        p.sampler = sd_samplers.create_sampler(p.sampler_name, p.sd_model)
        x = p.rng.next()
        image = p.txt2img_image_conditioning(x)
        return p.sampler.sample(p, x, conditioning, unconditional_conditioning, image_conditioning=image)

    return sample


def larger(p):
    first = by_hand(p)

    def sample(conditioning, unconditional_conditioning, **more):
        latents = first(conditioning, unconditional_conditioning, **more)
        latents = torch.nn.functional.interpolate(latents, scale_factor=2, mode="nearest")
        p.rng = rng.ImageRNG(latents.shape[1:], p.seeds, subseeds=p.subseeds, subseed_strength=p.subseed_strength)
        p.denoising_strength = 0.5
        noise = p.rng.next()
        image = p.txt2img_image_conditioning(noise)
        return p.sampler.sample_img2img(
            p, latents, noise, conditioning, unconditional_conditioning, image_conditioning=image
        )

    return sample


def wrapped(p):
    original = p.sample

    def sample(*args, **kwargs):
        SEEN.append(len(kwargs["seeds"]))
        return original(*args, **kwargs)

    return sample


class OwnSampling(scripts.Script):
    def title(self):
        return "Own sampling"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Textbox("", label="Mode")]

    def replace(self, thing, name, value):
        UNDO.append((thing, name, getattr(thing, name)))
        setattr(thing, name, value)

    def process(self, p, mode):
        SEEN.clear()
        if mode == "wrap":
            p.sample = wrapped(p)
        if mode == "hand":
            p.sample = by_hand(p)
        if mode == "larger":
            p.sample = larger(p)
        if mode == "fails":
            p.sample = lambda **more: 1 / 0
        if mode == "init":
            original = p.init

            def init(*args, **kwargs):
                original(*args, **kwargs)
                SEEN.append(tuple(p.init_latent.shape))
                p.init_latent = torch.zeros_like(p.init_latent)

            p.init = init
        if mode == "conds":
            original_conds = p.setup_conds

            def conds():
                original_conds()
                positive, negative = p.c.batch[0][0].schedules, p.uc[0]
                p.c.batch[0][0].schedules, p.uc[0] = negative, positive

            p.setup_conds = conds
        if mode == "hires":
            original_hires = p.sample_hr_pass

            def sample_hr_pass(samples, decoded_samples, seeds, subseeds, subseed_strength, prompts):
                SEEN.append(tuple(samples.shape))
                made = original_hires(samples, decoded_samples, seeds, subseeds, subseed_strength, prompts)
                SEEN.append(tuple(made.shape))
                return made

            p.sample_hr_pass = sample_hr_pass
        if mode == "gather":
            inner = p.sample_hr_pass

            def gathered(*args):
                samples = processing.DecodedSamples()
                samples.extend(inner(*args))
                return samples

            p.sample_hr_pass = gathered
        if mode == "tensors":
            self.replace(
                processing, "create_random_tensors", lambda shape, seeds, **more: torch.ones(len(seeds), *shape)
            )
        if mode == "image rng":
            self.replace(
                rng, "ImageRNG", type("Ones", (rng.ImageRNG,), {"first": lambda one: torch.ones(1, *one.shape)})
            )
        if mode == "create":
            make = sd_samplers.create_sampler

            def create(name, model):
                made = make(name, model)
                made.model_wrap_cfg = OnlyNegative(made)
                return made

            self.replace(sd_samplers, "create_sampler", create)
        if mode == "scale":
            forward = CFGDenoiser.forward

            def scaled(denoiser, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
                SEEN.append(cond_scale)
                return forward(denoiser, x, sigma, uncond, cond, 3.0, s_min_uncond, image_cond)

            self.replace(CFGDenoiser, "forward", scaled)
        if mode in ("rows", "grey"):
            make_plain = sd_samplers.create_sampler

            def create_rows(name, model):
                made = make_plain(name, model)
                inner = made.model_wrap_cfg.inner_model
                plain = inner.forward

                def rows(x, sigma, cond):
                    SEEN.append(len(x))
                    if mode == "grey":
                        return torch.zeros_like(x)
                    texts = cond["c_crossattn"][0]
                    return torch.cat(
                        [
                            plain(x[i : i + 1], sigma[i : i + 1], cond={**cond, "c_crossattn": [texts[i : i + 1]]})
                            for i in range(len(x))
                        ]
                    )

                inner.forward = rows
                return made

            self.replace(sd_samplers, "create_sampler", create_rows)
        if mode in ("steps", "enough"):

            def callback_state(sampler, d):
                SEEN.append((d["i"], tuple(d["denoised"].shape), sampler is p.sampler))
                if mode == "enough" and d["i"] == 0:
                    raise sd_samplers_common.InterruptedException

            self.replace(sd_samplers_common.Sampler, "callback_state", callback_state)
        if mode in ("layer", "every layer"):
            plain_norm = torch.nn.GroupNorm.forward

            def norm(layer, x):
                SEEN.append(type(layer).__name__)
                return plain_norm(layer, x) * 0.5

            if mode == "every layer":
                self.replace(torch.nn.GroupNorm, "forward", norm)
            for layer in shared.sd_model.model.diffusion_model.modules() if mode == "layer" else ():
                if isinstance(layer, torch.nn.GroupNorm):
                    layer.forward = norm.__get__(layer)
                    UNDO.append((layer, "forward", None))
        if mode == "apply":
            model = shared.sd_model
            apply = model.apply_model

            def quiet(x, t, cond):
                SEEN.append(len(x))
                return apply(x, t, cond)

            model.apply_model = quiet
            UNDO.append((model, "apply_model", None))

    def process_batch(self, p, mode, **kwargs):
        if mode == "early conds":
            p.setup_conds()
            SEEN.append((len(p.c.batch), tuple(p.uc[0][0].cond.shape)))
            made = p.img2img_image_conditioning(torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 8, 8))
            SEEN.append(tuple(made.shape))

    def before_process_batch(self, p, mode, **kwargs):
        if mode == "half":
            p.rng = HalfNoise(p.rng)

    def process_before_every_sampling(self, p, mode, **kwargs):
        if mode == "watch":
            shapes = {name: tuple(kwargs[name].shape) for name in ("x", "noise")}
            SEEN.append((p.is_hr_pass, shapes, len(kwargs["c"].batch), len(kwargs["uc"]), p.sampler is not None))

    def before_hr(self, p, mode):
        if mode == "watch":
            SEEN.append("before hr")
        if mode == "stronger":
            p.denoising_strength = 0.9

    def post_sample(self, p, ps, mode):
        if mode == "watch":
            SEEN.append(("samples", tuple(ps.samples.shape)))
        if mode == "flat":
            ps.samples = torch.zeros_like(ps.samples)

    def postprocess(self, p, processed, mode):
        for thing, name, value in reversed(UNDO):
            setattr(thing, name, value) if value is not None else delattr(thing, name)
        UNDO.clear()
