#include "services/state/record.h"

#include "common/paths.h"
#include "common/url.h"
#include "proto/codec.h"

#include <limits.h>
#include <stdio.h>

enum { STATE_HEAD = 12, BODY_LIMITS = 4, BODY_EXTERNAL = 16, HISTORY_MOST = 16 };
/* Where they stand in the packed state's head. */
enum { AT_GENERATION = 2, AT_ATTEMPT, AT_FAILURES, AT_CRASHES, AT_STARTED = 9, AT_ENDED = 11 };

/* The values of the packed state's head, in order. */
struct head {
    uint64_t whole[STATE_HEAD]; /* 0 where the value is no number */
};

static bool next_whole(struct reader *reader, uint64_t *ret_whole)
{
    struct slice value;
    return reader_value(reader, &value) && codec_whole(value, ret_whole);
}

static void read_option(struct slice name, struct slice value, struct body *body)
{
    uint64_t whole;
    if (slice_is(name, "input"))
        body->input = value;
    else if (slice_is(name, "owner"))
        (void)codec_str(value, &body->owner);
    else if (slice_is(name, "priority"))
        (void)codec_str(value, &body->priority);
    else if (slice_is(name, "timeout_ms") && codec_whole(value, &whole) && whole <= UINT32_MAX)
        body->timeout_ms = (uint32_t)whole;
}

static void read_options(struct slice map, struct body *body)
{
    struct reader reader;
    uint32_t pairs = 0;
    struct slice name, value;
    (void)codec_map(map, &reader, &pairs);
    for (uint32_t i = 0; i < pairs; i++) {
        if (!reader_value(&reader, &name) || !reader_value(&reader, &value))
            return;
        if (codec_str(name, &name))
            read_option(name, value, body);
    }
}

bool body_read(struct slice bytes, struct body *ret_body)
{
    struct reader reader = reader_of(bytes);
    struct token token;
    struct slice map;
    struct body body = { 0 };
    uint64_t limits[BODY_LIMITS];
    if (!next_whole(&reader, &body.created_ms))
        return false;
    for (int i = 0; i < BODY_LIMITS; i++)
        if (!next_whole(&reader, &limits[i]))
            return false;
    if (!reader_value(&reader, &map) || !reader_next(&reader, &token) || token.kind != KIND_BIN)
        return false;
    body.token = token.bytes;
    body.external = limits[0] & BODY_EXTERNAL; /* the other flags only the functions read */
    body.crashes_max = (uint32_t)limits[1];
    body.failures_max = (uint32_t)limits[2];
    body.retry_ms = (uint32_t)limits[3];
    read_options(map, &body);
    *ret_body = body;
    return true;
}

static bool read_head(struct reader *reader, struct head *ret_head)
{
    struct token token;
    if (!reader_next(reader, &token) || token.kind != KIND_ARRAY || token.count != STATE_HEAD)
        return false;
    for (int i = 0; i < STATE_HEAD; i++) {
        struct slice value;
        ret_head->whole[i] = 0;
        if (!reader_value(reader, &value))
            return false;
        (void)codec_whole(value, &ret_head->whole[i]);
    }
    return ret_head->whole[0] < STATE_END;
}

static void read_tail(struct slice map, struct m_stage *told)
{
    struct slice value;
    if (codec_find(map, "due_ms", &value))
        (void)codec_whole(value, &told->due_ms);
    if (codec_find(map, "output", &value))
        told->output = value;
    if (codec_find(map, "error", &value))
        told->error = value;
    if (codec_find(map, "usage", &value))
        told->usage = value;
    if (codec_find(map, "worker", &value))
        (void)codec_str(value, &told->worker);
    if (codec_find(map, "progress", &value))
        (void)codec_number(value, &told->progress);
}

bool packed_state_read(struct slice bytes, int *ret_state, struct m_stage *ret_told)
{
    struct head head;
    struct slice tail;
    struct reader reader = reader_of(bytes);
    if (!read_head(&reader, &head) || !reader_value(&reader, &tail))
        return false;
    *ret_state = (int)head.whole[0];
    *ret_told = (struct m_stage){
        .state = slice_of(state_text(*ret_state)),
        .generation = (uint32_t)head.whole[AT_GENERATION],
        .attempt = (uint32_t)head.whole[AT_ATTEMPT],
        .failures = (uint32_t)head.whole[AT_FAILURES],
        .crashes = (uint32_t)head.whole[AT_CRASHES],
        .started_ms = head.whole[AT_STARTED],
        .ended_ms = head.whole[AT_ENDED],
    };
    read_tail(tail, ret_told);
    return true;
}

bool stage_read(struct slice task, struct slice body, struct slice state, struct slice history,
                struct stage *ret_stage)
{
    struct body b;
    struct stage stage = { .task = task, .history = history };
    if (!body_read(body, &b) || !packed_state_read(state, &stage.state, &stage.told))
        return false;
    stage.told.priority = b.priority;
    stage.told.owner = b.owner;
    stage.told.created_ms = b.created_ms;
    stage.told.input = b.input;
    stage.told.timeout_ms = b.timeout_ms;
    stage.external = b.external;
    *ret_stage = stage;
    return true;
}

