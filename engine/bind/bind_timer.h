/* bind_timer.h: options and results of measurements, as Lua tables. */
#pragma once
#include "../measure.h"
#include "bind.h"

/* The options of lb.measure at `index` (nil: the defaults); raises on what is wrong. extra_work stays unset. */
void bind_measure_opts(lua_State *L, int index, lb_measure_opts *o);
/* The field extra_work of the options: nil, a number (of one plan), or a list of one number a plan. Fills `extra`, and
 * returns it, or NULL where there is none. */
const double *bind_extra_work(lua_State *L, int opts, double *extra, size_t count);
/* Pushes a table with the statistics, the samples and their marks. */
void bind_push_samples(lua_State *L, const lb_samples *s);
