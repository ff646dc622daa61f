"""Make lib/text/nfc_tables.h: what NFC goes by, asked of Hugging Face's normalizers.

    pip install tokenizers==0.23.3
    python normalization.py > lib/text/nfc_tables.h

Their release of Unicode is 12.1, older than their regular expressions': marks and composed characters of later
releases are none. Combining classes are numbered in their order. Python's own table (of 14.0 or later) says which
to expect, and each is checked against what the normalizer does to marks in both orders.
"""
import unicodedata

from tokenizers.normalizers import NFC, NFD

BLOCK = 64
HANGUL = range(0xAC00, 0xAC00 + 11172)

nfc, nfd = NFC().normalize_str, NFD().normalize_str
points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# ---- combining classes ----
LAST, BEFORE_LAST = "\u0345", "\u035d"  # classes 240 and 234
assert unicodedata.combining(LAST) == 240 and unicodedata.combining(BEFORE_LAST) == 234
marks = {}
for c in points:
    x = chr(c)
    if c == ord(LAST) or nfd("a" + LAST + x) != "a" + LAST + nfd(x):
        if len(nfd(x)) == 1:
            marks[c] = unicodedata.combining(x)
            assert marks[c] > 0
classes = sorted(set(marks.values()))
rank = {c: classes.index(k) + 1 for c, k in marks.items()}
some_of = {}
for c, k in sorted(marks.items()):
    some_of.setdefault(k, c)
for c, k in marks.items():
    for other, m in some_of.items():
        x, y = nfd(chr(c)), nfd(chr(m))
        assert nfd("a" + x + y) == "a" + (y + x if other < k else x + y), (hex(c), hex(m))
        assert nfd("a" + y + x) == "a" + (x + y if other > k else y + x), (hex(c), hex(m))

# ---- decompositions, and the pairs that they come from ----
whole = {c: nfd(chr(c)) for c in points if c not in HANGUL and nfd(chr(c)) != chr(c)}
pairs = {}
for c, parts in whole.items():
    if len(parts) > 1 and nfc(chr(c)) == chr(c):
        first = nfc(parts[:-1])
        assert len(first) == 1 and nfc(first + parts[-1]) == chr(c)
        pairs[ord(first), ord(parts[-1])] = c

# ---- which characters can be other in NFC than they stand there: they change, or join the one before ----
unsure = {c for c in points if nfc(chr(c)) != chr(c)} | {second for _, second in pairs}
unsure |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
value = {c: 2 * rank.get(c, 0) + (c in unsure) for c in points}
for c in points:
    if value[c] == 0:
        assert value[ord(nfd(chr(c))[0])] == 0 and nfc("a" + chr(c)) == "a" + chr(c)

END = (max(c for c in points if value[c]) // BLOCK + 1) * BLOCK
blocks, index = {}, []
for first in range(0, END, BLOCK):
    index.append(blocks.setdefault(tuple(value.get(c, 0) for c in range(first, first + BLOCK)), len(blocks)))


def print_items(items):
    line = ""
    for item in items:
        if len(line) + len(item) > 112:
            print(line)
            line = ""
        line += item
    print(line)


print("// NFC in Unicode 12.1. nfc_blocks[nfc_index[c / 64]][c % 64], for c < NFC_END (behind it all are 0): twice the")
print("// rank of the combining class (0: none, it is a starter), plus 1 where NFC may change the character or join it")
print("// to the one before. Hangul syllables are not in the lists.")
print("// Written by test/golden/tokenizer/normalization.py from Hugging Face tokenizers 0.23.")
print("// clang-format off")
print("enum { NFC_END = 0x%x };" % END)
print("static const uint8_t nfc_blocks[][64] = {")
for row in blocks:
    print("{", end="")
    print_items(["%d," % v for v in row])
    print("},")
print("};")
print("static const uint8_t nfc_index[NFC_END / 64] = {")
assert len(blocks) <= 256
print_items(["%d," % i for i in index])
print("};")
print("// By code point: what it is decomposed into, wholly.")
print("static const struct nfc_whole {")
print("    uint32_t whole, parts[4];")
print("} nfc_wholes[] = {")
assert max(map(len, whole.values())) <= 4
print_items(["{%d,{%s}}," % (c, ",".join(str(ord(p)) for p in parts)) for c, parts in sorted(whole.items())])
print("};")
print("// By first and second: what they are composed to.")
print("static const struct nfc_pair {")
print("    uint32_t first, second, whole;")
print("} nfc_pairs[] = {")
print_items(["{%d,%d,%d}," % (*pair, c) for pair, c in sorted(pairs.items())])
print("};")
