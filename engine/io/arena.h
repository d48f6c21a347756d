/* arena.h: memory that is taken in pieces and freed at once: names and texts of a file that is read. */
#pragma once
#include <stddef.h>

typedef struct lb_arena { struct lb_arena_chunk *last; } lb_arena;   /* all zero = empty */

/* 8-byte aligned, contents undefined; NULL, with the error text set, if there is no memory. */
void *lb_arena_take(lb_arena *a, size_t bytes);
/* A NUL-terminated copy. */
char *lb_arena_text(lb_arena *a, const void *text, size_t bytes);
void lb_arena_done(lb_arena *a);
