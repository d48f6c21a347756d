/* tokenizer.h: text to token numbers and back, as Hugging Face `tokenizers` does it, from tokenizer.json or the
 * metadata of a GGUF file: byte-level BPE, and SentencePiece's BPE and unigram models.
 *
 * Text goes through these steps: added tokens are cut out; the rest is normalized, cut into words (regular
 * expressions), and each word is divided by the model; special tokens are put around it all. What a file asks for and
 * this program does not know is LB_EUNSUPPORTED, named; nothing is left out silently. Texts are UTF-8; others are
 * LB_EINVAL, with the place. A tokenizer does not change: any number of threads may use it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../status.h"

typedef struct lb_tokenizer lb_tokenizer;
struct lb_model_file;

/* From the text of a tokenizer.json; `name` is for messages. */
lb_status lb_tokenizer_from_json(const char *name, const char *text, size_t bytes, lb_tokenizer **out);
/* From tokenizer.ggml.* of a GGUF file, which need not stay open. */
lb_status lb_tokenizer_from_gguf(const struct lb_model_file *f, lb_tokenizer **out);
void lb_tokenizer_free(lb_tokenizer *t);

const char *lb_tokenizer_model(const lb_tokenizer *t); /* "bpe", "byte-level bpe", "unigram", "sentencepiece bpe" */
/* The least number above all token numbers. */
int64_t lb_tokenizer_size(const lb_tokenizer *t);
/* The token's text as the file writes it ("Ġthe"); NULL = there is no such number. */
const char *lb_tokenizer_token(const lb_tokenizer *t, int64_t id, size_t *bytes);
/* -1 = no such token. */
int64_t lb_tokenizer_id(const lb_tokenizer *t, const char *token, size_t bytes);
/* Is it an added token that decoding can leave out? */
bool lb_tokenizer_is_special(const lb_tokenizer *t, int64_t id);
/* What kind of token it is: "normal"; "special" or "added" (looked for in the text before it is divided; special ones
 * can be left out of decodings); "byte" (<0x0A>, for what has no token); "unknown". NULL = there is no such number. */
const char *lb_tokenizer_kind(const lb_tokenizer *t, int64_t id);
/* The score that unigram models and SentencePiece's BPE in GGUF give to a token; 0 for others. */
double lb_tokenizer_score(const lb_tokenizer *t, int64_t id);
/* BPE's merges in the order of their ranks, pairs of token numbers: *pairs is malloc'd, NULL where there are none. */
typedef struct lb_token_pair { uint32_t left, right; } lb_token_pair;
lb_status lb_tokenizer_merges(const lb_tokenizer *t, lb_token_pair **pairs, size_t *count);
/* From GGUF metadata; -1 = unknown. `which`: "bos", "eos", "unk", "pad", "eot". */
int64_t lb_tokenizer_special(const lb_tokenizer *t, const char *which);

/* *ids is malloc'd. `special`: with the tokens that the file puts around a text (<s>, ...). */
lb_status lb_tokenizer_encode(const lb_tokenizer *t, const char *text, size_t bytes, bool special, int32_t **ids,
                              size_t *count);
/* *text is malloc'd and terminated; bytes that are no UTF-8 become U+FFFD. `skip_special`: without special tokens. */
lb_status lb_tokenizer_decode(const lb_tokenizer *t, const int32_t *ids, size_t count, bool skip_special, char **text,
                              size_t *bytes);

/* Text as it grows, a token at a time: a character is given when all its bytes are there. The concatenation of all
 * pieces is the decoding of all tokens. */
typedef struct lb_text_stream lb_text_stream;
lb_status lb_text_stream_new(const lb_tokenizer *t, bool skip_special, lb_text_stream **out);   /* t must outlive it */
/* The text that token `id` completes; "" if there is none yet. Owned by the stream until the next call. */
lb_status lb_text_stream_add(lb_text_stream *s, int32_t id, const char **text, size_t *bytes);
/* What is left: incomplete characters as U+FFFD. */
lb_status lb_text_stream_finish(lb_text_stream *s, const char **text, size_t *bytes);
void lb_text_stream_free(lb_text_stream *s);
