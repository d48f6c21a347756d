/* names.h: "did you mean ...": the known names nearest to a mistyped one. */
#pragma once
#include <stddef.h>

/* Writes "; did you mean 'a', 'b'?" with the up to three nearest of `count` names, those at an edit distance of at
 * most 2 + a third of the length, or that contain `name`; if none is near, "; known: a, b, c, ..." with as many as
 * fit. `out` always ends with a 0 byte; empty if there are no names. */
void lb_names_hint(const char *name, const char *const *names, int count, char *out, size_t out_bytes);
