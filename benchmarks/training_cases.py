"""One training run of `training.py`, in a process of its own: prints its times and its peak memory as JSON.

The times of steps come from torch's own hook after every optimizer step, the same for every case. Between that and the
next forward pass lies, in this project's training, the wait for a checkpoint.
"""

import enum
import json
import resource
import runpy
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image, ImageOps
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]


def lesiongen(job: dict[str, Any], notes: dict[str, float]) -> None:
    """Trains with this project; notes what the steps take after the first ones, and the wait for a checkpoint."""
    from lesiongen.diffusion import FinetuneConfig, finetune

    method, every = job.get("method", "lora"), job.get("every", job["steps"])
    adapter = {"rank": job["rank"]} if method == "lora" else {}
    config = FinetuneConfig().changed(
        base=job["model"], method=method, **adapter, max_train_steps=job["steps"], batch_size=job["batch"],
        gradient_accumulation_steps=1, image_size=job["size"], learning_rate=1e-4,
        mixed_precision=job["precision"], gradient_checkpointing=False, held_out_images=0,
        ema=method == "full", checkpoint_every=every,
    )  # fmt: skip
    register_module_forward_pre_hook(_note_going_on)
    finetune(config, job["dataset"], f"{job['output']}/model", checkpoints=job.get("checkpoints"))
    began, ended = STAMPS[job["warm"] - 1], _now()
    notes["whole"], notes["whole_processor"] = ended[0] - began[0], ended[1] - began[1]
    between = [after - stamp[0] for after, stamp in zip(GOING_ON, STAMPS, strict=False)]
    if every < job["steps"]:
        notes["waiting"] = max(0.0, between[every - 1] - float(np.median(between)))


def encoding(job: dict[str, Any], notes: dict[str, float]) -> None:
    """Encodes the images and captions as a training of this project does before its first step."""
    from lesiongen.diffusion.latents.cache_place import CachePlace
    from lesiongen.diffusion.latents.encoding_job import EncodingJob, device_here, encoded

    started, folder = time.perf_counter(), Path(job["output"]) / "latents"
    encoding_job = EncodingJob(
        dataset=job["dataset"], base=job["model"], prediction_type=None, image_size=job["size"], flip=True,
        rotations=False, held_out=(), folder=str(folder), shared=None,
    )  # fmt: skip
    encoded(encoding_job, Path(job["model"]), CachePlace(folder), device_here())
    notes["encoding"] = time.perf_counter() - started


def peer(job: dict[str, Any], notes: dict[str, float]) -> None:
    """Runs diffusers' example script as it is, with a stand-in for the few transforms of torchvision that it calls."""
    import datasets  # noqa: F401  what looks for torchvision does so before the stand-in is there
    import diffusers  # noqa: F401
    import peft  # noqa: F401
    from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401

    package = types.ModuleType("torchvision")
    package.transforms = _transforms()  # type: ignore[attr-defined]
    sys.modules["torchvision"] = package
    mixed = {"fp32": "no"}.get(job["precision"], job["precision"])
    sys.argv = [
        job["peer"], "--pretrained_model_name_or_path", job["model"], "--train_data_dir", job["folder"],
        "--cache_dir", f"{job['output']}/datasets", "--resolution", str(job["size"]), "--center_crop", "--random_flip",
        "--train_batch_size", str(job["batch"]), "--max_train_steps", str(job["steps"]), "--rank", str(job["rank"]),
        "--learning_rate", "1e-4", "--mixed_precision", mixed, "--seed", "0", "--output_dir", f"{job['output']}/peer",
    ]  # fmt: skip
    runpy.run_path(job["peer"], run_name="__main__")


