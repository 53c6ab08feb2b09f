"""The loss: how far a network's answer is from what it was trained to answer, all noise levels counting alike.

B batch, C channels, h w latent height and width.

Source: Ho et al. 2020, arXiv:2006.11239, equation 14 and algorithm 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.sampling.prediction import Prediction
from modules.sampling.prediction import Target as Answer
from modules.sampling.types import Conditioning

Network = Callable[[Tensor, Tensor, Conditioning], Tensor]

_ANSWERS = (Answer.EPS, Answer.V, Answer.X0)


def check_trainable(prediction: Prediction) -> None:
    """Refuse networks whose noise levels are no timesteps.

    Raises:
        InvalidRequest: the network is such a one.
    """
    if prediction.target not in _ANSWERS or prediction.log_time or prediction.consistency:
        raise InvalidRequest("only models that predict noise, velocity or the picture at timesteps can be trained on")


def noise_loss(
    network: Network, prediction: Prediction, x0: Tensor, conditioning: Conditioning, chance: torch.Generator
) -> Tensor:
    """Return the mean squared error of the answer to noisy latents, at one random timestep per sample.

    Args:
        network: takes (x [B, C, h, w], t [B], conditioning of B rows).
        prediction: its table, on the device of the latents, and what it answers.
        x0: [B, C, h, w] clean latents.
        conditioning: of B rows.
        chance: what noise and timesteps are drawn from; on the same device.
    """
    batch, device = x0.shape[0], x0.device
    t = torch.randint(len(prediction.table), (batch,), generator=chance, device=device)
    noise = torch.randn(x0.shape, generator=chance, device=device)
    alpha = prediction.table.alphas_cumprod[t].float()[:, None, None, None]
    signal, spread = alpha.sqrt(), (1 - alpha).sqrt()
    answer = network(signal * x0 + spread * noise, t.float(), conditioning).float()
    return (answer - _wanted(prediction.target, x0, noise, signal, spread)).square().mean()


def _wanted(target: Answer, x0: Tensor, noise: Tensor, signal: Tensor, spread: Tensor) -> Tensor:
    match target:
        case Answer.V:
            return signal * noise - spread * x0
        case Answer.X0:
            return x0
        case _:
            return noise
