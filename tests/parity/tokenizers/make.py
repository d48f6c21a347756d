"""make.py: small tokenizers of the families that luabench reads, trained with Hugging Face `tokenizers`, and how it
encodes and decodes a set of texts with them.

    python3 make.py [ROOT]       writes *.json (tokenizers) and expected/*.json here, from texts in this tree

Needs tokenizers and sentencepiece from PyPI (versions in ../README.md). Seeds are fixed; training follows the texts of
the tree at the time, so a new run makes new tokenizers: what counts is that files and expectations come from one run.
"""
import base64, json, random, struct, sys, tempfile
from pathlib import Path
from tokenizers import Tokenizer, AddedToken, Regex, models, trainers, normalizers, pre_tokenizers, decoders, processors

here = Path(__file__).resolve().parent
root = here.parent.parent.parent
VOCAB = 640

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = "|".join([rf"[^\r\n\p{{L}}\p{{N}}]?{UP}*{LOW}+{CONTRACTIONS}?",
                  rf"[^\r\n\p{{L}}\p{{N}}]?{UP}+{LOW}*{CONTRACTIONS}?", r"\p{N}{1,3}",
                  r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = [r"[\r\n]", "".join([r"\s?[",
    r"\x{41}-\x{5A}\x{61}-\x{7A}\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-",
    r"\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}",
    r"\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}",
    r"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-",
    r"\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}",
    r"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}",
    r"\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-",
    r"\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}",
    r"\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}",
    r"\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}",
    r"\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-",
    r"\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}",
    r"\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}",
    "]+"]),
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+", r"\s+$",
    r"[\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+"]

PHRASES = """The quick brown fox jumps over the lazy dog. Tokens are numbers, and numbers are 0123456789.
It's what we've seen: they'll say I'm done, he'd go, DON'T, IT'S, WE'LL.
Größe, naïve café, Ærøskøbing, señor, łódź, žluťoučký kůň, İstanbul, ﬁnal ﬂow.
Привет, мир! Съешь ещё этих мягких французских булок. Δοκιμή με ελληνικά γράμματα. שלום עולם مرحبا بالعالم
你好，世界。これはテストです。カタカナ ひらがな 漢字。안녕하세요 세계. สวัสดีชาวโลก नमस्ते दुनिया
😀😃👍🏽👩‍👩‍👧‍👦🇩🇪🏳️‍🌈 ①②③ Ⅷ ½ ² ³ ٣٤٥ १२३
def f(x, y=1.5e-3):\n\treturn {'a': [x ** 2 for _ in range(10)], \"b\": y != 0 and not x}\n
#include <stdio.h>\nint main(void) { printf(\"%d\\n\", 0xff & ~1); return 0; }\r\n
SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%'; -- comment\n<html><body class=\"x\">&nbsp;</body></html>
https://example.org/a/b?c=d&e=f#g user@example.org 192.168.0.1 2024-12-31T23:59:59Z $1,234.56 50% C++17 a_b-c.d
"""


def texts_to_train():
    texts = [PHRASES] * 3
    for pattern in ("*.md", "lua/**/*.lua", "engine/*.h", "engine/*.md"):
        texts += [p.read_text() for p in sorted(root.glob(pattern))]
    return texts


def texts_to_try():
    texts = ["", " ", "  ", "a", " a", "a ", "   a   b   ", "\n", "\n\n\n", "\r\n", "\t", " \n \n ", "a\n\nb",
             "a  \n  b", "\u00a0x\u3000y\u2003z", "\u180ex \u200b\u200d", "x\u0000y", "\ufeffx", "Hello, world!",
             "hello", " Hello", "1", "12", "123", "1234", "1234567890", "3.14159", "1,000,000", "x1y22z333",
             "IT'S it's It'S 'S 's '", "don't won't can't I'll we've they're he'd I'm", "ſ'ſ 'ſ", "'", "''", "don''t",
             "e\u0301 \u00e9 \u0041\u030a \u212b \u1e9b\u0323 ﬁ ² ½ Å", "İI ıi ẞß ΣσςΑΣ", "Ǆ ǅ ǆ ʰ ˈ ª º",
             "あいう アイウ 漢字 ﾊﾝｶｸ ＦＵＬＬ", "안녕 한국어 \u1112\u1161\u11ab", "ไทย ภาษา नमस्ते वर्ष", "العربية ١٢٣ עברית", "😀",
             "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "a😀b", "🏳️‍🌈!", "①②③ Ⅷ ½ ٣", "𝒳𝓎 𐐀𐐨 𞤀𞤢",
             "foo_bar fooBar FooBAR FOOBar fooBAR123Baz", "camelCaseHTTPServer", "    indented\n\tcode\n        more",
             "a=b==c!=d<=e>=f->g::h//i/*j*/", "http://x.y/z?a=b&c#d", "/usr/local//bin/", "a/b/\n/c", "...!!!???",
             "---===***", "(((([[[{{{<<<", "<s>", "</s>", "<s>a</s>", "a<s>b", " <s> ", "<|begin|>x<|end|>",
             "x <|end|> y", "<|end|><|end|>", "<mask> <mask>x", "a <pad> b", "[X]", "a[X]b [X] c",
             "word wordy [W] [W]x x[W] [W].", "<0x0A>", "<0xE2><0x96>", "▁", "▁a ▁ b", "a▁b", "Ġ Ċ",
             "unk \u2603 \U0001f9ff \U000e0041", "x" * 70, "ab" * 60, " " * 40 + "x", "\n" * 20, "0" * 33, "é" * 30,
             "日本" * 20, "the the the the", "The Quick Brown", "TOKENS tokens Tokens", "\u2028x\u2029y\u0085z",
             "\u00ad\u200e\u202e", "ä̈ a\u0308\u0323", "क्षत्रिय", "\ud7ff\ue000\ufffd", "mixed 漢字and123数字"]
    texts += PHRASES.split("\n") + [PHRASES]
    texts += [p.read_text()[:600] for p in (root / "README.md", root / "engine" / "dtype.h")]
    r = random.Random(7)
    pieces = [" ", "  ", "\n", "\r\n", "\t", "a", "Z", "the", "ing", "'s", "'LL", "9", "42", "٣", "é", "e\u0301", "ß",
              "漢", "あ", "한", "ж", "ع", "😀", "\u200d", "️", "!", "...", "_", "-", "/", "(", "\"", "$", "²", "▁", "<s>",
              "<|end|>", "\u00a0", "\u3000", "ﬁ", "İ", "ก", "ि", "\U0001f1e9", "[X]", "[W]"]
    texts += ["".join(r.choice(pieces) for _ in range(r.randint(1, 24))) for _ in range(120)]
    return [t for t in texts if t.encode("utf-8", "ignore").decode() == t]


def byte_bpe(split, normalizer=None, specials=("<|begin|>", "<|end|>"), bos=None, ignore_merges=False, extra=()):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        t.normalizer = normalizer
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.pre_tokenizer = pre_tokenizers.Sequence(split + [byte_level])
    t.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(texts_to_train(), trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet,
                                                                show_progress=False))
    t.add_special_tokens(list(specials))
    t.add_tokens(list(extra))
    if bos:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, t.token_to_id(bos))])])
    return t


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def gpt2():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(texts_to_train(), trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet,
                                                                show_progress=False))
    t.add_special_tokens(["<s>", AddedToken("<mask>", lstrip=True, rstrip=True, special=True)])
    t.add_tokens([AddedToken("[X]", normalized=True), AddedToken("[W]", single_word=True, rstrip=True,
                                                                 normalized=False)])
    return t


