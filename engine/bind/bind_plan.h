/* bind_plan.h: what the files of the plan's binding share. */
#pragma once
#include "../check.h"
#include "../measure.h"
#include "bind.h"

extern const luaL_Reg bind_plan_info_methods[];
int bind_plan_tostring(lua_State *L);
/* A check's result as a table. */
void bind_push_check(lua_State *L, const lb_check *c);
