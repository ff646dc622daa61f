"""Make lib/text/unicode_classes.h: the classes of all code points that the patterns of lib/text/split.c tell apart.

    pip install tokenizers==0.23.3 tiktoken==0.14.0
    python unicode.py > lib/text/unicode_classes.h

They are asked of the original libraries themselves, so that words depend neither on the machine nor on the date:
Hugging Face's (Oniguruma) and tiktoken's (Rust's regex) know the same release, Unicode 16.0. The splitter Digits
of tokenizers alone goes by a newer one, Unicode 17.0: its new numbers are a class of their own.
"""
import tiktoken
from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, Split

OTHER, MARK, UPPER, LOWER, LETTER, NUMBER, SPACE, NEWLINE, NEW_DIGIT = range(9)
BLOCK = 64  # code points: what the last byte of UTF-8 tells apart
END = 0x32400  # from here on all are "other", but for the marks in VARIATIONS
VARIATIONS = range(0xE0100, 0xE01F0)

points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
text = "".join(map(chr, points))


def matched_by_tokenizers(expression):
    """What is left out is what another splitter that removes the matches leaves."""
    left = set()
    for i in range(0, len(text), 5000):
        for piece, _ in Split(Regex(expression), "removed").pre_tokenize_str(text[i : i + 5000]):
            left.update(piece)
    return {c for c in points if chr(c) not in left}


def matched_by_tiktoken(expression):
    """Text that the pattern does not match has no tokens at all."""
    single_bytes = {bytes([b]): b for b in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=expression, mergeable_ranks=single_bytes, special_tokens={})
    return set(map(ord, encoding.decode(encoding.encode_ordinary(text))))


def matched(expression):
    result = matched_by_tokenizers(expression)
    assert result == matched_by_tiktoken(expression), expression
    return result


def digits():
    """Of characters behind letters, each a piece of its own where it is a digit."""
    result = set()
    for i in range(0, len(points), 5000):
        some = text[i : i + 5000]
        for piece, (begin, end) in Digits(individual_digits=True).pre_tokenize_str("a".join(some) + "a"):
            if end == begin + 1 and begin % 2 == 0:
                result.add(ord(piece))
    return result


kinds = {
    MARK: matched(r"\p{M}"),
    UPPER: matched(r"[\p{Lu}\p{Lt}]"),
    LOWER: matched(r"\p{Ll}"),
    LETTER: matched(r"[\p{Lm}\p{Lo}]"),
    NUMBER: matched(r"\p{N}"),
    SPACE: matched(r"\s") - {10, 13},
    NEWLINE: matched(r"[\r\n]"),
}
assert kinds[UPPER] | kinds[LOWER] | kinds[LETTER] == matched(r"\p{L}")
kinds[NEW_DIGIT] = digits() - kinds[NUMBER]
assert digits() > kinds[NUMBER]
class_of = {}
for kind, members in kinds.items():
    for c in members:
        assert c not in class_of, hex(c)
        class_of[c] = kind
assert {c for c in class_of if c >= END} == set(VARIATIONS) and all(class_of[c] == MARK for c in VARIATIONS)

blocks, index = {}, []
for first in range(0, END, BLOCK):
    row = "".join(str(class_of.get(c, OTHER)) for c in range(first, first + BLOCK))
    index.append(blocks.setdefault(row, len(blocks)))
print("// Classes of code points in Unicode 16.0, by blocks of 64: class_blocks[class_index[c / 64]][c % 64], for c <")
print("// CLASS_END; behind it all are other, but for the marks from U+%04X to U+%04X." % (VARIATIONS[0], VARIATIONS[-1]))
print("// Digits: 0 other, 1 mark (M*), 2 upper or title case letter (Lu, Lt), 3 lower case letter (Ll), 4 letter")
print("// without case (Lm, Lo), 5 number (N*), 6 white space, 7 line feed or carriage return, 8 other that is a")
print("// number in Unicode 17.0.")
print("// Written by test/golden/tokenizer/unicode.py from Hugging Face tokenizers 0.23 and tiktoken 0.14.")
print("// clang-format off")
print("enum { CLASS_END = 0x%x };" % END)
ascii_classes = "".join(str(class_of.get(c, OTHER)) for c in range(128))
print('static const char class_ascii[129] = "%s"\n    "%s";' % (ascii_classes[:64], ascii_classes[64:]))
print("static const char class_blocks[][65] = {")
for row in blocks:
    print('"%s",' % row)
print("};")
print("static const uint16_t class_index[CLASS_END / 64] = {")
line = ""
for i in index:
    item = "%d," % i
    if len(line) + len(item) > 108:
        print(line)
        line = ""
    line += item
print(line)
print("};")
