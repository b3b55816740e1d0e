#pragma once
/* References to what another stage of the task wrote, as they stand in the texts of inputs:
 * ${{ stages.SERVICE.METHOD.output.NAME }}, where NAME may be a path into the output such as
 * segments.0.text. Knows no records. Values are checked ones. */
#include "proto/codec.h"
#include "proto/schema.h"
#include "services/state/refusal.h"

enum { REFERENCES_MAX = 64 }; /* of one stage: each goes through an output */

/* Borrowed from its text. */
struct reference {
    struct slice task; /* the stage: SERVICE.METHOD */
    struct slice path; /* names and places in lists, a dot between */
    size_t from, to;   /* where it stands, with its braces */
};

/* The first one at or behind a place of the text. 0; STATUS_EMPTY: there is none; STATUS_INVALID:
 * what stands in the braces is no reference, told in why. */
int reference_next(struct slice text, size_t from, struct reference *ret_reference,
                   struct refusal *why);
/* False: nothing in the value begins one, as in most. */
bool reference_possible(struct slice value);
/* All that begin in the value's texts are references, and no more than there may be: *count adds up
 * over the values of an input map. 0 or STATUS_INVALID. */
int reference_check(struct slice value, uint32_t *count, struct refusal *why);
/* The value is a text that is one reference and nothing else: it may come to be of any type. */
bool reference_whole(struct slice value);

/* So much of a text as a sentence has room for. */
struct slice reference_shown(struct slice text);
/* What a path leads to in an output, which may be empty. */
bool reference_find(struct slice path, struct slice output, struct slice *ret_value);

/* A value's parts, one after the other: each a value without others in it, the head of a list or
 * map, or a key. */
struct value_parts {
    struct reader reader;
    uint64_t open[WIRE_DEPTH_MAX + 1]; /* still to come, a level each */
    bool map[WIRE_DEPTH_MAX + 1];
    unsigned depth;
};

struct value_part {
    struct slice bytes;
    struct slice text; /* of a value that is one and no key */
};

struct value_parts value_parts_of(struct slice value);
/* False at the end. */
bool value_parts_next(struct value_parts *self, struct value_part *ret_part);
