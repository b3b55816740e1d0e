#pragma once
/* The names by which one request is found again, here and at others. Pure but for the dice. */
#include <stdbool.h>

enum { TRACE_ID_SIZE = 129, TRACE_PARENT_SIZE = 56 };

struct trace {
    char id[TRACE_ID_SIZE];
    char parent[TRACE_PARENT_SIZE]; /* W3C traceparent */
};

/* 1..128 letters, digits and . _ - : */
bool trace_id_sane(const char *id);
/* 00-<32 hex>-<16 hex>-<2 hex>, lower case, neither of the first two all 0. */
bool trace_parent_sane(const char *parent);
/* id and parent as sent, NULL when not; what is not sane is made anew. */
void trace_fill(struct trace *self, const char *id, const char *parent);
