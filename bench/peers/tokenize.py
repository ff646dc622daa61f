#!/usr/bin/env python3
"""usage: tokenize.py VOCABULARY TEXT IDS

How fast other libraries encode the same documents with the same vocabulary on one thread, and whether they come to
the same ids. VOCABULARY: a tokenizer.json, a tiktoken rank file by its own name, or a SentencePiece .model. IDS: what
`bench/tokenize encode VOCABULARY TEXT IDS` wrote. A line for each library that is installed and has the vocabulary:
its name, MB/s, and "equal" or the number of documents whose ids differ.
"""
import array
import base64
import os
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
DOCUMENT = 1 << 14  # as in bench/tokenize.c
BATCH = 64


def documents(path):
    text, begin, result = open(path, "rb").read(), 0, []
    while begin < len(text):
        end = len(text)
        if end - begin > DOCUMENT:
            end = text.find(b"\n", begin + DOCUMENT) + 1 or end
        result.append(text[begin:end].decode())
        begin = end
    return result, len(text)


def name_of(path):
    return os.path.basename(path).split(".")[0]


def tiktoken_peer(path):
    import tiktoken
    import tiktoken_ext.openai_public as known

    with open(path, "rb") as file:
        ranks = {base64.b64decode(a): int(b) for a, b in (line.split() for line in file if line.strip())}
    # the library's own patterns; only its ranks would be downloaded
    known.load_tiktoken_bpe = lambda *_, **__: ranks
    known.data_gym_to_mergeable_bpe_ranks = lambda *_, **__: ranks
    about = getattr(known, name_of(path))()
    encoding = tiktoken.Encoding(**{**about, "special_tokens": {}, "explicit_n_vocab": None})
    return lambda batch: [encoding.encode_ordinary(text) for text in batch]


def bpe_openai_peer(path):
    import bpe_openai

    encoding = bpe_openai.get_encoding(name_of(path))
    return lambda batch: [encoding.encode_ordinary(text) for text in batch]


def tokenizers_peer(path):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True  # special tokens inside text are text
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
    return lambda batch: [e.ids for e in encode(batch, add_special_tokens=False)]


def sentencepiece_peer(path):
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=path)
    return lambda batch: [model.encode_as_ids(text) for text in batch]


PEERS = {
    ".tiktoken": {"tiktoken": tiktoken_peer, "bpe-openai": bpe_openai_peer},
    ".json": {"tokenizers": tokenizers_peer},
    ".model": {"sentencepiece": sentencepiece_peer},
}


def main():
    vocabulary, text, ids_path = sys.argv[1:4]
    docs, size = documents(text)
    ours = array.array("I", open(ids_path, "rb").read())
    for name, peer in PEERS[os.path.splitext(vocabulary)[1]].items():
        try:
            encode = peer(vocabulary)
        except Exception as cause:  # not installed, or it does not have this vocabulary
            print(f"tokenize.py: {name}: {cause}", file=sys.stderr)
            continue
        encode(docs[:BATCH])
        seconds, at, different = 0.0, 0, 0
        for i in range(0, len(docs), BATCH):
            begin = time.perf_counter()
            batch = encode(docs[i : i + BATCH])
            seconds += time.perf_counter() - begin
            for ids in batch:
                different += ours[at : at + len(ids)].tolist() != ids
                at += len(ids)
        different += at != len(ours)
        print(f"{name}\t{size / seconds / 1e6:.3f}\t{f'{different} differ' if different else 'equal'}")


if __name__ == "__main__":
    main()
