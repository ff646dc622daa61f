"""Make the tokenizer's golden files with Hugging Face tokenizers 0.23 (pip install tokenizers==0.23.*).

    cd test/golden/tokenizer && python make.py

train.txt, documents.txt   our own text (below), documents separated by NUL
tokenizer.json             BpeTrainer's vocabulary of 600 for train.txt, end-of-text last: what
                           `tokenize --learn --vocab-size 600 --separator '\\0' train.txt` must write, byte for byte
ids.txt                    ids of documents.txt under tokenizer.json, one document per line
foreign.json, foreign.ids  the same documents under a vocabulary that no trainer made: end-of-text first and also
                           in model.vocab, shuffled ids, merges as "left right" and in an order where later merges
                           make what earlier ones need, several merges for one token
"""
import json
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"

TRAIN = [
    "The river carries the sand, and the sand carries the river's shape to the sea. It doesn't hurry; it isn't late.",
    "She'll write when they've arrived. I'm sure we'd know; you're not the only one who can't sleep, are you?",
    "for (int i = 0; i < n; i++) {\n    sum += value[i] * weight[i];\n    if (sum > limit)\n        return sum;\n}\n",
    "Der Müller mahlt das Mehl für die größte Straße der Stadt, und die Straße führt über die Brücke.",
    "L'été dernier, où étais-tu ? J'étais à la forêt, près du château, là où les chênes sont âgés.",
    "Река течёт к морю, и море помнит реку. Снег лежит на крышах, а весна ещё далеко.",
    "Το ποτάμι κυλά προς τη θάλασσα και η θάλασσα θυμάται το ποτάμι.",
    "النهر يجري إلى البحر، والبحر يتذكر النهر. في عام ١٩٩٩ كان الماء عاليا.",
    "נהר זורם אל הים, והים זוכר את הנהר.",
    "नदी समुद्र की ओर बहती है, और समुद्र नदी को याद रखता है। वर्ष २०२४ में पानी ऊँचा था।",
    "แม่น้ำไหลไปสู่ทะเล และทะเลจำแม่น้ำได้",
    "河流向大海，大海记得河流。山在远方，云在山上。",
    "川は海へ流れ、海は川を覚えている。カタカナとひらがなと漢字。",
    "강은 바다로 흐르고, 바다는 강을 기억한다. 산은 멀리 있다.",
    "one  two   three    four\n\n\nfive\t\tsix \r\n seven\n  eight\n",
    "0 1 22 333 4444 55555 3.14159 1,000,000 0x7fff 2024-11-22 10:30",
    "🙂🙃 👩‍👩‍👧 🏳️‍🌈 ❤️ — “quoted” … ¿qué? ¡sí!",
]

