/* One delivery: the record is read through worker.clients, the body made of it and posted. */
#include "services/worker/callback.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/client.h"
#include "proto/codec.h"
#include "proto/message.h"
#include "services/worker/callback_body.h"
#include "services/worker/callback_http.h"
#include "services/worker/callbacks.h"
#include "services/worker/packed.h"
#include "services/worker/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    RECORD_MS = 15000,
    RECORD_AGAIN_MS = 2000, /* the record cannot be had: nobody's failure */
    HEADER_TEXT = 192,
    FAULT_TEXT = 512,
    WORDS_TEXT = 1024
};

struct delivery {
    callbacks_t *all;
    gantry_job_t *job;   /* NULL: nobody's any more; only an answer is still awaited */
    post_t *post;        /* NULL: the record is awaited */
    struct packed given; /* what the input borrows from */
    struct callback_input input;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void delivery_free(struct delivery *self)
{
    post_destroy(&self->post);
    packed_clear(&self->given);
    free(self);
}

/* The job has ended: there is something to report. */
static void let_go(struct delivery *self)
{
    const struct shop_row *shop = callbacks_shop(self->all);
    delivery_free(self);
    shop->ended(shop->arg);
}

static void log_end(const struct delivery *self, const char *event, const struct gantry_end *end)
{
    log_event(LOG_LEVEL_INFO, event, "id=%s task=%s attempt=%u code=%s message=%s",
              gantry_job_id(self->job), gantry_job_task(self->job), gantry_job_attempt(self->job),
              status_name(end->code), end->message);
}

static void fail(struct delivery *self, int status, const char *field, const char *message)
{
    const struct gantry_end end = { .code = status, .message = message, .field = field };
    log_end(self, "failed", &end);
    gantry_job_failed(self->job, &end);
    let_go(self);
}

/* Nobody's failure, and no try of the receiver's. */
static void put_off(struct delivery *self, const char *why)
{
    log_event_seldom(LOG_LEVEL_WARN, "callback_put_off", "id=%s why=%s", gantry_job_id(self->job),
                     why);
    gantry_job_snooze(self->job, RECORD_AGAIN_MS);
    let_go(self);
}

static double luck(void)
{
    uint32_t bits = 0;
    (void)getrandom(&bits, sizeof bits, GRND_NONBLOCK);
    return (double)bits / UINT32_MAX;
}

static void try_again(struct delivery *self, const struct gantry_end *end, const char *retry_after)
{
    const struct settings *settings = callbacks_shop(self->all)->settings;
    const uint32_t failures = gantry_job_failures(self->job);
    if (failures + 1 >= (uint32_t)settings->callback_tries) {
        log_end(self, "failed", end);
        gantry_job_failed(self->job, end);
    } else {
        int64_t wait_ms = retry_after ? callback_retry_after_ms(retry_after, clock_wall_ms()) : -1;
        if (wait_ms < 0)
            wait_ms = callback_backoff_ms(settings->callback_retry_ms, failures, luck());
        log_end(self, "failed_for_now", end);
        gantry_job_retry(self->job, end, wait_ms);
    }
    let_go(self);
}

static void sent(struct delivery *self, long http_status)
{
    scoped_in(packed) output = { 0 };
    msgpack_packer pk = packed_packer(&output);
    msgpack_pack_map(&pk, 3);
    pack_text(&pk, "http_status");
    msgpack_pack_int64(&pk, http_status);
    pack_text(&pk, "tries");
    msgpack_pack_uint32(&pk, gantry_job_failures(self->job) + 1);
    pack_text(&pk, "sent_at_ms");
    msgpack_pack_int64(&pk, clock_wall_ms());
    const struct slice bytes = packed_slice(&output);
    const struct gantry_end end = { .output = { bytes.data, bytes.size } };
    gantry_job_done(self->job, &end);
    let_go(self);
}

/* ---- the post -------------------------------------------------------------------------------- */

static void on_posted(void *arg, const struct post_end *posted)
{
    struct delivery *self = arg;
    char message[FAULT_TEXT];
    char words[WORDS_TEXT];
    self->post = NULL;
    if (posted->outcome == POST_REFUSED) {
        fail(self, STATUS_DENIED, "url", posted->message);
        return;
    }
    if (posted->outcome == POST_ANSWERED && posted->status / 100 == 2) {
        sent(self, posted->status);
        return;
    }
    if (posted->outcome == POST_ANSWERED)
        (void)snprintf(message, sizeof message, "the receiver answered %ld%s", posted->status,
                       posted->status / 100 == 3 ? ", and redirects are not followed" : "");
    else
        (void)snprintf(message, sizeof message, "the receiver did not answer: %s", posted->message);
    (void)snprintf(words, sizeof words, "%.*s", SLICE_ARG(posted->answer));
    const struct gantry_end end = { .code = STATUS_FAILED,
                                    .message = message,
                                    .last_words = words[0] ? words : NULL };
    try_again(self, &end, posted->retry_after);
}

static int post_body(struct delivery *self, struct slice body)
{
    const struct settings *settings = callbacks_shop(self->all)->settings;
    const char *id = gantry_job_id(self->job);
    char request[HEADER_TEXT], delivery[HEADER_TEXT], signature[HEADER_TEXT];
    (void)snprintf(request, sizeof request, "X-Request-Id: %s", id);
    (void)snprintf(delivery, sizeof delivery, "Gantry-Delivery: %s", id);
    const char *headers[] = { "Content-Type: application/json", request, delivery, NULL, NULL };
    if (*settings->callback_secret) {
        char signed_by[CALLBACK_SIGNATURE];
        if (!callback_sign(settings->callback_secret, clock_wall_ms() / 1000, body, signed_by))
            return -ENOMEM;
        (void)snprintf(signature, sizeof signature, "Gantry-Signature: %s", signed_by);
        headers[3] = signature;
    }
    const uint32_t limit_ms = gantry_job_timeout_ms(self->job);
    scoped_text char *url = slice_dup(self->input.url);
    if (!url)
        return -ENOMEM;
    const struct post_row row = {
        .url = url,
        .headers = headers,
        .user_agent = settings->callback_user_agent,
        .body = body,
        .allow = settings->callback_allow,
        .owned = self->input.owned,
        .timeout_ms = limit_ms && limit_ms < settings->callback_timeout_ms
                          ? limit_ms
                          : settings->callback_timeout_ms,
        .done = on_posted,
        .arg = self,
    };
    poster_t *poster = callbacks_poster(self->all);
    return poster ? post_begin(poster, &row, &self->post) : -ENOMEM;
}

/* ---- the record ------------------------------------------------------------------------------ */

/* STATUS_INVALID: the URL is none. */
static int post_record(struct delivery *self, struct slice packed)
{
    const struct settings *settings = callbacks_shop(self->all)->settings;
    scoped(gantry_record) record = NULL;
    scoped_text char *text = NULL;
    size_t size = 0;
    int r = record_new(packed, &record);
    if (r)
        return r == -ENOMEM ? r : STATUS_MALFORMED;
    const struct callback_body_row row = {
        .input = &self->input,
        .record = record,
        .only_task = strcmp(settings->reuse_result_stages, "requested") == 0,
        .always_reuse = strcmp(settings->callback_reuse_info, "always") == 0,
        .now_ms = (uint64_t)clock_wall_ms(),
    };
    r = callback_body(&row, &text, &size);
    return r ? r : post_body(self, slice_make(text, size));
}

static bool is_away(int status)
{
    return status < 0 || status == STATUS_UNAVAILABLE || status == STATUS_BUSY ||
           status == STATUS_TIMEOUT;
}

static void on_record(void *arg, int status, struct gantry_bytes body)
{
    struct delivery *self = arg;
    bool wrong_url = false;
    if (!self->job) {
        delivery_free(self);
        return;
    }
    if (status == STATUS_NOT_FOUND) {
        gantry_job_skipped(self->job, NULL);
        let_go(self);
        return;
    }
    if (status == 0) {
        status = post_record(self, slice_make(body.data, body.size));
        wrong_url = status == STATUS_INVALID;
    }
    if (status == 0)
        return;
    if (is_away(status))
        put_off(self, gantry_status_text(status));
    else if (wrong_url)
        fail(self, status, "url", "it reads as an address, but is none");
    else
        fail(self, status, "", "no body can be made of the task's record");
}

static int ask_for_record(struct delivery *self)
{
    const struct m_ref ref = { .id = self->input.task_id };
    scoped_in(packed) body = { 0 };
    msgpack_packer pk = packed_packer(&body);
    message_encode(&m_ref_layout, &ref, &pk);
    const struct slice bytes = packed_slice(&body);
    if (bytes.size == 0)
        return -ENOMEM;
    return callbacks_call(self->all, VERB_GET, bytes, RECORD_MS, on_record, self);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static struct delivery *delivery_new(callbacks_t *all, gantry_job_t *job, struct slice input)
{
    struct delivery *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    msgpack_packer pk = packed_packer(&self->given);
    pack_raw(&pk, input);
    self->all = all;
    self->job = job;
    if (packed_slice(&self->given).size)
        return self;
    delivery_free(self);
    return NULL;
}

static void callback_begin(void *shared, gantry_job_t *job, struct slice input)
{
    callbacks_t *all = shared;
    const char *field = NULL;
    struct delivery *self = delivery_new(all, job, input);
    if (!self) {
        gantry_job_snooze(job, RECORD_AGAIN_MS);
        callbacks_shop(all)->ended(callbacks_shop(all)->arg);
        return;
    }
    gantry_job_set_user(job, self);
    int r = callback_input_read(packed_slice(&self->given), &self->input, &field);
    if (r) {
        fail(self, r, field, "it is not what a delivery needs");
        return;
    }
    r = ask_for_record(self);
    if (r)
        put_off(self, gantry_status_text(r));
}

static void callback_stop(void *shared, gantry_job_t *job, enum gantry_stop why)
{
    (void)shared;
    struct delivery *self = gantry_job_user(job);
    const struct shop_row *shop = callbacks_shop(self->all);
    const bool posting = self->post != NULL;
    if (why == GANTRY_STOP_CANCEL)
        gantry_job_cancelled(job, NULL);
    else
        gantry_job_return(job);
    self->job = NULL;
    if (posting)
        delivery_free(self);
    shop->ended(shop->arg);
}

const struct node_async callback_async = {
    .open = callbacks_open,
    .close = callbacks_close,
    .begin = callback_begin,
    .stop = callback_stop,
};
