/* A worker on libgantry whose jobs last as long as their input says, without a process of their
 * own. What it does wrong on purpose is in the input too. */
#include "tests/faults/load.h"

#include "common/clock.h"
#include "proto/codec.h"
#include "proto/gantry.h"
#include "proto/job.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLOTS_MAX = 256,
    STEP_MS = 5,
    GAP_MS = 200,
    HOW = 16,
    NONCE = 96,
    RUN_MAX_MS = 60000,
    KEPT_MAX = 127
};

struct running {
    gantry_job_t *job; /* NULL: free */
    int64_t due_ms;
    uint64_t number; /* of this process' executions */
    char how[HOW];
    uint32_t times;
    uint32_t after_ms; /* of a retry or snooze; 0: the back-off */
    uint32_t kept;     /* the checkpoint it got: how often the stage was put off so far */
    bool stubborn;
};

static gantry_worker_t *worker;
static const char *name;
static struct running running[SLOTS_MAX];
static uint64_t begun;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    gantry_worker_drain(worker);
}

static void note(const struct running *run, const char *how)
{
    journal('E', "%s %s %u %s %s.%" PRIu64 " %u", gantry_job_id(run->job),
            gantry_job_task(run->job), gantry_job_attempt(run->job), how, name, run->number,
            run->after_ms);
}

/* ---- ends ---- */

static void end_done(struct running *run)
{
    char nonce[NONCE];
    uint8_t output[NONCE + 32];
    int size = snprintf(nonce, sizeof nonce, "%s.%" PRIu64, name, run->number);
    memcpy(output, "\x81\xa5nonce\xd9", 8);
    output[8] = (uint8_t)size;
    memcpy(output + 9, nonce, (size_t)size);
    gantry_job_done(run->job, &(struct gantry_end){ .output = { output, 9 + (size_t)size } });
}

static const struct gantry_end trouble = { .code = GANTRY_FAILED, .message = "as it was asked" };

static void end_failed(struct running *run)
{
    gantry_job_failed(run->job, &trouble);
}

static void end_cancelled(struct running *run)
{
    gantry_job_cancelled(run->job, &(struct gantry_end){ 0 });
}

/* What it leaves is how often a stage was put off or handed back so far. */
static void keep(const struct running *run)
{
    uint8_t kept = (uint8_t)(run->kept < KEPT_MAX ? run->kept + 1 : KEPT_MAX); /* positive fixint */
    if (gantry_job_keep(run->job, (struct gantry_bytes){ &kept, 1 }))
        load_die("a checkpoint is not taken");
}

static void end_returned(struct running *run)
{
    gantry_job_return(run->job);
}

static void end_handed_back(struct running *run)
{
    keep(run);
    gantry_job_return(run->job);
}

static void end_retried(struct running *run)
{
    gantry_job_retry(run->job, &trouble, run->after_ms ? (int64_t)run->after_ms : -1);
}

static void end_snoozed(struct running *run)
{
    keep(run);
    gantry_job_snooze(run->job, run->after_ms ? (int64_t)run->after_ms : 1);
}

static bool always(const struct running *run)
{
    (void)run;
    return true;
}

static bool failed_less(const struct running *run)
{
    return gantry_job_failures(run->job) < run->times;
}

static bool kept_less(const struct running *run)
{
    return run->kept < run->times;
}

/* How the plan wants it to end, as long as it is so; then it is done. */
static const struct {
    const char *how;
    bool (*yet)(const struct running *run);
    void (*end)(struct running *run);
} ends[] = {
    { "fail", always, end_failed },        { "return", kept_less, end_handed_back },
    { "retry", failed_less, end_retried }, { "exhaust", always, end_retried },
    { "snooze", kept_less, end_snoozed },
};

/* The journal has the end before anybody else can know of it. */
static void end(struct running *run, const char *how, void (*say)(struct running *))
{
    note(run, how);
    say(run);
    run->job = NULL;
}

static void end_as_planned(struct running *run)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(ends[i].how, run->how) == 0 && ends[i].yet(run)) {
            end(run, ends[i].how, ends[i].end);
            return;
        }
    end(run, "done", end_done);
}

/* ---- jobs ---- */

/* "RUN_MS TIMES STUBBORN AFTER_MS HOW", as the client wrote it; of a client whose bytes were
 * changed on the way it may be anything. */
