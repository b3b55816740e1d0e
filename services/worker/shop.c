#include "services/worker/shop.h"

#include "common/log.h"
#include "proto/codec.h"
#include "services/worker/pass_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void let_go(shop_t *self)
{
    if (--self->holders > 0)
        return;
    free(self->launcher);
    free(self->engine);
    free(self->roots);
    packed_clear(&self->settings);
    free(self);
}

static char *text(const char *first, const char *between, const char *second)
{
    char *joined = NULL;
    return asprintf(&joined, "%s%s%s", first, between, second) < 0 ? NULL : joined;
}

shop_t *shop_new(const struct shop_row *row)
{
    shop_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->row = *row;
    self->holders = 1;
    self->launcher = text(row->programs, "/", "gantry-exec");
    self->engine = text(row->programs, "/", "gantry-engine");
    if (asprintf(&self->roots, "%s,%s,%s", row->settings->storage_local,
                 row->settings->storage_input_roots, row->settings->storage_legacy) < 0)
        self->roots = NULL;
    int r = pass_settings(row->settings, &self->settings);
    if (r)
        log_event(LOG_LEVEL_ERROR, "settings_unfit", "why=%s", strerror(-r));
    if (r || !self->launcher || !self->engine || !self->roots)
        shop_destroy(&self);
    return self;
}

void shop_destroy(shop_t **self_p)
{
    shop_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->runs) {
        run_t *run = self->runs;
        self->runs = run->next;
        run->job = NULL;
        if (run->child || run->waiting) /* else a thread has it, and it goes when that is done */
            run_destroy(&run);
    }
    let_go(self);
}

static void renew_engines(shop_t *self, int64_t until_ms)
{
    self->until_ms = until_ms;
    for (run_t *run = self->runs; run; run = run->next)
        if (run->child)
            child_renew(run->child, until_ms);
}

static void let_go_on(shop_t *self, int64_t confirmed_until_ms)
{
    self->confirmed_until_ms = confirmed_until_ms;
    for (run_t *run = self->runs; run; run = run->next)
        if (run->waiting)
            run_go_on(run);
}

void shop_renew(shop_t *self, int64_t until_ms, int64_t confirmed_until_ms)
{
    if (until_ms > self->until_ms)
        renew_engines(self, until_ms);
    if (confirmed_until_ms > self->confirmed_until_ms)
        let_go_on(self, confirmed_until_ms);
}

/* ---- runs, as far as they are only memory ------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    run_t *self = handle->data;
    packed_clear(&self->given);
    packed_clear(&self->inputs);
    packed_clear(&self->before);
    messages_clear(&self->messages);
    free(self->id);
    let_go(self->shop);
    free(self);
}

void run_destroy(run_t **self_p)
{
    run_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    run_t **at = &self->shop->runs;
    while (*at && *at != self)
        at = &(*at)->next;
    if (*at)
        *at = self->next;
    child_destroy(&self->child);
    self->waiting = false;
    uv_close((uv_handle_t *)&self->limit, on_closed);
}

static void pack_before(const gantry_job_t *job, const struct shop_node *node,
                        struct packed *before)
{
    struct gantry_bytes checkpoint = gantry_job_checkpoint(job);
    struct gantry_bytes input = gantry_job_input(job);
    struct slice given = slice_make(input.data, input.size);
    msgpack_packer pk = packed_packer(before);
    msgpack_pack_map(&pk, 7);
    pack_text(&pk, "attempt");
    msgpack_pack_uint32(&pk, gantry_job_attempt(job));
    pack_text(&pk, "failures");
    msgpack_pack_uint32(&pk, gantry_job_failures(job));
    pack_text(&pk, "crashes");
    msgpack_pack_uint32(&pk, gantry_job_crashes(job));
    pack_text(&pk, "checkpoint");
    pack_raw(&pk, slice_make(checkpoint.data, checkpoint.size));
    pack_text(&pk, "owned");
    if (gantry_job_owned(job))
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
    pack_text(&pk, "addresses");
    inputs_addresses(node->row, codec_check(given) == 0 ? given : slice_make(NULL, 0), &pk);
    pack_text(&pk, "settings");
    pack_raw(&pk, packed_slice(&node->shop->settings));
}

run_t *run_new(gantry_job_t *job, const struct shop_node *node)
{
    run_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->shop = node->shop;
    self->shop->holders++;
    self->job = job;
    self->row = node->row;
    self->attempt = gantry_job_attempt(job);
    self->id = strdup(gantry_job_id(job));
    (void)uv_timer_init(node->shop->row.loop, &self->limit);
    self->limit.data = self;
    self->task.data = self;
    self->next = node->shop->runs;
    node->shop->runs = self;

    struct gantry_bytes input = gantry_job_input(job);
    msgpack_packer pk = packed_packer(&self->given);
    if (input.size)
        pack_raw(&pk, slice_make(input.data, input.size));
    pack_before(job, node, &self->before);
    if (!self->id || self->given.failed || self->before.failed)
        run_destroy(&self);
    return self;
}
