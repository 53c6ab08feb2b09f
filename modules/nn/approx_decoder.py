"""A small network that guesses a picture of twice the latent's size, for previews.

Source: the layout of A1111's file `model.pt`; eight convolutions without padding over a doubled and padded latent.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.ops import PLAIN_OPS, Ops

KERNELS = (7, 5, 3, 3, 3, 3, 3, 3)
WIDTHS = (8, 16, 32, 64, 32, 16, 8, 3)
MARGIN = sum(kernel // 2 for kernel in KERNELS)
"""What the convolutions take from each side."""


class ApproxDecoder(nn.Module):
    """Guess the picture of a latent.

    Args:
        channels: of the latent.
        ops: layer classes.
    """

    def __init__(self, channels: int = 4, ops: Ops = PLAIN_OPS) -> None:
        super().__init__()
        widths = (channels, *WIDTHS)
        for number, kernel in enumerate(KERNELS, start=1):
            self.add_module(f"conv{number}", ops.Conv2d(widths[number - 1], widths[number], kernel))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, h, w] on the sampler's scale -> [B, 3, 2 h, 2 w] in about -1..1."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = F.pad(x, (MARGIN,) * 4)
        for layer in self.children():
            x = F.leaky_relu(layer(x), 0.1)
        return x
