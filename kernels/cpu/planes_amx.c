/* planes_amx.c: which formats have panels by planes (planes.h). */
#include "planes.h"

#include <string.h>

static const struct { const char *family; const lb_panel *panel; } all[] = {
    { "q4_0", &lb_panel_planes_q4_0 },
    { "q5_0", &lb_panel_planes_q5_0 },
    { "q8_0", &lb_panel_planes_q8_0 },
    { "iq4_nl", &lb_panel_planes_iq4_nl },
};

const lb_panel *lb_planes_panel_of(const lb_tensor *w) {
    if (!w->quantizer || w->dims[w->rank - 1] % 256) return NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(w->quantizer->family->name, all[i].family)) return all[i].panel;
    return NULL;
}
