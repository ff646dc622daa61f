"""Make the golden ids of the vocabularies that tokenize loads, with the libraries that they come from:
tokenizers 0.23, tiktoken 0.14, sentencepiece 0.2 (pip install tokenizers==0.23.* tiktoken==0.14.* sentencepiece==0.2.*
regex).

    cd test/golden/vocabularies && python make.py [DATA]

characters.json  a vocabulary of characters with byte fallback in Llama 2's form, trained here on ../tokenizer/train.txt
ranks.tiktoken   tiktoken's ranks, trained here on the same text
shapes.json      what the vocabularies in use ask for, as changes to ../tokenizer/tokenizer.json or characters.json:
                 `set` replaces members of the file, `model` members of its model, `vocab` and `merges` are added
texts.txt        text for them, documents separated by NUL
ids.txt          NAME TEXT SHA256: of the ids, a line of decimal numbers per document, of
                   documents  ../tokenizer/documents.txt
                   texts      texts.txt
                   points     code points between letters (code_points below; the test has it in Perl)
                 under a shape, ranks.tiktoken with the pattern in NAME, or a file NAME of DATA/vocab (../shared/data
                 beside the tree where DATA is not given). Special tokens in a text are text.
"""
import base64
import collections
import hashlib
import json
import pathlib
import sys

