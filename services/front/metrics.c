#include "services/front/metrics.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/status.h"
#include "proto/schema.h"
#include "services/front/metrics_text.h"
#include "services/front/route.h"
#include "services/front/tasks.h"

enum { WAITING_MAX = 256, KNOWN_MS = 1000, ASK_MS = 2000, RETRY_AFTER_MS = 1000 };

struct metrics {
    struct front *front;
    bool asking;
    int64_t known_ms;
    char *text; /* as it was last told, or NULL */
    bool has_disk;
    struct m_disk_use disk; /* its figures; texts are gone */
    size_t count;
    request_t *waiting[WAITING_MAX]; /* while asking */
};

metrics_t *metrics_new(struct front *front)
{
    metrics_t *self = calloc(1, sizeof *self);
    if (self)
        self->front = front;
    return self;
}

void metrics_destroy(metrics_t **self_p)
{
    if (*self_p)
        free((*self_p)->text);
    free(*self_p);
    *self_p = NULL;
}

static void answer(const metrics_t *self, request_t *request, int status, const char *why)
{
    if (status == 0)
        request_answer_typed(request, 200, METRICS_TYPE, self->text);
    else
        request_refuse_status(request, status, "", RETRY_AFTER_MS, why);
}

/* All who wait are told. */
static void learn(metrics_t *self, int status, const char *why)
{
    const size_t count = self->count;
    self->asking = false;
    self->count = 0;
    for (size_t i = 0; i < count; i++)
        answer(self, self->waiting[i], status, why);
}

static void on_ledger(void *arg, int status, struct gantry_bytes body)
{
    metrics_t *self = arg;
    struct m_ledger ledger;
    if (status) {
        learn(self, status, gantry_client_error(self->front->client)->message);
        return;
    }
    int r = message_decode(&m_ledger_layout, slice_make(body.data, body.size), &ledger, NULL);
    char *text = r ? NULL : metrics_text(&ledger, self->has_disk ? &self->disk : NULL);
    if (text) {
        free(self->text);
        self->text = text;
        self->known_ms = clock_ms();
    }
    learn(self, text ? 0 : r ? -EPROTO : -ENOMEM, "");
}

static void ask(metrics_t *self, uint32_t verb, gantry_called_fn *told)
{
    const struct question question = { .verb = verb, .timeout_ms = ASK_MS };
    int r = question_put(self->front, &question, told, self);
    if (r)
        learn(self, r, "");
}

/* Where the disk cannot be seen the ledger is told alone. */
static void on_disk(void *arg, int status, struct gantry_bytes body)
{
    metrics_t *self = arg;
    const struct slice bytes = slice_make(body.data, body.size);
    self->has_disk =
        status == 0 && message_decode(&m_disk_use_layout, bytes, &self->disk, NULL) == 0;
    if (self->front->stopping)
        learn(self, STATUS_UNAVAILABLE, "the service stops");
    else
        ask(self, VERB_LEDGER, on_ledger);
}

static void on_metrics(request_t *request)
{
    metrics_t *self = request_front(request)->metrics;
    const char *away = gantry_client_away(self->front->client);
    if (self->text && clock_ms() - self->known_ms < KNOWN_MS) {
        answer(self, request, 0, "");
    } else if (away) {
        answer(self, request, STATUS_UNAVAILABLE, *away ? away : "no broker answers");
    } else if (self->count == WAITING_MAX) {
        answer(self, request, STATUS_BUSY, "too many ask at once");
    } else {
        self->waiting[self->count++] = request;
        if (!self->asking) {
            self->asking = true;
            ask(self, VERB_DISK, on_disk);
        }
    }
}

const struct route routes_metrics[] = {
    {
        .method = "GET",
        .path = "/metrics",
        .summary = "figures of the disk and of all stages, for Prometheus",
        .handle = on_metrics,
        .answer_type = METRICS_TYPE,
        .answers = { 503 },
    },
    { 0 },
};