def sentencepiece_bpe(metaspace):
    """Llama-2 (normalizers) or Mistral (Metaspace), with byte fallback."""
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    before = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", False)
    else:
        t.normalizer = before
    # Words end at spaces while it learns, as SentencePiece has it; while it runs they do not.
    learn = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    learn.normalizer = normalizers.Replace(" ", "▁")
    learn.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    learn.train_from_iterator(texts_to_train(), trainers.BpeTrainer(vocab_size=VOCAB + 259, special_tokens=specials,
                                                                    limit_alphabet=150, show_progress=False))
    data, model = json.loads(t.to_str()), json.loads(learn.to_str())["model"]
    model.update({"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"})
    data["model"] = model
    t = Tokenizer.from_str(json.dumps(data))
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1",
                                                     special_tokens=[("<s>", 1)])
    return t


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.StripAccents(), normalizers.Lowercase(),
                                         normalizers.Strip(True, True), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace("▁", "always"), pre_tokenizers.Digits(True),
                                               pre_tokenizers.Punctuation("merged_with_previous")])
    t.decoder = decoders.Metaspace("▁", "always")
    t.train_from_iterator(texts_to_train(), trainers.UnigramTrainer(vocab_size=VOCAB,
                                                                    special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
                                                                    unk_token="<unk>", show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                     special_tokens=[("</s>", 2)])
    return t


def sentencepiece_unigram():
    """A model of SentencePiece itself, with its own table of characters, as converters write it."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as pb
    with tempfile.TemporaryDirectory() as d:
        rules = Path(d) / "rules.tsv"
        pairs = {"ﬁ": "fi", "ﬂ": "fl", "²": "2", "½": "1/2", "é": "e\u0301", "\u00a0": " ", "\u3000": " ", "Å": "A",
                 "A\u030a": "A", "①": "1", "\u200b": "", "ＦＵ": "fu", "Ｆ": "F"}
        rules.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
                                 for a, b in pairs.items()))
        text = Path(d) / "text"
        text.write_text("\n".join(texts_to_train()))
        spm.SentencePieceTrainer.train(input=str(text), model_prefix=d + "/m", vocab_size=VOCAB + 256,
                                       model_type="unigram", byte_fallback=True, normalization_rule_tsv=str(rules),
                                       character_coverage=0.995, max_sentence_length=100000, num_threads=1,
                                       minloglevel=2, hard_vocab_limit=False)
        m = pb.ModelProto()
        m.ParseFromString(Path(d + "/m.model").read_bytes())
    t = Tokenizer(models.Unigram([(p.piece, p.score) for p in m.pieces], 0, True))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap),
                                         normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    return t


def all_tokenizers():
    digits = pre_tokenizers.Digits(individual_digits=True)
    yield "gpt2", gpt2()
    yield "llama2", sentencepiece_bpe(False)
    yield "mistral", sentencepiece_bpe(True)
    yield "llama3", byte_bpe([isolated(LLAMA3)], bos="<|begin|>", ignore_merges=True)
    yield "qwen2", byte_bpe([isolated(QWEN2)], normalizers.NFC(), extra=[AddedToken("[X]", normalized=True)])
    yield "glm4", byte_bpe([isolated(LLAMA3)],
                           extra=[AddedToken("[W]", single_word=True, lstrip=True, normalized=False)])
    yield "deepseek_v2", byte_bpe([isolated(p) for p in DEEPSEEK] + [digits])
    yield "gpt_oss", byte_bpe([isolated(O200K)])
    yield "unigram", unigram()
    yield "sentencepiece_unigram", sentencepiece_unigram()


if __name__ == "__main__":
    (here / "expected").mkdir(exist_ok=True)
    texts = texts_to_try()
    (here / "texts.json").write_text(json.dumps(texts, ensure_ascii=True, indent=0) + "\n")
    r = random.Random(11)
    for name, t in all_tokenizers():
        path = here / f"{name}.json"
        path.write_text(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        t = Tokenizer.from_file(str(path))
        size = t.get_vocab_size()
        expected = {"plain": [t.encode(x, add_special_tokens=False).ids for x in texts],
                    "special": t.encode(texts[18]).ids,
                    "decoded": [t.decode(t.encode(x, add_special_tokens=False).ids, skip_special_tokens=False)
                                for x in texts],
                    "skipped": t.decode(t.encode("<s>a<|end|>b").ids, skip_special_tokens=True)}
        rows = [[r.randrange(size) for _ in range(r.randint(1, 12))] for _ in range(60)]
        expected["random"] = [{"ids": row, "text": t.decode(row, skip_special_tokens=False)} for row in rows]
        # Most decoded texts are the texts: only the others are stored.
        expected["decoded"] = [None if d == x else d for d, x in zip(expected["decoded"], texts)]
        (here / "expected" / f"{name}.json").write_text(json.dumps(expected, ensure_ascii=True, separators=(",", ":"))
                                                        + "\n")
        print(name, size, "tokens")
    # For the fuzz target: each tokenizer with few tokens, and a text.
    corpus = here.parent.parent / "fuzz" / "corpus" / "tokenizer"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in sorted(here.glob("*.json")):
        j = json.loads(path.read_text())
        if path.name == "texts.json":
            continue
        vocab, keep = j["model"]["vocab"], 60
        if isinstance(vocab, list):
            j["model"]["vocab"] = vocab[:keep]
        else:
            j["model"]["vocab"] = {k: v for k, v in vocab.items() if v < 300}
            j["model"]["merges"] = [m for m in j["model"]["merges"]
                                    if all(x in j["model"]["vocab"] for x in (m + ["".join(m)]))][:40]
        text = "It's a 123 \u00e9\u6f22<s> x\n".encode()
        (corpus / path.stem).write_bytes(json.dumps(j, ensure_ascii=False, separators=(",", ":")).encode() + b"\0"
                                         + text)
