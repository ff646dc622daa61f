"""Hold tokenize's ids against the libraries': of documents at random, of every code point, of given text.

    pip install tokenizers==0.23.* tiktoken==0.14.* sentencepiece==0.2.* regex numpy
    python fuzz.py [--count N] [--seed S] [--points] [--text FILE] [--corpus FILE [--size BYTES]] VOCABULARY...

VOCABULARY  FILE.json (Hugging Face's tokenizers), FILE.model (SentencePiece), FILE.tiktoken or
            FILE.tiktoken:PATTERN (tiktoken; gpt2, cl100k, o200k, llama3 and qwen2 are known), or a shape in
            shapes.json
--count     documents for each vocabulary, a hundredth of them bytes that are not UTF-8 (default 100000)
--points    each code point too, alone and between letters
--text      slices of FILE are among the documents
--corpus    nothing at random, but FILE: its lines, or documents of --size bytes that end behind a line feed
--threads   of tokenize (default 1)
--tokenize  the program (default: the one on PATH)

Special tokens within text are text in one batch of documents and their ids (--allow-special) in the next. Of
bytes that are not UTF-8 the libraries have no ids, but SentencePiece without byte fallback: else the text must
come back.

Prints how many documents of each vocabulary were equal, and the first that was not, made as small as it can
be. The exit status is 1 where there was one.
"""
import argparse
import itertools
import json
import os
import pathlib
import random
import string
import subprocess
import sys
import tempfile
import unicodedata

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy
import sentencepiece
import tiktoken
from tiktoken_ext import openai_public
from tokenizers import Tokenizer

import make

SEPARATOR = b"\xff\0\xfe"  # no UTF-8
ENCODINGS = {"gpt2": "r50k_base", "cl100k": "cl100k_base", "o200k": "o200k_base"}
# As the releases of Llama 3 and Qwen hand them to tiktoken.
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
OTHER_WORDS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
EXPRESSIONS = {
    "llama3": rf"{WORDS}|\p{{N}}{{1,3}}|{OTHER_WORDS}",
    "qwen2": rf"{WORDS}|\p{{N}}|{OTHER_WORDS}",
}
LONGEST = 4000  # pieces of the few long documents

# ---- documents ----

