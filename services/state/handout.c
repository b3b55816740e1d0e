#include "services/state/handout.h"

#include "common/status.h"
#include "services/state/reply.h"

#include <stdlib.h>

enum {
    FIRST_ATTEMPT = 1,  /* what a handout without a rest is */
    COUNTERS_SIZE = 20, /* the rest begins with: generation, attempt, failures, crashes */
    OTHER_FIELDS = 2    /* name, packed state; behind the rest */
};

size_t handed_count(const redisReply *reply)
{
    return (reply->elements - HANDOUT_HEAD) / HANDOUT_FIELDS;
}

bool handed_are(const redisReply *reply)
{
    return reply_has(reply, HANDOUT_HEAD) &&
           (reply->elements - HANDOUT_HEAD) % HANDOUT_FIELDS == 0 &&
           handed_count(reply) <= ITEMS_MAX && reply_text(reply->element[1]).size == HANDOUT_RANDOM;
}

struct handed handed_at(const redisReply *reply, size_t i)
{
    redisReply *const *fields = reply->element + HANDOUT_HEAD + i * HANDOUT_FIELDS;
    const struct slice random = reply_text(reply->element[1]);
    struct handed it = { .stage = reply_text(fields[0]),
                         .body = reply_text(fields[1]),
                         .rest = reply_text(fields[2]) };
    if (fields[2]->type == REDIS_REPLY_ARRAY) {
        it.others = fields[2];
        it.rest = it.others->elements ? reply_text(it.others->element[0]) : it.rest;
    }
    if (random.size == HANDOUT_RANDOM)
        memcpy(it.token, random.data, HANDOUT_RANDOM);
    for (size_t k = 0; k < WIRE_LEASE_TOKEN_SIZE - HANDOUT_RANDOM; k++)
        it.token[WIRE_LEASE_TOKEN_SIZE - 1 - k] = (uint8_t)(i >> (8 * k));
    return it;
}

struct slice handed_id(const struct handed *self, struct slice *ret_task)
{
    return slice_until(self->stage, '/', ret_task);
}

/* The counters are as in the packed state; what follows them is a checkpoint, unless somebody put
 * there what would spoil the whole answer. */
void handed_rest(struct slice rest, struct m_handout *handout)
{
    uint32_t *const counters[] = { &handout->generation, &handout->attempt, &handout->failures,
                                   &handout->crashes };
    struct reader reader = reader_of(rest);
    handout->attempt = FIRST_ATTEMPT;
    if (rest.size < COUNTERS_SIZE)
        return;
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        struct slice value;
        uint64_t whole = 0;
        if (reader_value(&reader, &value) && codec_whole(value, &whole))
            *counters[i] = (uint32_t)whole;
    }
    const struct slice checkpoint =
        slice_make((const uint8_t *)rest.data + COUNTERS_SIZE, rest.size - COUNTERS_SIZE);
    if (codec_check(checkpoint) == 0 && codec_depth(checkpoint) <= WIRE_VALUE_DEPTH_MAX)
        handout->checkpoint = checkpoint;
}

/* What is no packed state, which somebody put there, is as if it were not. */
static bool read_stage(redisReply *const *fields, struct upstream_stage *ret_stage)
{
    struct m_stage told;
    int state;
    if (!packed_state_read(reply_text(fields[1]), &state, &told))
        return false;
    const bool sound = told.output.size && codec_check(told.output) == 0;
    *ret_stage = (struct upstream_stage){ .task = reply_text(fields[0]),
                                          .state = state,
                                          .ended_ms = told.ended_ms,
                                          .output = sound ? told.output : (struct slice){ 0 } };
    return true;
}

static size_t read_stages(const redisReply *others, struct upstream_stage *stages)
{
    size_t count = 0;
    for (size_t i = 1; i + 1 < others->elements; i += OTHER_FIELDS)
        count += read_stage(others->element + i, &stages[count]);
    return count;
}

static int resolve(const struct upstream *upstream, const catalogue_t *catalogue,
                   struct slice *input, msgpack_sbuffer *to, struct refusal *why)
{
    int r = upstream_resolve(upstream, *input, to, why);
    if (r)
        return r;
    *input = slice_make(to->data, to->size);
    return catalogue_fits(catalogue, upstream->task, *input, why);
}

enum fate handed_resolve(const struct handed *self, state_t *state, size_t most,
                         struct slice *input, msgpack_sbuffer *to, struct refusal *why)
{
    struct upstream_input inputs[CATALOGUE_INPUTS_MAX];
    struct upstream upstream = { .inputs = inputs, .most = most };
    if (self->others->elements == 0)
        return FATE_BACK;
    (void)handed_id(self, &upstream.task);
    if (!catalogue_upstreams(state->catalogue, upstream.task, inputs, &upstream.inputs_count)) {
        nodes_refresh(state); /* another state service knew it sooner */
        return FATE_LATER;
    }
    struct upstream_stage *stages = calloc(self->others->elements, sizeof *stages);
    if (!stages)
        return FATE_BACK;
    upstream.stages = stages;
    upstream.stages_count = read_stages(self->others, stages);
    const int r = resolve(&upstream, state->catalogue, input, to, why);
    free(stages);
    if (r == 0)
        return FATE_TOLD;
    if (r == STATUS_BUSY)
        return FATE_LATER;
    return r > 0 ? FATE_FAILED : FATE_BACK;
}
