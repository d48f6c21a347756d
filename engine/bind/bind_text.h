/* bind_text.h: what the JSON and YAML files of the binding share. */
#pragma once
#include "bind.h"

/* Line and column (from 1) of a byte in a text. */
void bind_text_position(const char *text, size_t offset, int *line, int *column);
int bind_yaml_decode(lua_State *L);
int bind_yaml_encode(lua_State *L);
