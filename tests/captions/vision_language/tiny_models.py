"""Vision-language models of the real classes, randomly initialised and a few hundred kilobytes small."""

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

from lesiongen.captions.vision_language.question import SYSTEM

TEMPLATE = (
    "{% for message in messages %}{{ '<start>' + message['role'] + ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<end>' }}{% endfor %}{% if add_generation_prompt %}{{ '<start>assistant: ' }}{% endif %}"
)
SPECIAL = ["<pad>", "<start>", "<end>", "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]


def tokenizer():
    model = Tokenizer(BPE())
    model.pre_tokenizer, model.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    alphabet = ByteLevel.alphabet()
    model.train_from_iterator(
        [SYSTEM], BpeTrainer(vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", bos_token="<start>", eos_token="<end>",
        additional_special_tokens=SPECIAL[3:], padding_side="right",
    )  # fmt: skip


def text_config(words):
    return LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=8192, pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip


def llava(folder, says=()):
    """A LLaVA model; with ``says`` it answers with these pieces of text, one token each, whatever it is shown."""
    words = tokenizer()
    words.add_tokens(list(says))
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text_config(words), image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, image_seq_length=4,
    )  # fmt: skip
    size = {"height": 28, "width": 28}
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size)
    processor = LlavaProcessor(
        images, words, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )  # fmt: skip
    return save(LlavaForConditionalGeneration(config), processor, folder, chain(words, says))


def chain(words, says):
    """The tokens of an answer, from the last of the prompt to the end of the turn."""
    if not says:
        return []
    said = [words.convert_tokens_to_ids(piece) for piece in says]
    return [words.encode("assistant: ")[-1], *said, words.eos_token_id]


def idefics3(folder):
    words = tokenizer()
    vision = Idefics3VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    )
    config = Idefics3Config(
        vision_config=vision, text_config=text_config(words), scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"), pad_token_id=words.pad_token_id,
    )  # fmt: skip
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = Idefics3Processor(images, words, image_seq_len=4, chat_template=TEMPLATE)
    return save(Idefics3ForConditionalGeneration(config), processor, folder)


def save(model, processor, folder, chain=()):
    model.eval()
    with torch.no_grad():
        for place, weight in enumerate(model.parameters()):
            if weight.dim() > 1:  # norms stay as they are, else nothing gets through
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(place)) * 0.2)
        if chain:
            speak(model, chain)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def speak(model, chain):
    """Cuts attention and MLP off, so that each token alone decides on the next, and ties the chain's together."""
    for layer in model.model.language_model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    embedded = model.get_input_embeddings().weight
    for token, following in zip(chain, chain[1:], strict=False):
        model.lm_head.weight[following] = 5 * embedded[token] / embedded[token].norm()
