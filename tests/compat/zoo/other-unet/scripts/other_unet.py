"""Offers networks in the place of a checkpoint's own."""

import torch

from modules import script_callbacks, sd_unet

SEEN = []


class Quiet(sd_unet.SdUnetOption):
    """Answers that there is no noise."""

    label = "Quiet"

    def __init__(self, label, model_name=None):
        self.label, self.model_name = label, model_name

    def create_unet(self):
        return QuietUnet(self.label)


class QuietUnet(sd_unet.SdUnet):
    def __init__(self, name):
        self.name = name

    def activate(self):
        SEEN.append(("activate", self.name))

    def deactivate(self):
        SEEN.append(("deactivate", self.name))

    def forward(self, x, timesteps, context, *args, **kwargs):
        assert sd_unet.current_unet is self
        SEEN.append((tuple(x.shape), tuple(timesteps.shape), context.shape[0]))
        return torch.zeros_like(x)


def offer(unets):
    unets.append(Quiet("Quiet"))
    unets.append(Quiet("[TRT] zebra", "zebra"))


script_callbacks.on_list_unets(offer)
