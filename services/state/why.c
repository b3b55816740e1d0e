/* WHY: one function looks at whatever may hold a stage up; the first reason that is so is told, and
 * what to do about it. */
#include "common/clock.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/ref.h"
#include "services/state/reply.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIELDS = 12, TEXT_MOST = 512, SPAN_TEXT = 32, SECOND_MS = 1000, MINUTE_MS = 60000 };

static const char *const reasons[REASON_END] = {
#define REASON_TEXT(name, text, doc) [REASON_##name] = (text),
    REASONS(REASON_TEXT)
#undef REASON_TEXT
};

/* What the function saw of a stage. */
struct sight {
    struct slice id;
    struct slice service;
    struct stage stage;
    struct slice scheduled; /* why it waits for its time: delayed, retrying or snoozed */
    uint32_t failures_max;
    struct slice worker; /* who has it */
    bool paused, lost;   /* lost: no queue has it */
    uint64_t workers, draining;
    uint64_t position, before; /* 0 of position: not known */
    uint64_t ended, ended_ms;  /* so many of its queue's tasks ended in so long */
};

/* What is told of it. */
struct verdict_why {
    struct m_why told;
    char text[TEXT_MOST];
};

static void say(struct verdict_why *verdict, enum reason reason, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct verdict_why *verdict, enum reason reason, const char *text, ...)
{
    va_list args;
    va_start(args, text);
    vsnprintf(verdict->text, sizeof verdict->text, text, args);
    va_end(args);
    verdict->told.reason = slice_of(reasons[reason]);
}

/* The tail behind a packed state's head. */
static struct slice tail_of(struct slice state)
{
    struct reader reader = reader_of(state);
    struct slice head, tail;
    return reader_value(&reader, &head) && reader_value(&reader, &tail) ? tail
                                                                        : (struct slice){ 0 };
}

static bool see(const redisReply *const *fields, struct sight *ret_sight)
{
    struct sight sight = { 0 };
    struct body body;
    struct slice value;
    const struct slice task = reply_text(fields[0]), state = reply_text(fields[2]);
    if (!stage_read(task, reply_text(fields[1]), state, (struct slice){ 0 }, &sight.stage) ||
        !body_read(reply_text(fields[1]), &body))
        return false;
    sight.service = task_name_service(task);
    sight.failures_max = body.failures_max;
    if (codec_find(tail_of(state), "reason", &value))
        (void)codec_str(value, &sight.scheduled);
    sight.worker = reply_text(fields[3]);
    sight.paused = reply_whole(fields[4]) != 0;
    const int64_t numbers[] = { reply_whole(fields[5]), reply_whole(fields[6]),
                                reply_whole(fields[7]), reply_whole(fields[8]),
                                reply_whole(fields[9]), reply_whole(fields[10]) };
    uint64_t *const to[] = { &sight.workers, &sight.draining, &sight.position,
                             &sight.before,  &sight.ended,    &sight.ended_ms };
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        *to[i] = numbers[i] > 0 ? (uint64_t)numbers[i] : 0;
    sight.lost = reply_whole(fields[11]) == 0;
    *ret_sight = sight;
    return true;
}

static void say_ended(const struct sight *sight, struct verdict_why *verdict)
{
    const int state = sight->stage.state;
    const struct slice id = sight->id, task = sight->stage.task;
    if (state == STATE_FAILED || state == STATE_QUARANTINED)
        say(verdict, REASON_ENDED,
            "it has ended: %s. `gantry dead show %.*s` tells its attempts, `gantry dead replay "
            "%.*s %.*s` runs it again",
            state_text(state), SLICE_ARG(id), SLICE_ARG(id), SLICE_ARG(task));
    else
        say(verdict, REASON_ENDED, "it has ended: %s", state_text(state));
}

static void say_held(const struct sight *sight, struct verdict_why *verdict)
{
    const struct slice worker = sight->worker.size ? sight->worker : SLICE("without a name");
    verdict->told.worker = sight->worker;
    if (sight->stage.state == STATE_CANCELLING)
        say(verdict, REASON_CANCELLING,
            "worker %.*s was told to stop it, and has until its lease ends to say that it did",
            SLICE_ARG(worker));
    else
        say(verdict, REASON_RUNNING, "worker %.*s has it, attempt %u", SLICE_ARG(worker),
            sight->stage.told.attempt);
}

static void say_scheduled(const struct sight *sight, struct verdict_why *verdict)
{
    char at[CLOCK_TEXT];
    const struct m_stage *told = &sight->stage.told;
    verdict->told.due_ms = told->due_ms;
    clock_text((int64_t)told->due_ms, at);
    if (slice_is(sight->scheduled, reasons[REASON_RETRYING]))
        say(verdict, REASON_RETRYING,
            "attempt %u failed, failure %u of at most %u; the next one is due at %s. `gantry show "
            "%.*s` tells why",
            told->attempt, told->failures, sight->failures_max, at, SLICE_ARG(sight->id));
    else if (slice_is(sight->scheduled, reasons[REASON_SNOOZED]))
        say(verdict, REASON_SNOOZED, "its worker put it off until %s", at);
    else
        say(verdict, REASON_DELAYED, "it was submitted to start no sooner than %s", at);
}

