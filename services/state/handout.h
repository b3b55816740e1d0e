#pragma once
/* Handouts as gantry_claim answers them, and the final inputs of those that refer to others. */
#include "services/state/record.h"
#include "services/state/state.h"

#include <hiredis/hiredis.h>

enum {
    HANDOUT_RANDOM = 8, /* bytes of a lease token that all of a claim share */
    HANDOUT_HEAD = 2,   /* of a reply: whether there is more; the tokens' random bytes */
    HANDOUT_FIELDS = 3  /* stage, body, rest */
};

/* Borrowed from the reply. */
struct handed {
    struct slice stage, body, rest;
    const redisReply *others; /* with the rest before them; NULL: it refers to none */
    uint8_t token[WIRE_LEASE_TOKEN_SIZE];
};

/* The reply has the shape of an answer, of ITEMS_MAX handouts at most. */
bool handed_are(const redisReply *reply);
size_t handed_count(const redisReply *reply);
struct handed handed_at(const redisReply *reply, size_t i);
/* The task's id, and the stage's name. */
struct slice handed_id(const struct handed *self, struct slice *ret_task);

/* What the rest says: the counters, and a checkpoint. */
void handed_rest(struct slice rest, struct m_handout *handout);

enum fate {
    FATE_TOLD,  /* to the worker */
    FATE_BACK,  /* to the head of its queue: nobody could be told now */
    FATE_LATER, /* what it refers to has not ended: once more in a while */
    FATE_FAILED /* told in why */
};

/* Replaces input by the final one, which is in the buffer, where there was nothing. most: bytes of
 * it. The others are there. */
enum fate handed_resolve(const struct handed *self, state_t *state, size_t most,
                         struct slice *input, msgpack_sbuffer *to, struct refusal *why);
