"""Make lib/text/unicode_ranges.h: letters (L*), numbers (N*) and White_Space of Unicode 16.0.

    pip install unicodedata2==16.0.0
    python unicode.py > lib/text/unicode_ranges.h

The version is pinned, so that ids depend neither on the machine nor on the date; it is the one that Hugging
Face tokenizers 0.23 has. Code points that were unassigned then stay "other".
"""
import unicodedata2 as unicode

assert unicode.unidata_version == "16.0.0"


def kind(c):
    category = unicode.category(chr(c))
    if category[0] == "L":
        return "LETTER"
    if category[0] == "N":
        return "NUMBER"
    if category[0] == "Z" or c in (9, 10, 11, 12, 13, 0x85):
        return "SPACE"
    return None


ranges = []
for c in range(0x110000):
    k = kind(c)
    if k is None:
        continue
    if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == k:
        ranges[-1][1] = c
    else:
        ranges.append([c, c, k])

print("// Letters, numbers and white space of Unicode 16.0 as ranges {first, last, class}, ascending.")
print("// Written by test/golden/tokenizer/unicode.py; included by split.c alone.")
print("// clang-format off")
line = ""
for first, last, k in ranges:
    item = "{0x%x, 0x%x, %s}," % (first, last, k[0])
    if len(line) + 1 + len(item) > 108:
        print(line)
        line = ""
    line += (" " if line else "") + item
print(line)
