"""usage: vocabulary.py TEXT FILE

Make FILE, if other libraries have or make such a vocabulary:
  o200k_base.tiktoken                    bpe-openai brings it along
  unigram.model and unigram-bytes.model  SentencePiece learns 16,000 pieces from lines of TEXT, with and without bytes
                                         for the characters that are not among them
"""
import gzip
import importlib.util
import os
import sys

PIECES = 16000
LINES = 4 << 20  # bytes of text to learn from
COVERAGE = 0.99  # of its characters; text of many scripts has more rare ones than there are pieces


def from_bpe_openai(name):
    found = importlib.util.find_spec("bpe_openai")
    path = found and os.path.join(found.submodule_search_locations[0], "data", name + ".gz")
    if path and os.path.exists(path):
        with gzip.open(path) as packed, open(name, "wb") as to:
            to.write(packed.read())


def learn_unigram(text, name):
    import sentencepiece

    with open(text, encoding="utf-8") as f:
        lines = [line for line in f.read().split("\n") if line.strip()]
    every = max(1, os.path.getsize(text) // LINES)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[::every]), model_prefix=name.removesuffix(".model"), vocab_size=PIECES,
        model_type="unigram", byte_fallback="bytes" in name, character_coverage=COVERAGE, hard_vocab_limit=False,
        num_threads=2, minloglevel=2,
    )  # fmt: skip


text, name = sys.argv[1:]
try:
    if name.endswith(".model") and name.startswith("unigram"):
        learn_unigram(text, name)
    else:
        from_bpe_openai(name)
except ImportError as cause:
    print(f"vocabulary.py: {name}: {cause}", file=sys.stderr)