def plain(job: dict[str, Any], notes: dict[str, float]) -> None:
    """The loop of the example script, written plainly: VAE and text encoder work at every step."""
    from diffusers import StableDiffusionPipeline

    parts: Any = StableDiffusionPipeline.from_pretrained(job["model"], safety_checker=None)
    device, half = _device(), _dtype(job)
    for part in (parts.unet, parts.vae, parts.text_encoder):
        part.requires_grad_(False).to(device, dtype=half)
    unet = _with_adapter(parts.unet, job)
    optimizer = torch.optim.AdamW([weight for weight in unet.parameters() if weight.requires_grad], lr=1e-4)
    rows = [json.loads(line) for line in Path(job["folder"], "metadata.jsonl").read_text().splitlines()]
    random = np.random.default_rng(0)
    for _ in range(job["steps"]):
        chosen = [rows[row] for row in random.integers(len(rows), size=job["batch"])]
        pixels = torch.stack([_pixels(Path(job["folder"], row["file_name"]), random) for row in chosen])
        ids = parts.tokenizer([row["text"] for row in chosen], padding="max_length", return_tensors="pt").input_ids
        latents = parts.vae.encode(pixels.to(device, half)).latent_dist.sample() * parts.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        times = torch.randint(0, 1000, (len(chosen),), device=device)
        told = parts.text_encoder(ids.to(device))[0]
        with torch.autocast(device.type, dtype=half, enabled=half != torch.float32):
            predicted = unet(parts.scheduler.add_noise(latents, noise, times), times, told, return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(predicted.float(), noise.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight for weight in unet.parameters() if weight.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()


def floor(job: dict[str, Any], notes: dict[str, float]) -> None:
    """The denoiser's forward and backward alone, on one batch that never changes, in the faster memory layout."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel.from_pretrained(job["model"], subfolder="unet")
    half, device = _dtype(job), _device()
    unet = _with_adapter(unet.requires_grad_(False).to(device, dtype=half), job).to(memory_format=torch.channels_last)
    latents = torch.randn(job["batch"], 4, job["size"] // 8, job["size"] // 8, device=device, dtype=half)
    latents = latents.contiguous(memory_format=torch.channels_last)
    told = torch.randn(job["batch"], 77, unet.config.cross_attention_dim, device=device, dtype=half)
    times = torch.arange(job["batch"], device=device) * 200
    for _ in range(job["steps"]):
        with torch.autocast(device.type, dtype=half, enabled=half != torch.float32):
            predicted = unet(latents, times, told, return_dict=False)[0]
        predicted.float().square().mean().backward()
        for weight in unet.parameters():
            weight.grad = None
        STAMPS.append(_now())


CASES = {"lesiongen": lesiongen, "encoding": encoding, "peer": peer, "plain": plain, "floor": floor}
STAMPS: list[tuple[float, float]] = []
"""Wall clock and processor time after each optimizer step."""
GOING_ON: list[float] = []
"""Wall clock at the first forward pass after each optimizer step."""


def _now() -> tuple[float, float]:
    """Wall clock, and the processor time of all threads, which other programs on the machine change little."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.time(), time.process_time()


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(job: dict[str, Any]) -> torch.dtype:
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[job["precision"]]


def _with_adapter(unet: Any, job: dict[str, Any]) -> Any:
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    unet.add_adapter(LoraConfig(r=job["rank"], lora_alpha=job["rank"], init_lora_weights="gaussian",
                                target_modules=TARGETS))  # fmt: skip
    cast_training_params(unet, dtype=torch.float32)
    return unet.train()


def _pixels(path: Path, random: np.random.Generator) -> torch.Tensor:
    image = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
    image = image[:, ::-1] if random.random() < 0.5 else image
    return torch.from_numpy(image.copy()).permute(2, 0, 1) / 127.5 - 1


def _note_going_on(*_: object) -> None:
    """Notes when the first forward pass begins after each optimizer step."""
    if len(GOING_ON) < len(STAMPS):
        GOING_ON.append(time.time())


def _transforms() -> types.ModuleType:
    """What the script calls of ``torchvision.transforms``; the images have the right size already."""

    class InterpolationMode(enum.Enum):
        """The one way of resizing that the script names."""

        LANCZOS = Image.Resampling.LANCZOS

    def compose(steps: list[Any]) -> Any:
        """Returns the steps as one."""

        def apply(image: Any) -> Any:
            """Takes an image through all steps."""
            for step in steps:
                image = step(image)
            return image

        return apply

    module: Any = types.ModuleType("torchvision.transforms")
    module.InterpolationMode, module.Compose, module.Lambda = InterpolationMode, compose, lambda function: function
    module.Resize = lambda size, interpolation: lambda image: image.resize((size, size), interpolation.value)
    module.CenterCrop = module.RandomCrop = lambda size: lambda image: ImageOps.fit(image, (size, size))
    module.RandomHorizontalFlip = lambda: lambda image: ImageOps.mirror(image) if torch.rand(1) < 0.5 else image
    module.ToTensor = lambda: lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous() / 255
    module.Normalize = lambda mean, deviation: lambda pixels: (pixels - mean[0]) / deviation[0]
    return module


def _steps(warm: int) -> dict[str, float]:
    """Returns what a step takes, what came before the first one, and the peak of memory in MiB."""
    differences = np.diff(np.array(STAMPS), axis=0)[warm - 1 :]
    on_gpu = torch.cuda.is_available()
    return {
        "step": float(np.median(differences[:, 0])),
        "processor": float(np.median(differences[:, 1])),
        "start": STAMPS[0][0] - psutil.Process().create_time(),
        "peak": torch.cuda.max_memory_allocated() / 2**20 if on_gpu
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }  # fmt: skip


def main() -> None:
    """Runs the case that the command line names with the job in its second argument."""
    case, job = sys.argv[1], json.loads(sys.argv[2])
    register_optimizer_step_post_hook(lambda *_: STAMPS.append(_now()))
    notes: dict[str, float] = {}
    CASES[case](job, notes)
    if STAMPS:
        notes |= _steps(job["warm"])
    Path(job["output"], "result.json").write_text(json.dumps(notes), encoding="utf-8")


if __name__ == "__main__":
    main()
