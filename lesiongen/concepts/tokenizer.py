"""The tokenizer of the tiny base model: CLIP's kind, with a vocabulary built from the composer's words alone."""

from typing import Any

from lesiongen.concepts.text import composer_vocabulary

__all__ = ["MAX_TOKENS", "build_tokenizer"]

MAX_TOKENS = 48
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer() -> Any:
    """Builds the tokenizer, the same one every time, without a network.

    It is a ``transformers.CLIPTokenizer``: lower case, byte-level BPE, so that any text encodes and nothing is
    unknown. Every word that the composer writes is one token; a number is one token per digit, as in CLIP.
    ``model_max_length`` is `MAX_TOKENS`, the start and end tokens included.
    """
    from transformers import CLIPTokenizer

    vocabulary, merges = _learned()
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def _learned() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Learns merges until every word of the composer is whole; returns the vocabulary and the merges in order."""
    words = sorted(_byte_level(word) for word in composer_vocabulary() if not word.isdigit())
    spelled = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while pair := _most_frequent_pair(spelled.values()):
        merges.append(pair)
        spelled = {word: _merged(pieces, pair) for word, pieces in spelled.items()}
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    joined = ["".join(pair) for pair in merges]
    tokens = [START, END, *alphabet, *(letter + "</w>" for letter in alphabet), *joined]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}, merges


def _byte_level(word: str) -> str:
    """Spells a word in the letters by which byte-level BPE writes bytes."""
    from tokenizers.pre_tokenizers import ByteLevel

    return "".join(piece for piece, _ in ByteLevel(add_prefix_space=False).pre_tokenize_str(word))


def _most_frequent_pair(words: Any) -> tuple[str, str] | None:
    counts: dict[tuple[str, str], int] = {}
    for pieces in words:
        for pair in zip(pieces, pieces[1:], strict=False):
            counts[pair] = counts.get(pair, 0) + 1
    return min(counts, key=lambda pair: (-counts[pair], pair)) if counts else None


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] = "".join(pair)
        else:
            merged.append(piece)
    return merged
