#include "services/node/node.h"

#include "broker/program.h"
#include "services/state/program.h"

#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Both ends lie in program_zmq(). No thread and no bound stands between them: what is under way is
 * bounded by broker.requests_max, and neither ever waits to send. */
static const char meeting_point[] = "inproc://states";

struct node {
    struct settings settings; /* as given, but for where the state service finds its broker */
    void *broker;
    void *state;
    bool stopping;
};

static int start(program_t *program, const struct settings *settings, void **ret_self)
{
    struct node *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    *ret_self = self;
    self->settings = *settings;
    self->settings.state_brokers = meeting_point;
    int r = broker_row.start(program, settings, &self->broker);
    if (r)
        return r;
    r = broker_let_in(self->broker, meeting_point);
    if (r) {
        log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", strerror(-r));
        return r;
    }
    return state_program.start(program, &self->settings, &self->state);
}

/* The state service first, as where they are two processes: what it has taken is sent to Redis, and
 * the broker can still pass on what comes back. It ends the program, and so the broker. */
static void stop(void *arg)
{
    struct node *self = arg;
    self->stopping = true;
    state_program.stop(self->state);
}

static void destroy(void *arg)
{
    struct node *self = arg;
    if (self->stopping)
        broker_row.stop(self->broker); /* its last words */
    if (self->state)
        state_program.destroy(self->state);
    if (self->broker)
        broker_row.destroy(self->broker);
    free(self);
}

const struct program_row node_program = {
    .name = "gantry-node",
    .summary = "gantry-broker and gantry-state in one process, for one machine",
    .examples = "  gantry-node --config /etc/gantry.yaml\n"
                "  gantry-node --broker-clients tcp://127.0.0.1:7470 --redis-addr "
                "/run/redis/redis.sock\n",
    .used_by = USED_BY_BROKER | USED_BY_STATE,
    .start = start,
    .stop = stop,
    .destroy = destroy,
};