DOCUMENTS = TRAIN + [
    "I'm you're he's it'd we'll they've don't I'M YOU'RE HE'S 'tis 'twas o'clock rock'n'roll ''s '' ' 's' 'll",
    " 's 're 've  'm don 't x'sy'trez 'ſ '\u00a0s",
    "a b  c   d    e \tf\t g\n h \n i\r\nj\r\n\r\nk   ",
    "   leading and trailing   ",
    " ",
    "\n",
    "\n\n \n",
    "\u00a0nbsp\u00a0\u00a0two\u2003em\u3000ideographic\u2028line\u2029para\u0085nel\u1680ogham\u205f.\u202f!\u200bzwsp\ufeffbom",
    "x\u001cy\u001dz\u001e\u001f\u000b\u000c\u0001\u007f\u0080\u009f",
    "١٢٣ ۴۵۶ २३४ ๑๒๓ 一二三 Ⅷ ⅷ ½ ² ³x² ①② 𝟘𝟙 \u0bf0 \u3021",
    "e\u0301 n\u0303o a\u0308\u0304 \u0301alone \u093f\u0902 ก็ ﷺ ﬁ ǅ ʰ ª º",
    "naïve café — Ångström; Łódź, İstanbul, ßß ẞ, œuvre, Þór, Đurđevac",
    "Ђорђе и Ћирило; Їжак, Ґанок; Әлем, Өзен",
    "ἀρχὴ ἥμισυ παντός· Ὦ ξεῖν’",
    "العَرَبِيَّةُ ٱللُّغَة، پچگژ ۔",
    "ক খ গ, தமிழ் மொழி, తెలుగు, ಕನ್ನಡ, മലയാളം, ગુજરાતી, ਪੰਜਾਬੀ, සිංහල",
    "ქართული ენა, Հայերեն, አማርኛ, ខ្មែរ, မြန်မာ, བོད་ཡིག, ᠮᠣᠩᠭᠣᠯ",
    "中文，混合English和数字123与符号！？「引用」『書名』々〆ヶ〇",
    "ｆｕｌｌｗｉｄｔｈ　１２３　ﾊﾝｶｸ ゛゜ー・",
    "한글 ㄱㄴㄷ ㅏㅑ 조합: \u1112\u1161\u11ab",
    "\U00020000\U0002a6df \U00030000 \U0001f468\u200d\U0001f4bb \U0001f1e9\U0001f1ea 👍🏽 ☃ ☃\ufe0f ⌘ € ₿ ∑∫√ ≠ → ⟨x⟩",
    # Letters and digits that came with Unicode 15.1 and 16.0, an unassigned and two private code points.
    "\u1c89\u1c8a \ua7da\ua7dc \U000105c0 \U00010d4a\U00010d40 \U0002ebf0 \U0001ccf0 \u0378 \ue000 \U0010ffff",
    "#include <stdio.h>\nint main(void) {\n\tprintf(\"%d\\n\", 42);\n\treturn 0;\n}\n",
    "def f(x):\n    return {k: v**2 for k, v in x.items() if v != None}  # comment\n\n\n\nclass A: pass",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org C:\\dir\\file.txt ~/.bashrc $HOME/bin:$PATH",
    "{\"key\": [1, 2.5e-3, null, true], \"text\": \"a\\u00e9\"}\n<p class=\"x\">a &amp; b</p>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "========----------........________        \t\t\t\t\t\t\n\n\n\n\n\n!!!???",
    "Pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft",
    "the theriver thesand  theThe THE the\nthe\tthe'the's",
]


def learn(documents, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.add_special_tokens([END])
    return tokenizer


def make_foreign(learned):
    """Random merges over frequent characters: any two tokens may join, ranks shuffled."""
    rng = random.Random(7)
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    common = list("etaoinshrdl") + ["Ġ", "Ð", "Ñ", "Ã", "ä", "¸", "ã", "à"]
    known, pairs, joined = set(tokens), set(), []
    while len(pairs) < 700:
        pool = common if len(pairs) < 150 else common + joined
        left, right = rng.choice(pool), rng.choice(pool)
        if len(left + right) > 6:
            continue
        pairs.add((left, right))
        if left + right not in known:
            known.add(left + right)
            joined.append(left + right)
    merges = sorted(pairs)
    rng.shuffle(merges)
    ids = tokens + joined
    rng.shuffle(ids)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": 0, "special": True, "content": END, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False}
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "vocab": {t: i for i, t in enumerate([END] + ids)},
            "merges": [left + " " + right for left, right in merges],
        },
    }


def write_ids(path, tokenizer):
    with open(path, "w") as f:
        for document in DOCUMENTS:
            f.write(" ".join(map(str, tokenizer.encode(document).ids)) + "\n")


for name, documents in (("train.txt", TRAIN), ("documents.txt", DOCUMENTS)):
    with open(name, "wb") as f:
        f.write(b"\0".join(d.encode() for d in documents))
tokenizer = learn(TRAIN, 600)
tokenizer.save("tokenizer.json")
write_ids("ids.txt", tokenizer)
with open("foreign.json", "w") as f:
    json.dump(make_foreign(tokenizer), f, ensure_ascii=False, indent=0)
write_ids("foreign.ids", Tokenizer.from_file("foreign.json"))