/* Addresses that wait for the end of the run, a newline before each; or the one told last and,
 * behind a blank, the id of that delivery. What others wrote there could spoil the whole record. */
void stage_read_callbacks(struct stage *self, struct slice callbacks)
{
    const char *text = callbacks.data;
    const char *newest = callbacks.size ? memrchr(text, '\n', callbacks.size) : NULL;
    struct slice url, id = { 0 };
    if (newest)
        url = slice_make(newest + 1, (size_t)(text + callbacks.size - newest - 1));
    else
        url = slice_until(callbacks, ' ', &id);
    if (!url_valid(url))
        return;
    self->told.callback = url;
    if (task_id_valid(id))
        self->told.callback_id = id;
}

/* A history wraps these deeper than a stage does: what a subscriber could not read is left out. */
static struct slice shallow(struct slice value)
{
    return value.size && codec_depth(value) < WIRE_VALUE_DEPTH_MAX ? value : (struct slice){ 0 };
}

/* The next attempt of a history; false at its end, or at what is none. */
static bool next_attempt(struct reader *reader, struct m_attempt *ret_attempt)
{
    struct token token;
    struct m_stage told;
    int state;
    if (!reader_next(reader, &token) || token.kind != KIND_BIN ||
        !packed_state_read(token.bytes, &state, &told))
        return false;
    *ret_attempt = (struct m_attempt){
        .attempt = told.attempt,
        .state = state == STATE_QUARANTINED ? SLICE("crashed") : told.state,
        .worker = told.worker,
        .started_ms = told.started_ms,
        .ended_ms = told.ended_ms,
        .error = shallow(told.error),
        .usage = shallow(told.usage),
    };
    return true;
}

/* An array of attempt. False when out of memory. */
static bool pack_history(struct slice history, msgpack_packer *pk)
{
    struct m_attempt attempts[HISTORY_MOST];
    struct reader reader = reader_of(history);
    size_t count = 0;
    while (count < HISTORY_MOST && next_attempt(&reader, &attempts[count]))
        count++;
    if (msgpack_pack_array(pk, count))
        return false;
    for (size_t i = 0; i < count; i++)
        message_encode(&m_attempt_layout, &attempts[i], pk);
    return true;
}

bool stage_ended(const struct stage *self)
{
    return state_terminal(self->state);
}

const char *record_status(const struct stage *stages, size_t count)
{
    /* the first of these that some stage is in decides */
    static const struct {
        int state;
        const char *status;
    } ranks[] = {
        { STATE_RUNNING, "running" },     { STATE_CANCELLING, "running" },
        { STATE_PENDING, "pending" },     { STATE_SCHEDULED, "pending" },
        { STATE_FAILED, "failed" },       { STATE_QUARANTINED, "failed" },
        { STATE_CANCELLED, "cancelled" },
    };
    for (size_t r = 0; r < sizeof ranks / sizeof *ranks; r++)
        for (size_t i = 0; i < count; i++)
            if (stages[i].state == ranks[r].state)
                return ranks[r].status;
    return count ? "completed" : "pending";
}

static uint64_t created_ms(const struct stage *stages, size_t count)
{
    uint64_t least = count ? stages[0].told.created_ms : 0;
    for (size_t i = 1; i < count; i++)
        if (stages[i].told.created_ms < least)
            least = stages[i].told.created_ms;
    return least;
}

/* scratch is emptied first. */
static bool pack_stage(const struct stage *stage, msgpack_sbuffer *scratch, msgpack_packer *pk)
{
    struct m_stage told = stage->told;
    msgpack_packer inner;
    msgpack_sbuffer_clear(scratch);
    msgpack_packer_init(&inner, scratch, msgpack_sbuffer_write);
    if (stage->history.size && !pack_history(stage->history, &inner))
        return false;
    told.history = slice_make(scratch->data, scratch->size);
    pack_slice(pk, stage->task);
    message_encode(&m_stage_layout, &told, pk);
    return true;
}

bool record_pack(struct slice id, const char *storage_root, const struct stage *stages,
                 size_t count, msgpack_packer *pk)
{
    char path[PATH_MAX + TASK_ID_MAX + 2];
    msgpack_sbuffer buffer, scratch;
    msgpack_packer inner;
    msgpack_sbuffer_init(&buffer);
    msgpack_sbuffer_init(&scratch);
    msgpack_packer_init(&inner, &buffer, msgpack_sbuffer_write);
    bool whole = msgpack_pack_map(&inner, count) == 0;
    for (size_t i = 0; i < count && whole; i++)
        whole = pack_stage(&stages[i], &scratch, &inner);
    snprintf(path, sizeof path, "%s/%.*s", storage_root, SLICE_ARG(id));
    const struct m_record record = {
        .id = id,
        .status = slice_of(record_status(stages, count)),
        .storage_path = slice_of(path),
        .created_ms = created_ms(stages, count),
        .stages = slice_make(buffer.data, buffer.size),
    };
    if (whole)
        message_encode(&m_record_layout, &record, pk);
    msgpack_sbuffer_destroy(&scratch);
    msgpack_sbuffer_destroy(&buffer);
    return whole;
}
