"""Make the SentencePiece golden files with the library (pip install sentencepiece==0.2.3).

    cd test/golden/sentencepiece && python make.py

The models learn from ../tokenizer/train.txt, our own text. For each NAME.model, NAME.ids has the library's ids of
every document of ../tokenizer/documents.txt and then of documents.txt (below; both separated by NUL), a line per
document. NAME.malformed has those of malformed.txt, documents that are not UTF-8; llama.model has none, for there we
keep such bytes and the library does not.

llama.model    BPE with byte fallback, nothing normalized but spaces: as Llama 2's
symbols.model  BPE without byte fallback, own normalization rules, user-defined symbols, some pieces marked unused
               after learning (the library merges through them and takes them apart again), some scores made equal
unigram.model  unigram, the same rules, spaces removed, a user-defined symbol, some pieces unused
inner.model    unigram with byte fallback, pieces with spaces within, spaces kept, no space in front
"""
import os
import random
import struct
import zlib

import sentencepiece

RULES = [  # what Unicode's compatibility forms do, in small
    ("\t", " "), ("\n", " "), ("\r", " "), ("\u00a0", " "), ("\u3000", " "), ("\u200b", ""), ("\x01", ""),
    ("\ufb01", "fi"), ("\u2026", "..."), ("\u00df", "ss"), ("e\u0301", "\u00e9"), ("e\u0301\u0301", "\u011b"),
    ("\u00a8", " \u0308"), (" \u0308", "\u00a8"), ("A", "a"), ("B", "b"), ("T", "t"), ("\uff11", "1"),
    ("\u2460", " 1 "), ("f\u0301\u0302\u0303", "F"),
]

DOCUMENTS = [
    "", " ", "  ", "\u2581", "\u2581\u2581 \u2581", " \t\n ", "\u200b", " \u200b ",
    "a\u200b b \u200b c", "\x01a\x01", "the  river   the    sea     ", "   the",
    "\u3000the\u00a0\u00a0sea\u3000", "a\u2581b \u2581c\u2581 d",
    "\u00a8 \u00a8a\u00a8\u00a8 \u0308 \u0308\u0308", "e\u0301e\u0301\u0301e e\u0301",
    "f\u0301\u0302\u0303f\u0301\u0302x", "\u2460\u2460a \u2460", "\ufb01\ufb01n ﬁ\u2026\u2026",
    "ABBA TATA Straße", "<sep><sep>a<sep> <sep> b", "<se", "<sep", "the<sep>sea the sea<sea>",
    "foo bar foo  bar foobar xfoo bary", "abcabababcab", "the the\u2581the", "ethe thee",
    "<s>the</s><unk><pad>\u2047 <0x41><0x0A>", "\U0001f642\U0001f642x\U0001f642 \U0001f642",
    "\u4e00\u4e01\u4e02 \u4e00", "\ufffd\ufffd a\ufffdb", "\ue000\U0010ffff\u0378",
    "\u2581the\u2581river", "river\u2581", "the sand carries the river " * 40, "x" * 300, " " * 100,
    "the" + " " * 100 + "sea", "\u3042" * 100,
]

MALFORMED = [
    b"\xff", b"a\xffb", b"\xc3", b"\xc3\xa9\xc3", b"\xe2\x96", b"the \xe2\x96\x81\xe2\x96 sea",
    b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x99", b"\x80\x80 \x80", b"e\xcc",
    b"e\xcc\x81\xcc", b"\xf8\x88\x80\x80\x80",
]

NORMAL, UNUSED = 1, 5
LONG = 60  # sums of scores pass 100,000, where the library begins anew


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(message):
    at, out = 0, []
    while at < len(message):
        key, at = read_varint(message, at)
        if key & 7 == 2:
            size, at = read_varint(message, at)
            out.append((key, message[at : at + size]))
            at += size
        elif key & 7 == 0:
            value, at = read_varint(message, at)
            out.append((key, value))
        else:
            size = {1: 8, 5: 4}[key & 7]
            out.append((key, message[at : at + size]))
            at += size
    return out


