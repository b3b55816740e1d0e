#pragma once
/* What an engine says on its descriptor: msgpack maps, one after another, of which the last is its
 * result. Bounded and checked; knows no process. docs/nodes.md, "Engines", has the words. */
#include "common/slice.h"

enum {
    MESSAGES_OUTPUT_MAX = 1 << 20, /* bytes of one message */
    MESSAGES_DEPTH_SPARE = 4       /* how deep an output lies in the messages that carry it on */
};

enum messages_result {
    MESSAGES_NONE,
    MESSAGES_OUTPUT,
    MESSAGES_SKIPPED,
    MESSAGES_ERROR,
    MESSAGES_RETRY,
    MESSAGES_SNOOZE
};

struct messages {
    char *bytes; /* what came and is not done with: at last the result */
    size_t size;
    size_t room;
    double progress;
    enum messages_result result;
    struct slice output;  /* map, of OUTPUT and SKIPPED */
    struct slice files;   /* array, of OUTPUT; may be empty */
    struct slice code;    /* of ERROR, as the next two; texts */
    struct slice message; /* of RETRY too */
    struct slice field;
    int64_t after_ms;        /* of RETRY (-1: it did not say) and SNOOZE */
    struct slice checkpoint; /* the last one, or empty */
};

/* A zeroed one is empty. Slices end with it. */
void messages_clear(struct messages *self);

/* Takes the next bytes; what follows a result is passed over. 0; STATUS_TOO_LARGE: a message, or a
 * checkpoint; STATUS_MALFORMED: not a map, or none of the words, or nested too deep; -ENOMEM. After
 * any but 0 it takes nothing more. */
int messages_read(struct messages *self, struct slice bytes);

/* Nothing more comes. 0, or STATUS_MALFORMED when a message is left half said. */
int messages_end(const struct messages *self);