import regex
import sentencepiece
import tiktoken
from tiktoken_ext import openai_public
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
BASE = HERE.parent / "tokenizer"
META = "\u2581"
END = "<|endoftext|>"

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
HEAD, TAIL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{HEAD}*{TAIL}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{HEAD}+{TAIL}*{CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def added(token, id, special=True, **flags):
    flat = dict(single_word=False, lstrip=False, rstrip=False, normalized=False)
    return dict(id=id, content=token, **{**flat, **flags}, special=special)


def byte_level(use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(expression, behavior="Isolated"):
    step = {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": behavior == "Removed"}
    return {"type": "Sequence", "pretokenizers": [step, byte_level(False)]}


def template(token, id):
    piece = {"SpecialToken": {"id": token, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [piece, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    }


def meta_space(scheme, split):
    return {"type": "Metaspace", "replacement": META, "prepend_scheme": scheme, "split": split}


def flags(**more):
    kinds = {
        "<left>": dict(lstrip=True),
        "<right>": dict(rstrip=True),
        "alone": dict(single_word=True),
        "the river": {},
    }
    return [added(token, None, special=False, **kind, **more) for token, kind in kinds.items()]


SPACES = [added(" " * n, 600 + 24 - n, special=False, normalized=True) for n in range(24, 1, -1)]
SHAPES = {
    "gpt2": {
        "set": {"added_tokens": [added(END, 599, normalized=True)], "post_processor": byte_level()},
        "model": {"continuing_subword_prefix": "", "end_of_word_suffix": ""},
    },
    "neox": {
        "set": {
            "added_tokens": [added(END, 599)] + SPACES,
            "normalizer": {"type": "NFC"},
            "post_processor": byte_level(),
        }
    },
    "llama3": {
        "set": {
            "added_tokens": [added(t, 600 + i) for i, t in enumerate(["<|begin_of_text|>", "<|end_of_text|>"])],
            "pre_tokenizer": split(LLAMA3),
            "post_processor": {"type": "Sequence", "processors": [byte_level(), template("<|begin_of_text|>", 600)]},
        },
        "model": {"ignore_merges": True},
        # No merge makes it: only the whole word comes to it.
        "vocab": {"\u0120whole": 599},
    },
    "qwen2": {
        "set": {
            "added_tokens": [
                added(END, 599),
                added("<|im_start|>", 600),
                added("<tool_call>", 601, special=False),
                added("</tool_call>", 602, special=False),
            ],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
            "pre_tokenizer": split(QWEN2),
        }
    },
    "starcoder2": {
        "set": {
            "added_tokens": [added(END, 599)],
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level()],
            },
        },
        "vocab": {END: 599},
    },
    "o200k": {"set": {"pre_tokenizer": split(O200K, "Removed")}},
    "no-regex": {"set": {"pre_tokenizer": byte_level(False)}},
    "flags": {
        "set": {
            "normalizer": {"type": "NFC"},
            "added_tokens": [
                added(END, 599),
                added("<left>", 600, special=False, lstrip=True),
                added("<right>", 601, special=False, rstrip=True),
                added("<both>", 602, special=False, lstrip=True, rstrip=True),
                added("alone", 603, special=False, single_word=True),
                added("the river", 604, special=False),
                added("the river's", 605, special=False),
                added("\u00e9t\u00e9", 606, special=False, normalized=True),
                added("\u0436", 607, special=False, normalized=True),
            ],
        }
    },
    # The first of several takes what the next would begin with.
    "strip": {"set": {"added_tokens": [added(END, 599), added("  ", 600, special=False, lstrip=True, rstrip=True)]}},
    "gap": {"set": {"added_tokens": [added(END, 700)]}, "vocab": {END: 700}},
    "llama2": {"base": "characters.json"},
    "llama2-crossing": {
        "base": "characters.json",
        "vocab": {"e" + META: 1000, "e" + META + "s": 1001},
        "merges": [["e", META], ["e" + META, "s"]],
    },
    # No merge makes it: only a text of this word alone comes to it.
    "llama2-whole": {"base": "characters.json", "model": {"ignore_merges": True}, "vocab": {META + "whole": 1000}},
    "llama2-unknown": {"base": "characters.json", "model": {"byte_fallback": False}},
    "llama2-unknowns": {"base": "characters.json", "model": {"byte_fallback": False, "fuse_unk": False}},
    "llama2-dropped": {"base": "characters.json", "model": {"byte_fallback": False, "unk_token": None}},
    "llama2-dropped-spaces": {
        "base": "characters.json",
        "model": {"byte_fallback": False, "unk_token": None},
        "vocab": {META + META: 1000},
        "merges": [[META, META]],
    },
    "llama2-added": {
        "base": "characters.json",
        "set": {
            "added_tokens": [added(t, i) for i, t in enumerate(["<unk>", "<s>", "</s>"])]
            + [added("<tool_call>", None, special=False), added("</tool_call>", None, special=False, normalized=True)]
        },
    },
    "no-prefix": {
        "base": "characters.json",
        "set": {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": META}},
    },
}
for scheme in "first", "always", "never":
    for cut in False, True:
        SHAPES[f"metaspace-{scheme}" + ("-split" if cut else "")] = {
            "base": "characters.json",
            "set": {"normalizer": None, "pre_tokenizer": meta_space(scheme, cut), **SHAPES["llama2-added"]["set"]},
        }
    SHAPES[f"metaspace-{scheme}-flags"] = {
        "base": "characters.json",
        "set": {
            "normalizer": None,
            "pre_tokenizer": meta_space(scheme, False),
            "added_tokens": flags(normalized=True),
        },
    }

TEXTS = [
    "a",
    " ",
    "  ",
    " a",
    "  a  ",
    META,
    META + "a" + META + META + "b",
    "a b  c   d    e     f      g       h        i         j          k",
    "\n" + " " * 23 + "x" + " " * 24 + "y" + " " * 25 + "z" + " " * 60,
    "e\u0301te\u0301 \u00e9t\u00e9 e\u0327\u0301 \u212b \u0344 \u1112\u1161\u11ab \uac00\u11a8 \u0958 \u2adc \uf900",
    "<|endoftext|> in the text<|endoftext|>, <|im_start|>user <s> </s> <unk> <0x41> <|begin_of_text|>",
    "x <tool_call>the call</tool_call> y <tool_call></tool_call>\u00a0z<tool_call>",
    "x <left> y <left>z\t\n<left>; x <right> y <right>z<right>\t\n; x <both> y  <both>  z<both>",
    "alone, alone; lonely alone alones xalone \u00e9alone alone\u0301 _alone alone1",
    "the river, the river's, the riverside, The river",
    "\u0436\u0436 \u0436\u0301 \u00e9t\u00e9\u0301 e\u0301t\u00e9",
    " whole whole  whole wholes",
    "1 22 333 4444 12345678 1a2b3c \u0661\u0662\u0663\u0664 \u00b2\u00b3 \u2167",
    "I'M I'LL they'RE it'S 'SIS don'\u017f ABCdef camelCaseWords HTTPServer \u01c5x",
    "\U0001f642\U0001f643 \u6f22\u5b57 \ue000 \U0010ffff caf\u00e9",
    "line\n\n  indented\r\n\r\n\ttab \n \n end \n",
    "tail   ",
    "tail \n\n ",
    "e s e s  e sss e",
]


def code_points():
    points = [*range(0x20, 0x3400), *range(0x3400, 0x110000, 16), *range(0x1F000, 0x1FC00)]
    lines = [f"a{chr(c)}b {chr(c)} {chr(c)}{chr(c)}\n" for c in points if not 0xD800 <= c < 0xE000]
    return ["".join(lines[i : i + 512]) for i in range(0, len(lines), 512)]


def read_documents(path):
    return path.read_bytes().decode().split("\0")


def train_characters(documents):
    """Words from U+2581 on, so that no token has it inside; bytes as Llama 2 has them. Not every character of the
    text is a token: which ones a trainer leaves out where many are as frequent is not the same twice."""
    documents = documents[:6] + documents[10:11] + documents[12:13]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=560, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(t, i, normalized=True) for i, t in enumerate(["<unk>", "<s>", "</s>"])],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": META},
                {"type": "Replace", "pattern": {"String": " "}, "content": META},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": template("<s>", 1),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": META}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": model,
    }


def train_ranks(documents):
    """The most frequent pair within Llama 3's words, the smallest among equals."""
    words = collections.Counter(w for d in documents for w in regex.findall(LLAMA3, d))
    words = [([bytes([b]) for b in w.encode()], n) for w, n in words.items()]
    order = [b for b in range(256) if chr(b).isprintable() and b != 32] + [32]
    ranks = [bytes([b]) for b in order + [b for b in range(256) if b not in order]]
    while len(ranks) < 500:
        pairs = collections.Counter()
        for word, n in words:
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        ranks.append(best[0] + best[1])
        for word, _ in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [best[0] + best[1]]
                i += 1
    # Two that no pair of tokens makes, for whole words.
    return ranks + [b" zyx", "\u6f22\u5b57\u6f22".encode()]


def build(shape, bases):
    file = json.loads(json.dumps(bases[shape.get("base", "tokenizer.json")]))
    file.update(json.loads(json.dumps(shape.get("set", {}))))
    file["model"].update(shape.get("model", {}))
    file["model"]["vocab"].update(shape.get("vocab", {}))
    file["model"]["merges"] += shape.get("merges", [])
    return file


def number_added(shape, bases):
    """The ids that are left open: behind the vocabulary."""
    vocab = bases[shape.get("base", "tokenizer.json")]["model"]["vocab"]
    count = len(vocab) + len(shape.get("vocab", {}))
    for token in shape.get("set", {}).get("added_tokens", []):
        if token["id"] is None:
            token["id"] = count
            count += 1


def digest(encode, documents):
    lines = "".join(" ".join(map(str, encode(d))) + "\n" for d in documents)
    return hashlib.sha256(lines.encode()).hexdigest()


def hugging_face(tokenizer):
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def tiktoken_encoding(name, ranks):
    return tiktoken.Encoding(name=name, pat_str=pattern_of(name), mergeable_ranks=ranks, special_tokens={})


def pattern_of(name):
    return encoding_of(name)["pat_str"]


def encoding_of(name):
    """What tiktoken knows of an encoding but its vocabulary, which is not here."""
    load = openai_public.load_tiktoken_bpe
    gpt2 = openai_public.data_gym_to_mergeable_bpe_ranks
    openai_public.load_tiktoken_bpe = openai_public.data_gym_to_mergeable_bpe_ranks = lambda *a, **k: {}
    try:
        return getattr(openai_public, name)()
    finally:
        openai_public.load_tiktoken_bpe, openai_public.data_gym_to_mergeable_bpe_ranks = load, gpt2


def read_ranks(path):
    lines = path.read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}


