/* What of a run goes to the broker and the log when it has come to its end. */
#include "services/worker/shop.h"

#include "common/log.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"

enum { REST_LEAST_MS = 1000, REST_DOUBLINGS = 5 };

static struct gantry_bytes bytes_of(struct slice slice)
{
    return (struct gantry_bytes){ slice.data, slice.size };
}

static void pack_usage(const run_t *self, struct packed *usage)
{
    const struct exec_report *report = &self->end.report;
    msgpack_packer pk = packed_packer(usage);
    if (self->begin_ms == 0)
        return;
    msgpack_pack_map(&pk, 4);
    pack_text(&pk, "wall_ms");
    msgpack_pack_int64(&pk, self->wall_ms);
    pack_text(&pk, "user_ms");
    msgpack_pack_int64(&pk, report->user_ms);
    pack_text(&pk, "system_ms");
    msgpack_pack_int64(&pk, report->system_ms);
    pack_text(&pk, "rss_bytes");
    msgpack_pack_int64(&pk, report->rss_bytes);
}

static void end_job(run_t *self, const struct gantry_end *end)
{
    gantry_job_t *job = self->job;
    self->job = NULL;
    if (self->kind == VERDICT_DONE)
        gantry_job_done(job, end);
    else if (self->kind == VERDICT_SKIPPED)
        gantry_job_skipped(job, end);
    else if (self->kind == VERDICT_CANCELLED)
        gantry_job_cancelled(job, end);
    else if (self->kind == VERDICT_RETURN || self->kind == VERDICT_TROUBLE)
        gantry_job_return(job);
    else if (self->kind == VERDICT_SNOOZED)
        gantry_job_snooze(job, self->messages.after_ms);
    else if (self->kind == VERDICT_RETRY)
        gantry_job_retry(job, end,
                         self->messages.result == MESSAGES_RETRY ? self->messages.after_ms : -1);
    else
        gantry_job_failed(job, end);
}

static const char *return_reason(const run_t *self)
{
    if (!self->facts.stopped)
        return self->fault.code == STATUS_STALE ? "late" : "deadline";
    return self->facts.why == GANTRY_STOP_DRAIN ? "drain" : "stale";
}

static void log_end(const run_t *self)
{
    if (self->kind == VERDICT_FAILED || self->kind == VERDICT_RETRY)
        log_event(LOG_LEVEL_INFO, self->kind == VERDICT_RETRY ? "failed_for_now" : "failed",
                  "id=%s task=%s attempt=%u code=%s message=%s", self->id, self->row->name,
                  self->attempt, status_name(self->fault.code), self->fault.message);
    else if (self->kind == VERDICT_TROUBLE)
        log_event(LOG_LEVEL_ERROR, "machine_trouble", "id=%s task=%s attempt=%u why=%s", self->id,
                  self->row->name, self->attempt, self->fault.message);
    else if (self->kind == VERDICT_RETURN)
        log_event(LOG_LEVEL_INFO, "given_up", "id=%s task=%s attempt=%u why=%s", self->id,
                  self->row->name, self->attempt, return_reason(self));
    else
        log_event(LOG_LEVEL_DEBUG, "ended", "id=%s task=%s attempt=%u verdict=%d", self->id,
                  self->row->name, self->attempt, (int)self->kind);
}

/* A machine that cannot run tasks must not eat the queue: it rests, longer with each failure. */
static void rest_in_trouble(const run_t *self)
{
    shop_t *shop = self->shop;
    if (self->kind != VERDICT_TROUBLE) {
        shop->troubles = 0;
        return;
    }
    unsigned doublings = shop->troubles < REST_DOUBLINGS ? shop->troubles : REST_DOUBLINGS;
    shop->troubles++;
    shop->row.rest(shop->row.arg, (int64_t)REST_LEAST_MS << doublings);
}

void run_finish(run_t **self_p)
{
    run_t *self = *self_p;
    scoped_in(packed) usage = { 0 };
    char last_words[TAIL_BYTES + 1];
    pack_usage(self, &usage);
    if (self->facts.stopped && self->facts.why == GANTRY_STOP_CANCEL)
        self->kind = VERDICT_CANCELLED; /* may have come during the hand-over */
    if (self->fault.code < 0)
        self->fault.code = STATUS_INTERNAL;
    struct gantry_end end = { .usage = bytes_of(packed_slice(&usage)) };
    if (self->kind == VERDICT_DONE || self->kind == VERDICT_SKIPPED) {
        end.output = bytes_of(self->messages.output);
    } else if (self->kind == VERDICT_FAILED || self->kind == VERDICT_RETRY) {
        tail_text(&self->end.tail, last_words);
        end.code = self->fault.code;
        end.message = self->fault.message;
        end.field = self->fault.field[0] ? self->fault.field : NULL;
        end.exit_code = self->end.report.exit_code;
        end.signal = self->end.report.signal;
        end.last_words = last_words[0] ? last_words : NULL;
    }
    if (self->messages.checkpoint.size) /* no memory: the next attempt gets the one before */
        (void)gantry_job_keep(self->job, bytes_of(self->messages.checkpoint));
    log_end(self);
    rest_in_trouble(self);
    const struct shop_row *shop = &self->shop->row; /* its owner's hold keeps it */
    end_job(self, &end);
    run_destroy(self_p);
    shop->ended(shop->arg);
}
