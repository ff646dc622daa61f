"""Make the expected words and normal forms of documents.txt, and digests of those of all code points.

    pip install tokenizers==0.23.3 tiktoken==0.14.0
    python make.py

documents.txt: documents, a NUL behind each. PATTERN.words: of each a line, the bytes of its words. nfc.txt: their NFC.
points.txt: of each pattern, and of NFC, the digest (points() below) over every code point between others.
cl100k_base's words are tiktoken's, which tells words only by their tokens: its vocabulary is all that could be a word.
Hugging Face's tokenizers make the others; where tiktoken has the pattern, it is asked too.
"""
import random

import tiktoken
from tiktoken_ext import openai_public
from tokenizers import Regex
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

LONGEST = 12  # characters of a word
FNV, PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")


openai_public.load_tiktoken_bpe = lambda *_, **__: {}  # nothing is fetched: only the patterns are wanted
O200K = openai_public.o200k_base()["pat_str"]
CL100K = openai_public.cl100k_base()["pat_str"]
R50K = openai_public.r50k_pat_str


def isolated(pattern):
    return Sequence([Split(Regex(pattern), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


tokenizers = {
    "gpt2": ByteLevel(add_prefix_space=False),
    "starcoder2": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]),
    "llama3": isolated(LLAMA3),
    "qwen2": isolated(QWEN2),
    "o200k": isolated(O200K),
}
tiktokens = {"gpt2": R50K, "cl100k": CL100K, "llama3": LLAMA3, "qwen2": QWEN2, "o200k": O200K}


def words_of_tokenizers(pre_tokenizer, text):
    """Lengths in bytes; the offsets are in characters."""
    return [len(text[a:b].encode()) for _, (a, b) in pre_tokenizer.pre_tokenize_str(text)] if text else []


def words_of_tiktoken(pattern, texts):
    ranks = {bytes([b]): b for b in range(256)}
    for text in texts:
        for i in range(len(text)):
            for j in range(i + 1, min(i + LONGEST, len(text)) + 1):
                ranks.setdefault(text[i:j].encode(), len(ranks))
    encoding = tiktoken.Encoding("words", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return [[len(encoding.decode_single_token_bytes(t)) for t in encoding.encode_ordinary(text)] for text in texts]


def words(name, texts):
    result = [words_of_tokenizers(tokenizers[name], t) for t in texts] if name in tokenizers else None
    if name in tiktokens:
        other = words_of_tiktoken(tiktokens[name], texts)
        assert result is None or result == other, name
        result = other
    return result


ascii_pieces = (
    "a B ab Ab AB aB ABc 1 12 123 1234 12345 ' 's 'S 't 're 'RE 've 'll 'Ll 'd 'm 'l 'r 'v '' ! !! / // /* - _"
).split() + [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\n    ", "  \n", ";\n", "/\n", "\n/", "\v", "\x1c"]
other_pieces = (
    "é Ж ß жук Ґ 日本 ー 가 \u0301 \u0323 \u05b9 ſ 'ſ ½ ٣ Ⅷ 😀 ªB ªb ʰ ǅ 👍🏽 \u200d \U00011de0 \U000e0100 \u0378 "
    "\u1100 \u1161 \u11a8 \u0958 \u212b e\u0301 a\u0316\u0301 שלום नमस्ते"
).split(" ") + ["\u3000", "\u00a0", "\u2028", "\u0085", "\u2003"]


def all_short(text):
    runs = [len(text) - len(text.rstrip())]
    for pre_tokenizer in tokenizers.values():
        runs += [b - a for _, (a, b) in pre_tokenizer.pre_tokenize_str(text)]
    return max(runs) <= LONGEST


def documents():
    rnd = random.Random(5)
    result = ["", "a", " ", "\n", "'", "  \n  ", "a \n \n", "\n\n  b", "don't DON'T donʼt 'tis", "x  \t y\u00a0\u00a0z"]
    while len(result) < 160:
        pieces = ascii_pieces if len(result) % 2 else ascii_pieces + other_pieces * 2
        if rnd.random() < 0.6:
            pieces = rnd.sample(pieces, rnd.randint(3, 14))
        text = "".join(rnd.choices(pieces, k=rnd.randint(3, 12) if len(result) % 4 else rnd.randint(40, 120)))
        if all_short(text):
            result.append(text)
    return result


def points():
    """Texts of 4096 code points each, between letters, digits, white space and others."""
    every = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(0, len(every), 4096):
        yield "".join("a" + c + "B1" + c + " " + c + "!" + c + "\n" for c in every[i : i + 4096])


def digest(numbers, start):
    for n in numbers:
        start = ((start ^ n) * PRIME) & MASK
    return start


def main():
    texts = documents()
    with open("documents.txt", "w", newline="") as f:
        f.write("".join(t + "\0" for t in texts))
    with open("nfc.txt", "w", newline="") as f:
        f.write("".join(NFC().normalize_str(t) + "\0" for t in texts))
    names = sorted(tokenizers.keys() | tiktokens.keys())
    for name in names:
        with open(name + ".words", "w") as f:
            for lengths in words(name, texts):
                f.write(" ".join(map(str, lengths)) + "\n")
    digests = dict.fromkeys(names + ["nfc"], FNV)
    for text in points():
        for name in names:
            # tiktoken knows the classes of the others (../tokenizer/unicode.py): it is asked where it alone can tell
            if name in tokenizers:
                lengths = words_of_tokenizers(tokenizers[name], text)
            else:
                lengths = words(name, [text])[0]
            digests[name] = digest(lengths, digests[name])
        digests["nfc"] = digest(NFC().normalize_str(text).encode(), digests["nfc"])
    with open("points.txt", "w") as f:
        for name, value in digests.items():
            f.write("%s %016x\n" % (name, value))


main()