def message(parts):
    out = b""
    for key, value in parts:
        out += varint(key)
        out += varint(value) if key & 7 == 0 else varint(len(value)) + value if key & 7 == 2 else value
    return out


def change_pieces(path, seed, unused, equal):
    """Mark a share of the ordinary pieces as unused, and round the scores to multiples of `equal`."""
    rng = random.Random(seed)
    with open(path, "rb") as f:
        parts = fields(f.read())
    for i, (key, value) in enumerate(parts):
        if key != 1 << 3 | 2:
            continue
        piece = dict(fields(value))
        if piece.get(3 << 3, NORMAL) != NORMAL:
            continue
        if rng.random() < unused:
            piece[3 << 3] = UNUSED
        if equal:
            (score,) = struct.unpack("<f", piece[2 << 3 | 5])
            piece[2 << 3 | 5] = struct.pack("<f", score // equal * equal)
        parts[i] = (key, message(sorted(piece.items())))
    with open(path, "wb") as f:
        f.write(message(parts))


def learn(name, **options):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAIN), model_prefix=name, num_threads=1, minloglevel=2, hard_vocab_limit=False,
        max_sentence_length=100000, **options)


def write_ids(name, suffix, documents):
    processor = sentencepiece.SentencePieceProcessor(model_file=name + ".model")
    with open(name + suffix, "w") as f:
        for document in documents:
            f.write(" ".join(map(str, processor.encode(document))) + "\n")


def write_long(name):
    processor = sentencepiece.SentencePieceProcessor(model_file=name + ".model")
    with open("../tokenizer/train.txt", "rb") as f:
        ids = processor.encode(f.read().replace(b"\0", b" ") * LONG)
    with open(name + ".long", "w") as f:
        f.write("%d %08x\n" % (len(ids), zlib.crc32(struct.pack("<%dI" % len(ids), *ids))))


def read_documents(path):
    with open(path, "rb") as f:
        return f.read().split(b"\0")


TRAIN = [line for d in read_documents("../tokenizer/train.txt") for line in d.decode().split("\n") if line.strip()] * 3
with open("documents.txt", "wb") as f:
    f.write(b"\0".join(d.encode() for d in DOCUMENTS))
with open("malformed.txt", "wb") as f:
    f.write(b"\0".join(MALFORMED))
with open("rules.tsv", "w") as f:
    for source, target in RULES:
        f.write("\t".join(" ".join("%X" % ord(c) for c in s) for s in (source, target)) + "\n")

learn("llama", model_type="bpe", vocab_size=600, byte_fallback=True, normalization_rule_name="identity",
      remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True, character_coverage=0.98)
learn("symbols", model_type="bpe", vocab_size=500, normalization_rule_tsv="rules.tsv", character_coverage=0.98,
      user_defined_symbols=["<sep>", "foo bar", "é", "abc", "ab", "\u2581the\u2581", "th"], control_symbols=["<pad>"])
change_pieces("symbols.model", 1, unused=0.15, equal=8)
learn("unigram", model_type="unigram", vocab_size=500, normalization_rule_tsv="rules.tsv", character_coverage=0.98,
      user_defined_symbols=["<sep>"])
change_pieces("unigram.model", 2, unused=0.05, equal=0)
learn("inner", model_type="unigram", vocab_size=700, byte_fallback=True, normalization_rule_name="identity",
      split_by_whitespace=False, remove_extra_whitespaces=False, add_dummy_prefix=False, character_coverage=0.98)

DOCUMENTS = read_documents("../tokenizer/documents.txt") + read_documents("documents.txt")
for model in ("llama", "symbols", "unigram", "inner"):
    write_ids(model, ".ids", DOCUMENTS)
    if model != "llama":
        write_ids(model, ".malformed", MALFORMED)
    write_long(model)
    os.remove(model + ".vocab")
os.remove("rules.tsv")
