#include "services/cli/ready.h"

#include "common/clock.h"
#include "common/paths.h"
#include "proto/codec.h"
#include "proto/gantry.h"
#include "proto/schema.h"

#include <stdlib.h>

enum { LOOK_EVERY_MS = 50, ANSWER_MS = 50 };

struct ready {
    uv_timer_t timer;
    gantry_client_t *client;
    struct ready_for wanted;
    ready_fn *fn;
    void *arg;
};

static uint64_t peers(struct slice status, const char *role)
{
    struct slice all;
    struct slice one;
    uint64_t count = 0;
    if (codec_find(status, "peers", &all) && codec_find(all, role, &one))
        (void)codec_whole(one, &count);
    return count;
}

/* The body of a verb without arguments, malloc'ed; NULL unless the status was 0. */
static void *ask(ready_t *self, uint32_t verb, struct slice *ret_body)
{
    void *body = NULL;
    size_t size = 0;
    int r =
        gantry_call(self->client, verb, "", (struct gantry_bytes){ 0 }, ANSWER_MS, &body, &size);
    if (r == 0 && codec_check(slice_make(body, size)) == 0) {
        *ret_body = slice_make(body, size);
        return body;
    }
    free(body);
    return NULL;
}

static const char *missing_peers(ready_t *self)
{
    struct slice body;
    void *status = ask(self, VERB_STATUS, &body);
    const char *missing = NULL;
    if (!status)
        missing = "the broker";
    else if (peers(body, "states") == 0)
        missing = "the state service";
    else if (peers(body, "workers") < self->wanted.workers)
        missing = "a worker";
    free(status);
    return missing;
}

static bool has_node_of(struct slice nodes, struct slice service)
{
    struct reader reader;
    struct slice node;
    struct slice name;
    uint32_t count = 0;
    bool found = false;
    if (!codec_array(nodes, &reader, &count))
        return false;
    while (!found && count-- && reader_value(&reader, &node))
        found = codec_find(node, "name", &name) && codec_str(name, &name) &&
                slice_equal(task_name_service(name), service);
    return found;
}

/* The catalogue comes from Redis by way of a state service, and the workers wrote it: all of them
 * stand. */
static const char *missing_nodes(ready_t *self)
{
    struct slice body;
    struct slice rest = slice_of(self->wanted.services);
    void *nodes = ask(self, VERB_NODES, &body);
    const char *missing = nodes ? NULL : "gantry-state's Redis (state.log says why)";
    while (!missing && rest.size)
        if (!has_node_of(body, slice_until(rest, ',', &rest)))
            missing = "a worker's list of nodes";
    free(nodes);
    return missing;
}

static void on_look(uv_timer_t *timer)
{
    ready_t *self = timer->data;
    const char *missing = missing_peers(self);
    if (!missing)
        missing = missing_nodes(self);
    if (!missing && self->wanted.http->size && !address_answers(self->wanted.http))
        missing = "gantry-front";
    if (missing && clock_ms() < self->wanted.until_ms)
        return;
    uv_timer_stop(timer);
    self->fn(self->arg, missing);
}

ready_t *ready_new(uv_loop_t *loop, const struct ready_for *wanted, ready_fn *fn, void *arg)
{
    ready_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    *self = (ready_t){ .wanted = *wanted, .fn = fn, .arg = arg };
    self->client = gantry_client_new(wanted->brokers);
    if (!self->client) {
        free(self);
        return NULL;
    }
    uv_timer_init(loop, &self->timer);
    self->timer.data = self;
    uv_timer_start(&self->timer, on_look, LOOK_EVERY_MS, LOOK_EVERY_MS);
    return self;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void ready_destroy(ready_t **self_p)
{
    ready_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    gantry_client_destroy(&self->client);
    uv_close((uv_handle_t *)&self->timer, on_closed);
}
