#pragma once
/* What a callback says, and when it is said again. Pure. */
#include "common/slice.h"
#include "proto/gantry.h"

#include <jansson.h>

/* A delivery's input, borrowed. */
struct callback_input {
    struct slice task_id;
    struct slice task;
    struct slice url;
    struct slice status; /* "completed" or "failed": of the run that it is about */
    struct slice reuse;  /* "hit", or "miss": the run's own */
    bool owned;
};

/* Of the node's inputs, a map with its defaults. 0; STATUS_INVALID, with the name of what is wrong
 * in ret_field. */
int callback_input_read(struct slice map, struct callback_input *ret_input, const char **ret_field);

struct callback_body_row {
    const struct callback_input *input;
    const gantry_record_t *record;
    bool only_task;    /* of all stages only the one asked for */
    bool always_reuse; /* reuse_info also of what is no hit */
    uint64_t now_ms;   /* wall clock */
};

/* The body as Python's json.dumps() lays it out; the caller's to free. 0, STATUS_TOO_LARGE or
 * -ENOMEM. */
int callback_body(const struct callback_body_row *row, char **ret_text, size_t *ret_size);

/* "t=1769828400,v1=" and the HMAC-SHA256 of "1769828400." and the body, in hex. False when out of
 * memory. */
enum { CALLBACK_SIGNATURE = 128 };
bool callback_sign(const char *secret, int64_t now_s, struct slice body,
                   char text[CALLBACK_SIGNATURE]);

/* Seconds or a date, as milliseconds from now on, one hour at most; -1: it is neither. */
int64_t callback_retry_after_ms(const char *value, int64_t now_ms);
/* The wait after so many failures before this one: first_ms doubled each time, a day at most, and
 * up to a fifth of it more. luck: 0..1. */
int64_t callback_backoff_ms(int64_t first_ms, uint32_t failures, double luck);
