/* tok_gguf.c: tokenizers from the metadata of GGUF files: "gpt2" (byte-level BPE), "llama" (SentencePiece's BPE, by
 * scores), "t5" (unigram). What tokenizer.json says in steps stands there as names; these are the steps that the names
 * mean. */
#include <stdio.h>

#include "../io/file.h"
#include "../io/model_file.h"
#include "parts.h"

/* Types of tokens. */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"

static const char llama3[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" REST;
static const char qwen2[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" REST;
static const char gpt4o[] =
    "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]*[" LOWER "]+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]+[" LOWER
    "]*" CONTRACTIONS "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char tekken[] =
    "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]*[" LOWER "]+|[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]+[" LOWER "]*|\\p{N}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
#define DEEPSEEK_SIGNS "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define CJK "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

/* Letters of alphabets with cases, as DeepSeek's file lists them. */
static const char deepseek_words[] =
    "\\s?["
    "\\x{41}-\\x{5A}\\x{61}-\\x{7A}\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-"
    "\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}"
    "\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-"
    "\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}"
    "\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}"
    "\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-"
    "\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}"
    "\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}"
    "\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}"
    "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-"
    "\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"
    "]+";
static const char deepseek3_words[] =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* Steps by tokenizer.ggml.pre; NULL pattern: that of ByteLevel itself. */
static const struct pre { const char *name; const char *patterns[6]; bool ignore_merges, bos, nfc;
} pres[] = {
    { "gpt-2", { NULL }, false, false, false },
    { "default", { NULL }, false, false, false },
    { "llama-bpe", { llama3 }, true, true, false },
    { "llama3", { llama3 }, true, true, false },
    { "llama-v3", { llama3 }, true, true, false },
    { "qwen2", { qwen2 }, false, false, true },
    { "deepseek-r1-qwen", { qwen2 }, false, false, true },
    { "chatglm-bpe", { llama3 }, false, false, false },
    { "glm4", { llama3 }, false, false, false },
    { "gpt-4o", { gpt4o }, false, false, false },
    { "tekken", { tekken }, true, true, false },
    { "deepseek-llm", { "[\\r\\n]", deepseek_words, DEEPSEEK_SIGNS, "\\s+$", CJK, "\\p{N}" }, false, false, false },
    { "deepseek-coder", { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}" }, false, false, false },
    { "deepseek-v3",
      { "\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{30FF}]+", deepseek3_words },
      false,
      false,
      false },
};

typedef struct reader { const lb_model_file *f; lb_tokenizer *t; lb_span *texts; } reader;

static const lb_meta *meta(const reader *r, const char *key) {
    char full[96];
    snprintf(full, sizeof full, "tokenizer.ggml.%s", key);
    return lb_model_file_meta(r->f, full);
}

static bool is_array(const lb_meta *m, lb_meta_type item) { return m && m->type == LB_META_ARRAY && m->item == item; }

static bool flag(const reader *r, const char *key, bool otherwise) {
    const lb_meta *m = meta(r, key);
    return m && m->type == LB_META_BOOL ? lb_meta_number(m, 0) != 0 : otherwise;
}

static int32_t number(const reader *r, const char *key) {
    const lb_meta *m = meta(r, key);
    double v = m ? lb_meta_number(m, 0) : -1;
    return v >= 0 && v < r->t->size ? (int32_t)v : -1;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static lb_status read_tokens(reader *r) {
    const lb_meta *tokens = meta(r, "tokens"), *scores = meta(r, "scores"), *types = meta(r, "token_type");
    lb_tokenizer *t = r->t;
    uint64_t at = 0, bytes;
    const char *text;
    if (!is_array(tokens, LB_META_STRING) || !tokens->count || tokens->count > INT32_MAX)
        return lb_tokenizer_bad(t, "tokenizer.ggml.tokens is no list of texts");
    if (scores && (!is_array(scores, LB_META_F32) || scores->count != tokens->count))
        return lb_tokenizer_bad(t, "tokenizer.ggml.scores are not one f32 for each token");
    if (types && (!is_array(types, LB_META_I32) || types->count != tokens->count))
        return lb_tokenizer_bad(t, "tokenizer.ggml.token_type is not one i32 for each token");
    if (t->model != LB_MODEL_BPE && !scores) return lb_tokenizer_bad(t, "tokenizer.ggml.scores are missing");
    lb_status s = lb_tokenizer_room(t, (uint32_t)tokens->count);
    t->added = calloc(tokens->count, sizeof *t->added);
    if (!s && !t->added) s = lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", t->name);
    for (uint32_t i = 0; i < t->size && !s; i++) {
        int type = types ? (int)lb_meta_number(types, i) : NORMAL;
        if (!lb_meta_next_string(tokens, &at, &text, &bytes))
            return lb_tokenizer_bad(t, "tokenizer.ggml.tokens ends early");
        char *own = lb_arena_text(&t->arena, text, bytes);
        if (!own) return LB_ENOMEM;
        if ((s = lb_utf8_check("a token", own, bytes))) return lb_fail_in(LB_EIO, "%s: token %u", t->name, i);
        t->tokens[i] = (lb_span){ own, bytes };
        t->scores[i] = scores ? lb_meta_number(scores, i) : 0;
        if (t->scores[i] != t->scores[i]) return lb_tokenizer_bad(t, "the score of token %u is no number", i);
        if (i == 0 || t->scores[i] < t->unk_score) t->unk_score = t->scores[i];
        bool added = type == CONTROL || type == USER_DEFINED || type == UNKNOWN;
        if (type == UNKNOWN && t->unk < 0) t->unk = (int32_t)i;
        if (type == NORMAL || type == USER_DEFINED || type == UNUSED || t->model == LB_MODEL_BPE)
            t->keys[i] = t->tokens[i];
        if (!added || !bytes) continue;
        t->is_special[i] = type != USER_DEFINED;
        t->added[t->added_count++] =
            (lb_added){ .text = t->tokens[i], .id = (int32_t)i, .special = type != USER_DEFINED };
    }
    return s;
}

static lb_status read_merges(reader *r) {
    const lb_meta *m = meta(r, "merges");
    uint64_t at = 0, bytes;
    const char *text;
    if (!is_array(m, LB_META_STRING)) return lb_tokenizer_bad(r->t, "tokenizer.ggml.merges is no list of texts");
    lb_span (*pairs)[2] = calloc(m->count + 1, sizeof *pairs);
    if (!pairs) return lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", r->t->name);
    lb_status s = LB_OK;
    for (uint64_t i = 0; i < m->count && !s && lb_meta_next_string(m, &at, &text, &bytes); i++) {
        /* A part can begin with a space in some files: the separator is the first one after a byte. */
        const char *space = bytes ? memchr(text + 1, ' ', bytes - 1) : NULL;
        if (!space) {
            s = lb_tokenizer_bad(r->t, "merge %llu is not two texts with a space between", (unsigned long long)i);
            break;
        }
        pairs[i][0] = (lb_span){ text, (size_t)(space - text) };
        pairs[i][1] = (lb_span){ space + 1, (size_t)(text + bytes - space - 1) };
    }
    if (!s) s = lb_tokenizer_add_merges(r->t, (const lb_span(*)[2])pairs, m->count);
    free(pairs);
    return s;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static lb_status step(lb_steps *list, lb_step_kind kind, lb_step **out) {
    return (*out = lb_steps_add(list, kind)) ? LB_OK : LB_ENOMEM;
}

static lb_span span(const char *text) { return (lb_span){ text, strlen(text) }; }

static lb_status replace_step(lb_steps *list, const char *from, bool literal, const char *to) {
    lb_step *s;
    lb_status st = step(list, LB_STEP_REPLACE, &s);
    if (st) return st;
    s->text = span(to);
    return lb_pattern_new(from, strlen(from), literal, &s->pattern);
}

static lb_status byte_level_steps(reader *r, bool *bos) {
    const lb_meta *m = meta(r, "pre");
    const struct pre *pre = NULL;
    lb_step *s;
    lb_status st = LB_OK;
    for (size_t i = 0; i < sizeof pres / sizeof *pres && m && m->type == LB_META_STRING; i++)
        if (m->bytes == strlen(pres[i].name) && memcmp(m->data, pres[i].name, m->bytes) == 0) pre = &pres[i];
    if (!m)
        return lb_tokenizer_bad(
            r->t, "tokenizer.ggml.pre, which says how words are divided, is missing: convert the model again");
    if (!pre)
        return lb_fail(LB_EUNSUPPORTED, "%s: words divided as \"%s\" says (tokenizer.ggml.pre): this is not supported",
                       r->t->name, lb_shown((const char *)m->data, m->type == LB_META_STRING ? m->bytes : 0));
    r->t->ignore_merges = pre->ignore_merges;
    *bos = pre->bos;
    if (pre->nfc) st = step(&r->t->normalizers, LB_STEP_NFC, &s);
    for (int i = 0; i < 6 && pre->patterns[i] && !st; i++) {
        if ((st = step(&r->t->splitters, LB_STEP_SPLIT, &s))) break;
        st = lb_pattern_new(pre->patterns[i], strlen(pre->patterns[i]), false, &s->pattern);
    }
    if (!st) st = step(&r->t->splitters, LB_STEP_BYTE_LEVEL, &s);
    if (!st && !pre->patterns[0]) st = lb_byte_level_pattern(s);
    if (!st) s->flag = flag(r, "add_space_prefix", false);
    return st ? st : step(&r->t->decoders, LB_STEP_BYTE_LEVEL, &s);
}

#define METASPACE "\xe2\x96\x81"

static lb_status spm_steps(reader *r) {
    lb_step *s;
    lb_status st = LB_OK;
    bool prefix = flag(r, "add_space_prefix", true);
    r->t->byte_fallback = true;
    if (prefix && !(st = step(&r->t->normalizers, LB_STEP_PREPEND, &s))) s->text = span(METASPACE);
    if (!st) st = replace_step(&r->t->normalizers, " ", true, METASPACE);
    if (!st) st = replace_step(&r->t->decoders, METASPACE, true, " ");
    if (!st) st = step(&r->t->decoders, LB_STEP_BYTE_FALLBACK, &s);
    if (!st) st = step(&r->t->decoders, LB_STEP_FUSE, &s);
    if (!st && prefix && !(st = step(&r->t->decoders, LB_STEP_STRIP, &s))) {
        s->text = span(" ");
        s->start = 1;
    }
    return st;
}

static lb_status unigram_steps(reader *r) {
    const lb_meta *map = meta(r, "precompiled_charsmap");
    lb_step *s;
    lb_status st = LB_OK;
    bool prefix = flag(r, "add_space_prefix", true);
    if (map && map->type == LB_META_ARRAY && (map->item == LB_META_U8 || map->item == LB_META_I8) && map->count) {
        uint32_t size = 0;
        if (map->bytes >= 4) memcpy(&size, map->data, 4);
        if (map->bytes < 8 || size % 4 || size > map->bytes - 4)
            return lb_tokenizer_bad(r->t, "tokenizer.ggml.precompiled_charsmap is no table of SentencePiece's");
        if ((st = step(&r->t->normalizers, LB_STEP_CHARSMAP, &s))) return st;
        s->text = (lb_span){ lb_arena_text(&r->t->arena, map->data, map->bytes), map->bytes };
        if (!s->text.at) return LB_ENOMEM;
    }
    if (flag(r, "remove_extra_whitespaces", false)) {
        if ((st = step(&r->t->normalizers, LB_STEP_STRIP, &s))) return st;
        s->left = s->right = true;
        if ((st = replace_step(&r->t->normalizers, " {2,}", false, " "))) return st;
    }
    if ((st = step(&r->t->splitters, LB_STEP_METASPACE, &s))) return st;
    s->text = span(METASPACE);
    s->flag = true;
    s->prepend = prefix ? LB_PREPEND_ALWAYS : LB_PREPEND_NEVER;
    if ((st = lb_pattern_new(METASPACE, 3, true, &s->pattern)) || (st = step(&r->t->decoders, LB_STEP_METASPACE, &s)))
        return st;
    s->text = span(METASPACE);
    s->prepend = prefix ? LB_PREPEND_ALWAYS : LB_PREPEND_NEVER;
    return LB_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static lb_status put_around(reader *r, bool bos, bool eos) {
    static const char *const keys[5] = { "bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id",
                                         "eot_token_id" };
    lb_tokenizer *t = r->t;
    for (int i = 0; i < 5; i++) t->named[i] = number(r, keys[i]);
    if (t->named[2] >= 0) t->unk = t->named[2];
    t->before = calloc(2, sizeof *t->before);
    t->after = calloc(2, sizeof *t->after);
    if (!t->before || !t->after) return lb_fail(LB_ENOMEM, "not enough memory for the tokenizer of %s", t->name);
    if (flag(r, "add_bos_token", bos) && t->named[0] >= 0) t->before[t->before_count++] = t->named[0];
    if (flag(r, "add_eos_token", eos) && t->named[1] >= 0) t->after[t->after_count++] = t->named[1];
    return LB_OK;
}

static lb_status read_all(reader *r) {
    const lb_meta *model = meta(r, "model");
    lb_tokenizer *t = r->t;
    bool bos = false, eos = false;
    if (!model || model->type != LB_META_STRING)
        return lb_fail(LB_EIO, "%s has no tokenizer (tokenizer.ggml.model)", r->f->path);
    const char *name = (const char *)model->data;
    lb_status s;
    if (model->bytes == 4 && memcmp(name, "gpt2", 4) == 0) {
        t->byte_level = true;
        s = byte_level_steps(r, &bos);
    } else if (model->bytes == 5 && memcmp(name, "llama", 5) == 0) {
        t->model = LB_MODEL_SPM;
        bos = true;
        s = spm_steps(r);
    } else if (model->bytes == 2 && memcmp(name, "t5", 2) == 0) {
        t->model = LB_MODEL_UNIGRAM;
        t->fuse_unk = true;
        eos = true;
        s = unigram_steps(r);
    } else {
        return lb_fail(LB_EUNSUPPORTED, "%s: the tokenizer \"%s\" (tokenizer.ggml.model): this is not supported",
                       r->f->path, lb_shown(name, model->bytes));
    }
    if (!s) s = read_tokens(r);
    if (!s) s = lb_tokenizer_index(t);
    if (!s && t->model == LB_MODEL_BPE) s = read_merges(r);
    if (!s) s = put_around(r, bos, eos);
    return s ? s : lb_tokenizer_add_added(t);
}

lb_status lb_tokenizer_from_gguf(const lb_model_file *f, lb_tokenizer **out) {
    reader r = { .f = f };
    *out = NULL;
    lb_status s = lb_tokenizer_new(f->path, &r.t);
    if (s) return s;
    if ((s = read_all(&r))) lb_tokenizer_free(r.t);
    else *out = r.t;
    return s;
}
