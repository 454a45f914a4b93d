"""A small AutoencoderKL that, before any training, already draws a blurred copy of what it is shown.

From random weights a VAE spends most of a CPU's minutes on learning what colour skin has: its last normalisation
takes brightness and contrast out of every image. Here all residual branches start at zero, the convolutions
between them start as averages (down) and interpolation (up), and the last normalisation of encoder and decoder
starts out nearly linear. Training then only has to add what a blur loses.
"""

from typing import Any

import torch
from torch import nn

from lesiongen.diffusion.tiny.config import TinyBaseConfig

__all__ = ["tiny_vae"]

COLOURS = 3
# Channels of a group carry +-OFFSET, large beside the signal: then the group's mean and deviation are constants,
# and the signal passes the normalisation unharmed.
OFFSET = 6.0
# Where the normalised signal meets SiLU: far enough to the right that SiLU is a straight line, of slope SLOPE.
CENTRE = 3.0
SLOPE = 1.09
LOG_VARIANCE = -6.0

POINT = ((1.0,),)
CENTRE_POINT = ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))
BOX = ((1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 0.0))
TENT = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))


def tiny_vae(config: TinyBaseConfig) -> Any:
    """Returns a ``diffusers.AutoencoderKL`` whose first three latents are the local mean colour."""
    from diffusers import AutoencoderKL

    blocks = len(config.vae_channels)
    vae = AutoencoderKL(
        block_out_channels=config.vae_channels,
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        layers_per_block=1,
        latent_channels=config.latent_channels,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=config.image_size,
        scaling_factor=1.0,
    )
    with torch.no_grad():
        _silence_branches(vae)
        _start_encoder(vae.encoder, config.latent_channels)
        _start_decoder(vae.decoder)
        for convolution in (vae.quant_conv, vae.post_quant_conv):
            nn.init.dirac_(convolution.weight)
            nn.init.zeros_(convolution.bias)
    return vae


def _silence_branches(vae: Any) -> None:
    from diffusers.models.resnet import ResnetBlock2D

    for block in vae.modules():
        if isinstance(block, ResnetBlock2D):
            nn.init.zeros_(block.conv2.weight)
            nn.init.zeros_(block.conv2.bias)
            if block.conv_shortcut is not None:
                _carry_colours(block.conv_shortcut, POINT)


def _start_encoder(encoder: Any, latents: int) -> None:
    _carry_colours(encoder.conv_in, CENTRE_POINT)
    for block in encoder.down_blocks:
        for sampler in block.downsamplers or ():
            _carry_colours(sampler.conv, BOX)
    _mirror(encoder.down_blocks[-1].resnets[0].conv_shortcut)
    _pass_normalisation(encoder.conv_norm_out, encoder.mid_block.resnets[-1], encoder.conv_out)
    encoder.conv_out.weight[COLOURS:latents] *= OFFSET / CENTRE
    nn.init.zeros_(encoder.conv_out.weight[latents:])
    nn.init.constant_(encoder.conv_out.bias[latents:], LOG_VARIANCE)


def _start_decoder(decoder: Any) -> None:
    _carry_colours(decoder.conv_in, CENTRE_POINT)
    for block in decoder.up_blocks:
        for sampler in block.upsamplers or ():
            _carry_colours(sampler.conv, TENT)
    last = decoder.up_blocks[-1].resnets
    _mirror(last[0].conv_shortcut)
    _pass_normalisation(decoder.conv_norm_out, last[-1], decoder.conv_out)


def _carry_colours(convolution: nn.Conv2d, kernel: tuple[tuple[float, ...], ...]) -> None:
    """Makes the first three channels pass on, filtered by a kernel that sums to one; the others stay random."""
    taps = torch.tensor(kernel)
    for channel in range(COLOURS):
        convolution.weight[channel] = 0.0
        convolution.weight[channel, channel] = taps / taps.sum()
        _bias(convolution)[channel] = 0.0


def _mirror(convolution: nn.Conv2d) -> None:
    """Gives every signal two channels of opposite sign, the next but one apart: (a, b, -a, -b, c, d, -c, -d, ...).

    In a group whose offsets alternate (+, -, +, -), such signals change neither its mean nor its correlation with
    the offsets, so the normalisation does not take them out.
    """
    for values in (convolution.weight, _bias(convolution)):
        signals = values[: len(values) // 2].clone().reshape(-1, 2, *values.shape[1:])
        values.copy_(torch.stack([signals, -signals], dim=1).reshape(values.shape))


def _pass_normalisation(norm: nn.GroupNorm, before: Any, after: nn.Conv2d) -> None:
    """Makes normalisation and SiLU a straight line for mirrored signals, and reads the colours off behind it."""
    signs = torch.ones(norm.num_channels)
    signs[1::2] = -1.0
    before.conv2.bias.copy_(OFFSET * signs)
    norm.weight.fill_(CENTRE)
    norm.bias.copy_(CENTRE - CENTRE * signs)
    gain = OFFSET / (CENTRE * SLOPE)
    for channel in range(COLOURS):
        place = 4 * (channel // 2) + channel % 2
        after.weight[channel] = 0.0
        after.weight[channel, place, 1, 1] = gain / 2
        after.weight[channel, place + 2, 1, 1] = -gain / 2
        _bias(after)[channel] = 0.0


def _bias(convolution: nn.Conv2d) -> torch.Tensor:
    if convolution.bias is None:
        raise ValueError("the VAE's convolutions have biases")
    return convolution.bias