static void read_plan(struct running *run, struct gantry_bytes input)
{
    char text[LOAD_TEXT], *at = text;
    struct slice value, plan;
    if (!codec_find(slice_make(input.data, input.size), "plan", &value) ||
        !codec_str(value, &plan) || !slice_copy(plan, text, sizeof text))
        (void)snprintf(text, sizeof text, "0 0 0 0 fail");
    unsigned long run_ms = strtoul(at, &at, 10);
    run->due_ms = clock_ms() + (int64_t)(run_ms < RUN_MAX_MS ? run_ms : RUN_MAX_MS);
    run->times = (uint32_t)strtoul(at, &at, 10);
    run->stubborn = strtoul(at, &at, 10) != 0;
    run->after_ms = (uint32_t)strtoul(at, &at, 10);
    (void)snprintf(run->how, sizeof run->how, "%s", *at ? at + 1 : "");
}

static uint32_t kept_before(const gantry_job_t *job)
{
    struct gantry_bytes kept = gantry_job_checkpoint(job);
    uint64_t number = 0;
    if (kept.size && !codec_whole(slice_make(kept.data, kept.size), &number))
        load_die("a checkpoint is not what was kept");
    return (uint32_t)number;
}

static void work(gantry_job_t *job, void *arg)
{
    char token[2 * WIRE_LEASE_TOKEN_SIZE + 1];
    struct running *run = running;
    (void)arg;
    while (run->job)
        run++; /* slots is the most there are at once */
    *run = (struct running){ .job = job, .number = begun++, .kept = kept_before(job) };
    read_plan(run, gantry_job_input(job));
    for (size_t i = 0; i < WIRE_LEASE_TOKEN_SIZE; i++)
        (void)snprintf(token + 2 * i, 3, "%02x", job->token[i]);
    gantry_job_set_user(job, run);
    journal('S', "%s %s %u %s %d %s.%" PRIu64 " %u", gantry_job_id(job), gantry_job_task(job),
            gantry_job_attempt(job), token, (int)getpid(), name, run->number, run->kept);
}

static void stop(gantry_job_t *job, enum gantry_stop why, void *arg)
{
    struct running *run = gantry_job_user(job);
    (void)arg;
    if (why == GANTRY_STOP_CANCEL && run->stubborn)
        return; /* comes too late with its success: the cancel stands */
    if (why == GANTRY_STOP_CANCEL)
        end(run, "cancelled", end_cancelled);
    else
        end(run, why == GANTRY_STOP_STALE ? "stale" : "return", end_returned);
}

static void end_what_is_due(int64_t now_ms)
{
    for (size_t i = 0; i < SLOTS_MAX; i++)
        if (running[i].job && running[i].due_ms <= now_ms)
            end_as_planned(&running[i]);
}

int load_worker(void)
{
    static const struct gantry_input inputs[] = { { .name = "plan", .type = "text" } };
    static const char *const outputs[] = { "nonce", NULL };
    const struct gantry_node node = { .name = "faults.work",
                                      .doc = "does what it is told",
                                      .inputs = inputs,
                                      .inputs_count = 1,
                                      .outputs = outputs,
                                      .run = work,
                                      .stop = stop };
    name = load_option("name", "w");
    journal_open(load_option("journal", "worker.journal"));
    struct gantry_worker_options settings = { .brokers = load_option("brokers", ""),
                                              .name = name,
                                              .slots = (uint32_t)load_number("slots", 16),
                                              .nodes = &node,
                                              .nodes_count = 1 };
    worker = settings.slots <= SLOTS_MAX ? gantry_worker_new(&settings) : NULL;
    if (!worker)
        load_die("no worker could be made");
    (void)signal(SIGTERM, on_terminate);
    journal('P', "%d %s", (int)getpid(), name);
    int64_t last_ms = clock_ms();
    int r;
    do {
        r = gantry_worker_run(worker, STEP_MS);
        int64_t now_ms = clock_ms();
        if (now_ms - last_ms > GAP_MS)
            journal('G', "%d %" PRId64, (int)getpid(), now_ms - last_ms);
        last_ms = now_ms;
        end_what_is_due(now_ms);
    } while (r == GANTRY_TIMEOUT);
    journal('F', "%d %s %d", (int)getpid(), name, r);
    gantry_worker_destroy(&worker);
    return r ? 1 : 0;
}