/* "3 h 20 min" and the like. */
static const char *span_text(uint64_t ms, char text[SPAN_TEXT])
{
    const unsigned long long minutes = ms / MINUTE_MS;
    if (minutes >= 60)
        snprintf(text, SPAN_TEXT, "%llu h %llu min", minutes / 60, minutes % 60);
    else if (minutes)
        snprintf(text, SPAN_TEXT, "%llu min", minutes);
    else
        snprintf(text, SPAN_TEXT, "%llu s", (unsigned long long)ms / SECOND_MS + 1);
    return text;
}

/* By how fast this queue's tasks ended lately; 0: not known. */
static uint64_t estimate(const struct sight *sight)
{
    if (!sight->ended || !sight->position)
        return 0;
    const double each = (double)sight->ended_ms / (double)sight->ended;
    const double ms = each * (double)(sight->before + sight->position);
    return ms < 1e15 ? (uint64_t)ms : 0;
}

static void say_queued(const struct sight *sight, struct verdict_why *verdict)
{
    char when[64] = "how long that takes is not known yet";
    const struct slice service = sight->service;
    verdict->told.position = sight->position;
    verdict->told.estimate_ms = estimate(sight);
    if (verdict->told.estimate_ms) {
        char span[SPAN_TEXT];
        snprintf(when, sizeof when, "about %s at the pace of late",
                 span_text(verdict->told.estimate_ms, span));
    }
    if (sight->position == 1 && !sight->before)
        say(verdict, REASON_NEXT, "it is handed out with the next free slot of queue %.*s",
            SLICE_ARG(service));
    else if (!sight->position)
        say(verdict, REASON_QUEUED, "too many are before it in queue %.*s to count them",
            SLICE_ARG(service));
    else
        say(verdict, REASON_QUEUED,
            "it is number %llu of its priority in queue %.*s, and %llu of higher priority go "
            "before: %s. More workers make it sooner",
            (unsigned long long)sight->position, SLICE_ARG(service),
            (unsigned long long)sight->before, when);
}

static void say_pending(const struct sight *sight, struct verdict_why *verdict)
{
    const struct slice service = sight->service;
    if (sight->lost)
        say(verdict, REASON_UNHELD,
            "neither a queue nor a worker has it: the next audit puts it back, `gantry audit` "
            "begins one now");
    else if (sight->paused)
        say(verdict, REASON_PAUSED, "queue %.*s is paused: `gantry resume %.*s` lets it go on",
            SLICE_ARG(service), SLICE_ARG(service));
    else if (!sight->workers)
        say(verdict, REASON_NO_WORKER,
            "no worker serves queue %.*s: start one with gantry-worker --worker-services=%.*s",
            SLICE_ARG(service), SLICE_ARG(service));
    else if (sight->draining >= sight->workers)
        say(verdict, REASON_DRAINING,
            "every worker that serves queue %.*s is draining: `gantry undrain WORKER` takes that "
            "back, or start another one with gantry-worker --worker-services=%.*s",
            SLICE_ARG(service), SLICE_ARG(service));
    else
        say_queued(sight, verdict);
}

static void say_external(const struct sight *sight, struct verdict_why *verdict)
{
    if (sight->stage.state == STATE_PENDING)
        say(verdict, REASON_EXTERNAL,
            "it waits in the list task:pending for whoever takes it first: an outside processor, "
            "or "
            "a worker of ours, gantry-worker --worker-services=video");
    else
        say(verdict, REASON_EXTERNAL,
            "an outside processor has it, which writes into task:%.*s what becomes of it",
            SLICE_ARG(sight->id));
}

static void tell(const struct sight *sight, msgpack_packer *pk)
{
    struct verdict_why verdict = { .told = { .task = sight->stage.task } };
    const int state = sight->stage.state;
    verdict.told.state = slice_of(state_text(state));
    if (state_terminal(state))
        say_ended(sight, &verdict);
    else if (sight->stage.external)
        say_external(sight, &verdict);
    else if (state == STATE_RUNNING || state == STATE_CANCELLING)
        say_held(sight, &verdict);
    else if (state == STATE_SCHEDULED)
        say_scheduled(sight, &verdict);
    else
        say_pending(sight, &verdict);
    verdict.told.text = slice_of(verdict.text);
    message_encode(&m_why_layout, &verdict.told, pk);
}

static void on_why(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_ref ref;
    struct sight sight;
    if (!status && (!reply_has(reply, 0) || reply->elements % FIELDS))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    ref_again(ask, &ref);
    uint32_t count = 0;
    const redisReply *const *fields = (const redisReply *const *)reply->element;
    for (size_t i = 0; i < reply->elements; i += FIELDS)
        count += see(fields + i, &sight);
    if (!count) {
        ref_missing(&ask, &ref);
        return;
    }
    msgpack_packer *pk = state_packer(ask->state);
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < reply->elements; i += FIELDS) {
        if (see(fields + i, &sight)) {
            sight.id = ref.id;
            tell(&sight, pk);
        }
    }
    ask_answer(&ask, STATUS_OK, count, state_packed(ask->state));
}

void why_asked(state_t *self, ask_t *ask)
{
    struct m_ref ref;
    if (!ref_read(&ask, &ref))
        return;
    struct command *command = store_function(self->store, "why");
    command_arg(command, ref.id);
    command_arg(command, ref.task);
    state_call_large(ask, self->records, command, on_why);
}
