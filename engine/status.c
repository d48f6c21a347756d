/* status.c: the error text of each thread. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 1024 };
static _Thread_local char error_text[TEXT_BYTES];

/* Leaves "..." where a text was cut, without splitting a UTF-8 sequence. */
static void mark_cut(char *text, int length) {
    if (length < TEXT_BYTES) return;
    size_t at = TEXT_BYTES - 4;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    memcpy(text + at, "...", 4);
}

lb_status lb_fail(lb_status code, const char *fmt, ...) {
    char text[TEXT_BYTES]; /* the arguments may point into error_text */
    va_list ap;
    va_start(ap, fmt);
    int length = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (length < 0) length = 0, text[0] = 0;
    mark_cut(text, length);
    memcpy(error_text, text, sizeof text);
    return code;
}

lb_status lb_fail_in(lb_status code, const char *fmt, ...) {
    char text[TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int length = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (length < 0) length = 0, text[0] = 0;
    if (length < TEXT_BYTES)
        length += snprintf(text + length, sizeof text - (size_t)length, ": %s", error_text);
    mark_cut(text, length);
    memcpy(error_text, text, sizeof text);
    return code;
}

const char *lb_error(void) { return error_text; }

const char *lb_status_name(lb_status s) {
    switch (s) {
    case LB_OK: return "ok";
    case LB_EINVAL: return "invalid argument";
    case LB_EUNSUPPORTED: return "unsupported";
    case LB_ENOMEM: return "out of memory";
    case LB_EIO: return "input/output error";
    case LB_ECLOSED: return "closed";
    case LB_EDEVICE: return "device error";
    case LB_EINTERRUPTED: return "interrupted";
    case LB_EINTERNAL: return "internal error";
    }
    return "unknown status";
}