PROSE = (
    "the of and to in a is that it for was on are as with his they at be this from have or by one had not but "
    "what all were when we there can an your which their said if do will each about how up out them then she "
    "many some so these Der Fluß trägt den Sand hinunter zum Meer où l'été s'achève à nouveau niño mañana też "
    "żółć İstanbul ıslak река несёт песок к морю Ёлка ничего объём ΟΔΥΣΣΕΥΣ ποταμός φέρνει 川は砂を海へ運ぶ。 東京タワー "
    "ｶﾀｶﾅ 강은 모래를 바다로 नदी रेत को समुद्र तक แม่น้ำพัดทราย sông chảy ra biển שלום עולם النهر يحمل الرمل ﷽ "
).split()
CODE = (
    "int main(void) { return 0; } #include <stdio.h> def f(self, x=None): for (;;) if(!p) free(p); p->next "
    "&x[i] += -= == != <= >= && || << >> // /* */ \"quoted\" 'c' `x` \\n \\u0041 %d ${HOME} </div> <p "
    "class=\"a\"> https://a.b/c?d=e&f CamelCase snake_case SCREAMING_CASE kebab-case x1 0x1F 1e-9 3.14 1_000 "
    "1,234,567 @user #tag $1.00 50% ... --- === *** ... ..... !!!! ???? ))))) ]]] //// ____ ~~~~ \t \n \n\n "
    "\r\n \n    \n\t\t {\n }\n ;\n :\n /\n )\n\n */\n"
).split(" ")
SPACES = (
    "\t \n \v \f \r \r\n \n\n \x1c \x1d \x1e \x1f \x85 \xa0 \u1680 \u180e \u2000 \u2003 \u2007 \u2009 \u200a "
    "\u200b \u2028 \u2029 \u202f \u205f \u2060 \u3000 \ufeff \u2581 \u2581\u2581"
).split(" ") + [" ", " ", " ", "  ", "   ", "    ", "  \n", "\n  ", " \n \n", "\t\t", " " * 16, " " * 31, "\n" * 7]
CONTRACTIONS = [
    mark + cased + end
    for word in "s t re ve m ll d \u017f l r v n st sd".split() + [""]
    for cased in (word, word.upper(), word.capitalize())
    for mark, end in (("'", ""), ("'", "'"), ("''", ""), ("\u2019", ""))
]
EMOJI = (
    "\U0001f642 \U0001f44d \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
    "\u2764\ufe0f \U0001f1e9\U0001f1ea \U0001f1eb 1\ufe0f\u20e3 #\u20e3 "
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f \u200d \ufe0f \ufe0e \U0001f3fb "
    "\U0001f9d1\u200d\U0001f4bb \u263a \u2603\ufe0e \U0001fae8 \U0001f3f3\ufe0f\u200d\U0001f308 \U000e0001"
).split(" ")
RIGHT_TO_LEFT = (
    "שלום עולם ב\u05b0\u05bc\u05e8\u05b5\u05d0\u05e9\u05c1 \u05be \u05f3 \u05f4 الرمل الى\u0640\u0640 "
    "م\u064f\u062d\u064e\u0645\u0651\u064e \u0660\u0661\u0662 \u06f1\u06f2\u06f3\u06f4 ، ؟ ﷺ ﻻ \u200e \u200f "
    "\u202b \u202c \u2067 \u2069 \u061c ܐܒܓ ߊߋ"
).split(" ")
MARKS = (
    "e\u0301 e\u0323\u0301 e\u0301\u0323 a\u0308 A\u030a \u212b \u212a \u2126 \u0301 \u0327 \u0345 \u0344 "
    "\u0340 \u0958 \u09dc \u2adc \u0f73 \u0f71\u0f72 \u1100 \u1161 \u11a8 \uac00 \uac01 \uac00\u11a8 "
    "\u1112\u1161\u11ab \u3099 \u304b\u3099 \ufb1d \ufb01 \u1e9b\u0323 \U0001d15e \U0001d157\U0001d165 "
    "\u0cc6\u0cd5 \u0ccb \u0dda \u1026 \U000110ab \U000119ba \u20dd \u0488 \u0903 \U000e0100 q\u0307\u0323"
).split(" ")
OTHERS = [" ", "a", "B", "7", ".", "'", "\n", "the", " the", "\0", "\x01", "\x7f"]
OTHERS += ["\ufffd", "\ufffe", "\U0010ffff", "\ue000"]
NUMBERS = "0 1 7 42 123 1234 12345 1234567 007 . , - +".split()
NUMBERS += "\u00b2 \u00bd \u2167 \u0664 \u0969 \uff11 \U0001d7d8 \u3007 \u4e09".split()


def classes():
    """The code points of each general category."""
    points = {}
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            points.setdefault(unicodedata.category(chr(c)), []).append(chr(c))
    return list(points.values())


