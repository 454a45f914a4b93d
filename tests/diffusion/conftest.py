"""A tiny, randomly initialised Stable Diffusion pipeline folder and a tiny captioned dataset."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lesiongen.dataset import DatasetWriter, Sample

SIZE = 16


def _tokenizer():
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz,"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=24)


def _text_config(tokenizer):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=24, projection_dim=16,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def _vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16), latent_channels=4, norm_num_groups=4, layers_per_block=1,
        mid_block_add_attention=False, sample_size=SIZE,
    )  # fmt: skip


def _unet(width: int, **changes: object):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 2, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=width, attention_head_dim=4,
        **changes,
    )  # fmt: skip


def _schedule(prediction: str, zero_snr: bool):
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction,
        clip_sample=False, steps_offset=1, rescale_betas_zero_snr=zero_snr,
    )  # fmt: skip


def build_pipeline(folder: Path, *, prediction: str = "epsilon", zero_snr: bool = False) -> Path:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = _tokenizer()
        pipeline = StableDiffusionPipeline(
            text_encoder=CLIPTextModel(_text_config(tokenizer)), vae=_vae(), unet=_unet(16), tokenizer=tokenizer,
            scheduler=_schedule(prediction, zero_snr), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def build_original_pipeline(seed: int):
    """Returns a pipeline of four levels with two layers each, as the original releases have them."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    widths, tokenizer = (4, 4, 8, 8), _tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths, latent_channels=4, norm_num_groups=4, layers_per_block=2, sample_size=SIZE,
        )  # fmt: skip
        unet = UNet2DConditionModel(
            sample_size=SIZE // 2, block_out_channels=widths, layers_per_block=2, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, cross_attention_dim=16, attention_head_dim=4,
        )  # fmt: skip
        return StableDiffusionPipeline(
            text_encoder=CLIPTextModel(_text_config(tokenizer)), vae=vae, unet=unet, tokenizer=tokenizer,
            scheduler=_schedule("epsilon", False), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip


def build_xl_pipeline(folder: Path) -> Path:
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = _tokenizer()
        told = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
        pipeline = StableDiffusionXLPipeline(
            text_encoder=CLIPTextModel(_text_config(tokenizer)), tokenizer=tokenizer, tokenizer_2=tokenizer,
            text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer)), vae=_vae(),
            unet=_unet(32, projection_class_embeddings_input_dim=16 + 6 * 8, **told),
            scheduler=_schedule("epsilon", False), add_watermarker=False,
        )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _sd3_vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16), latent_channels=16, norm_num_groups=4, layers_per_block=1, sample_size=SIZE,
        mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False,
        scaling_factor=1.5305, shift_factor=0.0609,
    )  # fmt: skip


def _transformer():
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=40, caption_projection_dim=16, pooled_projection_dim=32,
        pos_embed_max_size=8, dual_attention_layers=(0,), qk_norm="rms_norm",
    )  # fmt: skip


def _t5():
    """T5's encoder, wider than both CLIP encoders together, and its tokenizer of single letters."""
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", *"\u2581abcdefghijklmnopqrstuvwxyz,"]
    tokenizer = T5TokenizerFast(vocab=[(piece, 0.0) for piece in pieces], extra_ids=0, model_max_length=512)
    config = T5Config(
        vocab_size=len(pieces), d_model=40, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return T5EncoderModel(config), tokenizer


def build_sd3_pipeline(folder: Path, *, t5: bool = True, shift: float = 3.0) -> Path:
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = _tokenizer()
        clip = [CLIPTextModelWithProjection(_text_config(tokenizer)) for _ in range(2)]
        text_encoder_3, tokenizer_3 = _t5() if t5 else (None, None)
        pipeline = StableDiffusion3Pipeline(
            transformer=_transformer(), vae=_sd3_vae(), scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
            text_encoder=clip[0], tokenizer=tokenizer, text_encoder_2=clip[1], tokenizer_2=tokenizer,
            text_encoder_3=text_encoder_3, tokenizer_3=tokenizer_3,
        )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def build_dataset(
    folder: Path, counts: dict[str, int], *, tones: tuple[str | None, ...] = (None,), **changes: object
) -> str:
    captions = {"mel": "melanoma, dark", "nv": "nevus, light", "df": "dermatofibroma"}
    with DatasetWriter(str(folder), name="tiny") as writer:
        for split, count in counts.items():
            for row in range(count):
                diagnosis = ("nv", "nv", "mel", "nv", "df")[row % 5]
                values = {
                    "image": png(1000 * len(split) + row), "image_id": f"{split}-{row}",
                    "diagnosis": diagnosis, "split": split, "caption": captions[diagnosis],
                    "measured_tone": tones[row % len(tones)], **changes,
                }  # fmt: skip
                writer.add(Sample(**values))
    return str(folder)


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pipeline(tmp_path_factory.mktemp("base") / "pipeline")


@pytest.fixture(scope="session")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_xl_pipeline(tmp_path_factory.mktemp("base") / "xl")


@pytest.fixture(scope="session")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sd3_pipeline(tmp_path_factory.mktemp("base") / "sd3")


@pytest.fixture(scope="session")
def sd3_without_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sd3_pipeline(tmp_path_factory.mktemp("base") / "sd3-without-t5", t5=False)


@pytest.fixture(scope="session")
def dataset_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_dataset(tmp_path_factory.mktemp("data") / "set", {"train": 10, "validation": 4, "test": 3})


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """What is compared bit for bit is made with one thread, in fixtures of a module too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config(pipeline_folder: Path):
    """Six steps of four images, from the tiny pipeline; every random draw is in use."""
    from lesiongen.diffusion import FinetuneConfig

    return FinetuneConfig().changed(
        base=str(pipeline_folder), method="full", max_train_steps=6, batch_size=2, gradient_accumulation_steps=2,
        image_size=SIZE, learning_rate=1e-3, lr_scheduler="cosine", warmup_steps=1, ema=True, snr_gamma=5.0,
        caption_dropout=0.25, class_balance_power=0.5, gradient_checkpointing=False, checkpoint_every=100,
        validation_every=3, log_every=2,
    )  # fmt: skip
