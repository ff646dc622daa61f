"""usage: learn.py FOLDER OUTPUT: what `tokenize --learn --vocab-size 32000 FOLDER -o OUTPUT` does, with Hugging Face's
tokenizers; prints MB/s, reading included, and the most MB of memory."""
import glob
import os
import resource
import sys
import time

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def documents(paths):
    for path in paths:
        with open(path, "rb") as f:
            yield f.read().decode(errors="replace")


paths = sorted(glob.glob(sys.argv[1] + "/*"))
start = time.time()
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(documents(paths), trainers.BpeTrainer(
    vocab_size=31999, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tokenizer.add_special_tokens(["<|endoftext|>"])
tokenizer.save(sys.argv[2])
seconds = time.time() - start
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(f"{sum(map(os.path.getsize, paths)) / seconds / 1e6:.3f} {memory / 1e6:.0f}")