class Documents:
    """Documents at random: `special`, texts that mean something to the vocabulary, are pieces of some."""

    def __init__(self, seed, special, text):
        self.random = random.Random(seed)
        self.text = text
        self.classes = classes()
        self.alphabets = [
            PROSE, [" " + w for w in PROSE], CODE, SPACES, CONTRACTIONS, EMOJI, RIGHT_TO_LEFT, MARKS, NUMBERS,
            list(string.ascii_letters), list(string.digits), [chr(c) for c in range(128)],
            [chr(c) for c in range(256)], OTHERS, special,
        ]  # fmt: skip
        self.recipes = [self.mixed] * 6 + [self.prose] * 2
        self.recipes += [self.plane, self.between, self.run, self.category, self.unbroken]
        self.recipes += [self.slice] * 2 if text else []

    def point(self):
        while True:
            c = self.random.randrange(0x110000 if self.random.random() < 0.3 else 0x3000)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    def length(self):
        r = self.random.random()
        return int(r * 10) + 1 if r < 0.999 else int((r - 0.999) * 1000 * LONGEST) + 1

    def some(self):
        """A few pieces of a few alphabets, so that they meet."""
        random = self.random
        pieces = []
        for alphabet in random.choices(self.alphabets, k=random.randrange(1, 4)):
            pieces += random.choices(alphabet, k=random.randrange(1, 8))
        return pieces + random.choices(random.choice(self.classes), k=2) * (random.random() < 0.3)

    def mixed(self):
        return "".join(self.random.choices(self.some(), k=self.length()))

    def prose(self):
        return " ".join(self.random.choices(PROSE if self.random.random() < 0.7 else CODE, k=self.length()))

    def plane(self):
        return "".join(self.point() for _ in range(self.random.randrange(1, 12)))

    def between(self):
        return "".join(self.point() + self.random.choice(OTHERS) for _ in range(self.random.randrange(1, 6)))

    def run(self):
        return self.mixed() + self.random.choice(self.some()) * self.length() + self.mixed()

    def unbroken(self):
        """A long word."""
        size = int(10 * 100 ** self.random.random())
        return "".join(self.random.choices(self.random.choice(self.alphabets), k=size)).replace(" ", "")

    def category(self):
        choices, n = self.random.choices, self.length() % 50 + 1
        points = [c for points in choices(self.classes, k=2) for c in choices(points, k=n)]
        return "".join(choices(points, k=n))

    def slice(self):
        at = self.random.randrange(len(self.text))
        size = self.length() * 8
        return self.text[at : at + size].decode(errors="ignore").replace("\r", "\r\n" * (size % 2))

    def batch(self, count):
        return [choice() or " " for choice in self.random.choices(self.recipes, k=count)]

    def malformed(self, count):
        """UTF-8 with bytes lost, changed or put in, and bytes at random."""
        random, out = self.random, []
        for document in self.batch(count):
            data = bytearray(document.encode())[:200]
            for _ in range(random.randrange(1, 4)):
                at = random.randrange(len(data) + 1)
                data[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
            out.append(bytes(data) if random.random() < 0.8 else random.randbytes(random.randrange(1, 40)))
        return [d for d in out if d and b"\xff\0" not in d and b"\0\xfe" not in d and not d.endswith(b"\xff")]


def points():
    """Batches of each code point alone, and between others."""
    batch = []
    for c in map(chr, range(0x110000)):
        if not "\ud800" <= c < "\ue000":
            batch += [c, f"a{c}b {c}{c} 1{c}2\n{c}\n{c}'s"]
        if len(batch) >= 20000:
            yield batch
            batch = []
    yield batch


def corpus(path, size):
    """Batches of a file's lines, or of documents of so many bytes."""
    with open(path, "rb") as f:
        while lines := f.readlines(max(size, 2 << 20)):
            texts = [line.decode(errors="replace") for line in lines]
            yield ["".join(texts)] if size else texts


# ---- the libraries ----


class Vocabulary:
    """What tokenize is told of it, and a library's `encode` of many documents; `special`: text that it knows."""

    def __init__(self, argument, folder):
        self.name, self.options, self.special, self.can_allow = argument, [], [], False
        self.bytes_known = False  # ids of malformed UTF-8
        self.bytes_kept = False  # text comes back as it was, bytes too
        path, _, pattern = argument.partition(":")
        if path.endswith(".tiktoken"):
            self.open_tiktoken(path, pattern)
        elif path.endswith(".model"):
            self.open_sentencepiece(path)
        else:
            self.open_tokenizers(path, folder)

    def open_tiktoken(self, path, pattern):
        name = ENCODINGS.get(pattern, pattern) if pattern else pathlib.Path(path).name.split(".")[0]
        ranks = make.read_ranks(pathlib.Path(path))
        known = None if pattern in EXPRESSIONS else make.encoding_of(name)
        expression = known["pat_str"] if known else EXPRESSIONS[pattern]
        special = {} if pattern else known["special_tokens"]
        encoding = tiktoken.Encoding(
            name, pat_str=expression, mergeable_ranks=ranks, special_tokens=special
        )
        self.special = list(special) + ["<|end", "<|"]
        self.can_allow = self.bytes_kept = bool(special)  # --decode finds documents by their end-of-text
        self.options = ["-t", path] + (["--pattern", pattern] if pattern else [])
        one = dict(num_threads=1)
        self.encode = lambda documents, allow: (
            encoding.encode_batch(documents, allowed_special="all", **one)
            if allow
            else encoding.encode_ordinary_batch(documents, **one)
        )

    def open_sentencepiece(self, path):
        processor = sentencepiece.SentencePieceProcessor(model_file=path)
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        self.bytes_known = not any(processor.is_byte(i) for i in range(len(pieces)))
        self.special = [p.replace("\u2581", " ") for p in pieces[:40] + pieces[-40:]]
        self.options = ["-t", path]
        self.encode = lambda documents, allow: processor.encode(documents, num_threads=1)

    def open_tokenizers(self, path, folder):
        if not path.endswith(".json"):
            shape = json.loads((make.HERE / "shapes.json").read_text())[path]
            base = shape.get("base", "tokenizer.json")
            base = {base: json.loads(((make.HERE if base == "characters.json" else make.BASE) / base).read_text())}
            path = os.path.join(folder, path + ".json")
            pathlib.Path(path).write_text(json.dumps(make.build(shape, base)))
        tokenizer = Tokenizer.from_file(path)
        file = json.loads(tokenizer.to_str())
        self.special = [token["content"] for token in file["added_tokens"]] + ["<0x41>", "<unk>", "<"]
        self.can_allow = any(token["special"] for token in file["added_tokens"])
        self.bytes_kept = not file["normalizer"] and "ByteLevel" in json.dumps(file["pre_tokenizer"])
        self.options = ["-t", path]

        def encode(documents, allow):
            tokenizer.encode_special_tokens = not allow
            return [e.ids for e in tokenizer.encode_batch_fast(documents, add_special_tokens=False)]

        self.encode = encode


# ---- tokenize ----


class Comparison:
    def __init__(self, program, threads, vocabulary, folder):
        self.vocabulary = vocabulary
        self.command = [program, "-q", *vocabulary.options]
        self.threads = ["--threads", str(threads)]
        self.folder = folder

    def write(self, documents):
        path = os.path.join(self.folder, "documents")
        with open(path, "wb") as f:
            f.write(SEPARATOR.join(d if isinstance(d, bytes) else d.encode() for d in documents))
        return path

    def tokens(self, documents, allow):
        """Lengths and ids of the documents that have any."""
        out = os.path.join(self.folder, "tokens.tok")
        options = [*self.threads, "--ragged", "--no-eot", "--separator", r"\xff\0\xfe", "--level", "0"]
        options += ["--allow-special"] if allow else []
        path = self.write(documents)
        if subprocess.run([*self.command, *options, "-o", out, path]).returncode:
            sys.exit(f"{self.vocabulary.name}: tokenize failed on {path}")
        return read_tokens(out)

    def difference(self, documents, allow):
        """The first document whose ids are not the library's, the library's and ours; else None."""
        theirs = self.vocabulary.encode(documents, allow)
        lengths, ids = self.tokens(documents, allow)
        kept = [i for i, t in enumerate(theirs) if len(t)]
        flat = numpy.fromiter(itertools.chain.from_iterable(theirs), numpy.uint32)
        if [len(theirs[i]) for i in kept] == lengths.tolist() and numpy.array_equal(flat, ids):
            return None
        at = 0
        for n, i in enumerate(kept):
            ours = ids[at : at + lengths[n]].tolist() if n < len(lengths) else []
            if ours != list(theirs[i]):
                return i, list(theirs[i]), ours
            at += lengths[n]
        return len(documents) - 1, [], ids[at:].tolist()

    def lost(self, documents):
        """The first document that does not come back, ours."""
        out, options = os.path.join(self.folder, "tokens.tok"), ["--separator", r"\xff\0\xfe"]
        subprocess.run([*self.command, *options, "--ragged", "-o", out, self.write(documents)], check=True)
        text = subprocess.run([*self.command, *options, "--decode", out], check=True, capture_output=True).stdout
        back = text.split(SEPARATOR)
        return next(((d, b) for d, b in zip(documents, back + [b""] * len(documents)) if d != b), None)

    def minimise(self, document, allow):
        """The same difference in less text: without pieces of it, as long as one stays."""
        size = len(document)
        while size >= 1:
            tries = [document[:i] + document[i + size :] for i in range(0, len(document), size)]
            tries = [t for t in tries if t][: 1 + 10**7 // len(document)]
            found = self.difference(tries, allow) if tries else None
            if found and self.difference([tries[found[0]]], allow):
                document = tries[found[0]]
                size = min(size, len(document))
            else:
                size //= 2
        return document


def read_tokens(path):
    """Lengths and ids of a token stream of level 0 (docs/formats.md)."""
    with open(path, "rb") as f:
        data = f.read()

    def number(at, width=4):
        return int.from_bytes(data[at : at + width], "little")

    def padded(n):
        return (n + 7) & ~7

    header = json.loads(data[16 : 16 + number(8)])
    width = 2 if header["dtype"] == "u16" else 4
    at = 16 + padded(number(8)) + 8
    lengths, ids = [], []
    while data[at : at + 4] == b"TCFd":
        records, stored, payload = number(at + 4), number(at + 20), number(at + 24)
        column = at + 32 + payload
        values = {}
        for name, size in ("id", 8), ("domain", 2), ("predicted", 4), ("bytes", 4), ("first", 4):
            coded = data[column]
            if coded:
                first, step = number(column + 1, size), number(column + 1 + size, size)
                values[name] = (first + step * numpy.arange(records, dtype=numpy.uint64)) & (256**size - 1)
            else:
                values[name] = numpy.frombuffer(data, f"<u{size}", records, column + 1)
            column += 1 + size * (2 if coded else records)
        lengths.append(values["first"].astype(numpy.int64) + values["predicted"].astype(numpy.int64))
        ids.append(numpy.frombuffer(data, f"<u{width}", payload // width, at + 32).astype(numpy.uint32))
        at += 32 + padded(stored) + 8
    empty = numpy.zeros(0, numpy.uint32)
    return (numpy.concatenate(lengths), numpy.concatenate(ids)) if ids else (empty, empty)


# ---- runs ----


def batches(options, documents):
    if options.corpus:
        yield from corpus(options.corpus, options.size)
        return
    if options.points:
        yield from points()
    left = options.count - options.count // 100
    while left > 0:
        yield documents.batch(min(left, options.batch))
        left -= options.batch


def compare(options, vocabulary, comparison):
    """Documents and bytes that were compared, and what differed, if anything."""
    text = pathlib.Path(options.text).read_bytes() if options.text else b""
    documents = Documents(options.seed, vocabulary.special, text)
    count = size = 0
    for n, batch in enumerate(batches(options, documents)):
        allow = vocabulary.can_allow and n % 2 == 1 and not options.corpus
        if found := comparison.difference(batch, allow):
            small = comparison.minimise(batch[found[0]], allow)
            _, theirs, ours = comparison.difference([small], allow) or found
            how = " with --allow-special" if allow else ""
            return count, size, f"{small!a}{how}\n  library  {theirs[:40]}\n  tokenize {ours[:40]}"
        count += len(batch)
        size += sum(len(d.encode()) for d in batch)
    if not options.corpus and (vocabulary.bytes_known or vocabulary.bytes_kept):
        malformed = documents.malformed(options.count // 100)
        if vocabulary.bytes_kept and (found := comparison.lost(malformed)):
            return count, size, "{!r}\n  comes back as {!r}".format(*found)
        if vocabulary.bytes_known and (found := comparison.difference(malformed, False)):
            return count, size, f"{malformed[found[0]]!r}\n  library  {found[1]}\n  tokenize {found[2]}"
        count += len(malformed)
    return count, size, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--batch", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--text")
    parser.add_argument("--corpus")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokenize", default="tokenize")
    parser.add_argument("vocabularies", nargs="+")
    options = parser.parse_args()
    status = 0
    for argument in options.vocabularies:
        with tempfile.TemporaryDirectory() as folder:
            vocabulary = Vocabulary(argument, folder)
            comparison = Comparison(options.tokenize, options.threads, vocabulary, folder)
            count, size, difference = compare(options, vocabulary, comparison)
        print(f"{argument}: {count} documents, {size} bytes equal", flush=True)
        if difference:
            print(f"{argument}: seed {options.seed}: differs: {difference}", flush=True)
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