def main():
    data = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[3] / "shared" / "data") / "vocab"
    train = read_documents(BASE / "train.txt")
    bases = {
        "tokenizer.json": json.loads((BASE / "tokenizer.json").read_text()),
        "characters.json": train_characters(train),
    }
    for shape in SHAPES.values():
        number_added(shape, bases)
    write = dict(ensure_ascii=False, separators=(",", ":"))
    (HERE / "characters.json").write_text(json.dumps(bases["characters.json"], **write) + "\n")
    lines = ",\n".join(f" {json.dumps(n)}:{json.dumps(s, **write)}" for n, s in SHAPES.items())
    (HERE / "shapes.json").write_text("{\n" + lines + "\n}\n")
    (HERE / "texts.txt").write_bytes("\0".join(TEXTS).encode())
    ranks = train_ranks(train)
    (HERE / "ranks.tiktoken").write_bytes(
        b"".join(base64.b64encode(t) + b" %d\n" % i for i, t in enumerate(ranks))
    )

    encoders = {n: hugging_face(Tokenizer.from_str(json.dumps(build(s, bases)))) for n, s in SHAPES.items()}
    for pattern, name in ("gpt2", "r50k_base"), ("cl100k", "cl100k_base"), ("o200k", "o200k_base"):
        encoding = tiktoken_encoding(name, {t: i for i, t in enumerate(ranks)})
        encoders["ranks.tiktoken:" + pattern] = encoding.encode_ordinary
    for path in sorted(data.glob("*_base.tiktoken")):
        encoders[path.name] = tiktoken_encoding(path.name.split(".")[0], read_ranks(path)).encode_ordinary
    for path in sorted(data.glob("*.tokenizer.json")):
        encoders[path.name] = hugging_face(Tokenizer.from_file(str(path)))
    for path in sorted(data.glob("*.model")):
        encoders[path.name] = sentencepiece.SentencePieceProcessor(model_file=str(path)).encode
    texts = {"documents": read_documents(BASE / "documents.txt"), "texts": TEXTS, "points": code_points()}
    with open(HERE / "ids.txt", "w") as out:
        for name, encode in encoders.items():
            for text, documents in texts.items():
                out.write(f"{name} {text} {digest(encode, documents)}\n")


if __name__ == "__main__":
    main()
