#pragma once
/* A Redis command while it is written, in RESP. Reused from call to call: it allocates only to
 * grow. */
#include "common/slice.h"

struct command {
    char *data; /* COMMAND_HEAD bytes are kept free for the count, which is known last */
    size_t size;
    size_t room;
    uint32_t args;
    bool broken; /* out of memory; command_end tells */
};

/* A zeroed command is an empty one. */
void command_clear(struct command *self);

/* Begins anew; the memory is kept, unless a large command has grown it. */
void command_begin(struct command *self);
void command_arg(struct command *self, struct slice bytes);
void command_text(struct command *self, const char *text);
/* "<id>/<task>", as the functions name a stage. */
void command_stage(struct command *self, struct slice id, struct slice task);
void command_whole(struct command *self, uint64_t whole);
/* The whole command, borrowed until the next call; {NULL, 0} when memory ran out. */
struct slice command_end(struct command *self);
