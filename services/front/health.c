#include "services/front/health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/status.h"
#include "proto/schema.h"
#include "services/front/openapi.h"
#include "services/front/route.h"

enum { WAITING_MAX = 256, KNOWN_MS = 1000, ASK_MS = 2000, RETRY_AFTER_MS = 1000, WHY_SIZE = 512 };

struct health {
    struct front *front;
    bool asking;
    bool known; /* ever */
    int64_t known_ms;
    char *document; /* of the API, once somebody asked for it */
    int status;     /* of the last question; 0: all answer */
    char why[WHY_SIZE];
    size_t count;
    request_t *waiting[WAITING_MAX]; /* while asking */
};

health_t *health_new(struct front *front)
{
    health_t *self = calloc(1, sizeof *self);
    if (self)
        self->front = front;
    return self;
}

void health_destroy(health_t **self_p)
{
    if (*self_p)
        free((*self_p)->document);
    free(*self_p);
    *self_p = NULL;
}

static void answer(const health_t *self, request_t *request)
{
    if (self->status == 0)
        request_answer(request, 200, json_pack("{s:s}", "status", "ready"));
    else
        request_refuse(request, 503, RETRY_AFTER_MS, "%s", self->why);
}

/* All who wait are told. */
static void learn(health_t *self, int status, const char *why)
{
    self->asking = false;
    self->known = true;
    self->known_ms = clock_ms();
    self->status = status;
    (void)snprintf(self->why, sizeof self->why, "%s", *why ? why : gantry_status_text(status));
    const size_t count = self->count;
    self->count = 0;
    for (size_t i = 0; i < count; i++)
        answer(self, self->waiting[i]);
}

static void on_ledger(void *arg, int status, struct gantry_bytes body)
{
    health_t *self = arg;
    (void)body;
    learn(self, status, status ? gantry_client_error(self->front->client)->message : "");
}

/* The ledger lies in the store, and is small. */
static void ask(health_t *self)
{
    gantry_client_t *client = self->front->client;
    const char *away = gantry_client_away(client);
    if (away) {
        learn(self, STATUS_UNAVAILABLE, *away ? away : "no broker answers");
        return;
    }
    const struct gantry_bytes nothing = { 0 };
    self->asking = true;
    int r = gantry_call_begin(client, VERB_LEDGER, "", nothing, ASK_MS, on_ledger, self);
    if (r)
        learn(self, r, "");
    else
        self->front->wake(self->front);
}

static void on_ready(request_t *request)
{
    health_t *self = request_front(request)->health;
    if (request_front(request)->stopping) {
        request_refuse(request, 503, RETRY_AFTER_MS, "the service stops");
        return;
    }
    if (!self->asking && self->known && clock_ms() - self->known_ms < KNOWN_MS) {
        answer(self, request);
        return;
    }
    if (self->count == WAITING_MAX) {
        request_refuse(request, 503, RETRY_AFTER_MS, "too many ask at once");
        return;
    }
    self->waiting[self->count++] = request;
    if (!self->asking)
        ask(self);
}

static void on_health(request_t *request)
{
    request_answer(request, 200, json_pack("{s:s}", "status", "ok"));
}

static void on_document(request_t *request)
{
    health_t *self = request_front(request)->health;
    if (!self->document) {
        json_auto_t *document = openapi_document();
        self->document = document ? json_dumps(document, JSON_COMPACT) : NULL;
    }
    if (self->document)
        request_answer_text(request, 200, self->document);
    else
        request_refuse_status(request, -ENOMEM, "", 0, "");
}

const struct route routes_service[] = {
    {
        .method = "GET",
        .path = "/healthz",
        .summary = "whether the process runs",
        .handle = on_health,
        .answer = "Health",
    },
    {
        .method = "GET",
        .path = "/readyz",
        .summary = "whether a broker, a state service and its store answer",
        .handle = on_ready,
        .answer = "Ready",
        .answers = { 503 },
    },
    {
        .method = "GET",
        .path = "/openapi.json",
        .summary = "this document",
        .handle = on_document,
        .answer = "Document",
    },
    { 0 },
};
