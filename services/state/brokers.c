/* The sessions to all brokers, and what they ask. */
#include "common/log.h"
#include "common/status.h"
#include "services/state/state.h"

#include <errno.h>
#include <unistd.h>

enum { REQUESTS_MAX = 16 };

/* Verbs without a row are answered UNSUPPORTED. */
static verb_fn *const brokers_say[VERB_END] = {
    [VERB_SUBMIT] = submit_asked,
    [VERB_GET] = get_asked,
    [VERB_WAIT] = wait_asked,
    [VERB_LIST] = list_asked,
    [VERB_CANCEL] = cancel_asked,
    [VERB_NODES] = nodes_asked,
    [VERB_CLAIM] = claim_asked,
    [VERB_DONE] = done_asked,
    [VERB_HEARTBEAT] = heartbeat_asked,
    [VERB_RETURN] = return_asked,
    [VERB_BYE] = bye_asked,
    [VERB_QUEUES] = queues_asked,
    [VERB_REGISTER] = register_asked,
    [VERB_CRON] = cron_asked,
    [VERB_SUBSCRIBE] = subscribe_asked,
    [VERB_WHY] = why_asked,
    [VERB_REPLAY] = replay_asked,
    [VERB_PURGE] = purge_asked,
    [VERB_STEER] = steer_asked,
    [VERB_LEDGER] = ledger_asked,
    [VERB_FORGET] = forget_asked,
    [VERB_CREATE_TASK] = create_task_asked,
    [VERB_GET_TASK_STATUS] = get_task_status_asked,
    [VERB_TASKS] = tasks_asked,
    [VERB_DISK] = disk_asked,
};

void state_say_ready(state_t *self, struct slice service)
{
    for (size_t i = 0; i < self->brokers_count; i++)
        session_say(self->brokers[i].session, VERB_READY, service, NULL);
}

static void refuse_body(ask_t **ask_p)
{
    struct refusal why = { 0 };
    refusal_say(&why, STATUS_MALFORMED, NULL,
                "the body is not one msgpack value with UTF-8 texts, nested at most 16 deep");
    ask_refuse(ask_p, &why);
}

static void refuse_verb(ask_t **ask_p)
{
    struct refusal why = { 0 };
    refusal_say(&why, STATUS_UNSUPPORTED, "verb", "the state service has no verb %s (%u)",
                verb_text((*ask_p)->verb), (*ask_p)->verb);
    ask_refuse(ask_p, &why);
}

static void on_asked(void *arg, const struct header *header, zmq_msg_t *body)
{
    struct broker *broker = arg;
    state_t *self = broker->state;
    if (self->stopping)
        return; /* after our BYE the broker asks another one */
    ask_t *ask = ask_new(self, broker, header, body);
    if (!ask) {
        session_answer(broker->session, header->request, STATUS_UNAVAILABLE, 0, NULL);
        return;
    }
    verb_fn *say = header->verb < VERB_END ? brokers_say[header->verb] : NULL;
    if (ask_body(ask).size && codec_check(ask_body(ask)))
        refuse_body(&ask);
    else if (!say)
        refuse_verb(&ask);
    else
        say(self, ask);
}

static void on_drained(void *arg)
{
    const struct broker *broker = arg;
    state_flush(broker->state);
}

static void on_welcomed(void *arg, const struct m_welcome *welcome)
{
    struct broker *broker = arg;
    const int64_t lease_ms = broker->state->settings->lease_ms;
    broker->epoch = welcome->epoch;
    broker->body_max = welcome->body_max;
    log_event(LOG_LEVEL_INFO, "broker_connected", "endpoint=%s", broker->endpoint);
    if (welcome->lease_ms > lease_ms) /* workers would go on while we give their work to others */
        log_event(LOG_LEVEL_ERROR, "lease_ms_differs", "endpoint=%s broker=%u state=%lld",
                  broker->endpoint, welcome->lease_ms, (long long)lease_ms);
}

static void on_broker_lost(void *arg)
{
    struct broker *broker = arg;
    if (!broker->state->stopping)
        log_event(LOG_LEVEL_WARN, "broker_lost", "endpoint=%s", broker->endpoint);
    waits_forget(broker->state, broker);
}

static void on_socket(void *arg, void *socket)
{
    const struct broker *broker = arg;
    attach_socket(broker->attach, socket);
}

static void on_used(void *arg)
{
    const struct broker *broker = arg;
    attach_used(broker->attach);
}

static bool read_broker(void *arg, int64_t now_ms)
{
    const struct broker *broker = arg;
    return session_read(broker->session, now_ms);
}

static int64_t tick_broker(void *arg, int64_t now_ms)
{
    const struct broker *broker = arg;
    return session_tick(broker->session, now_ms);
}

static int add_broker(state_t *self, const char *endpoint, size_t size)
{
    if (self->brokers_count == BROKERS_MAX)
        return -E2BIG;
    struct broker *broker = &self->brokers[self->brokers_count++];
    broker->state = self;
    broker->endpoint = slice_dup(slice_make(endpoint, size));
    const struct attach_row row = { read_broker, tick_broker, on_drained, broker, true };
    const struct session_options options = {
        .zmq = program_zmq(self->program),
        .endpoints = broker->endpoint,
        .hello = { .role = SLICE("state"),
                   .name = slice_of(self->name),
                   .software = SLICE("gantry-state/" GANTRY_VERSION),
                   .host = slice_of(self->host),
                   .pid = (uint32_t)getpid() },
        .requests_max = REQUESTS_MAX,
        .events = { on_socket, on_welcomed, on_broker_lost, on_used, on_asked },
        .arg = broker,
    };
    broker->attach = attach_new(program_hub(self->program), program_loop(self->program), &row);
    if (broker->endpoint && broker->attach)
        broker->session = session_new(&options);
    return broker->session ? 0 : -ENOMEM;
}

int brokers_new(state_t *self)
{
    const char *at = self->settings->state_brokers;
    int r = 0;
    while (*at && !r) {
        at += strspn(at, ", ");
        const size_t size = strcspn(at, ", ");
        if (size)
            r = add_broker(self, at, size);
        at += size;
    }
    if (r == 0 && self->brokers_count == 0)
        r = -EINVAL;
    if (r)
        log_event(LOG_LEVEL_ERROR, "start_failed", "setting=state.brokers most=%d why=%s",
                  (int)BROKERS_MAX, strerror(-r));
    return r;
}

void brokers_leave(state_t *self)
{
    for (size_t i = 0; i < self->brokers_count; i++)
        session_say(self->brokers[i].session, VERB_BYE, (struct slice){ 0 }, NULL);
}

void brokers_destroy(state_t *self)
{
    for (size_t i = 0; i < self->brokers_count; i++) {
        session_destroy(&self->brokers[i].session);
        attach_destroy(&self->brokers[i].attach);
        free(self->brokers[i].endpoint);
    }
    self->brokers_count = 0;
}
