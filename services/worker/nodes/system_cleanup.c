/* system.cleanup: one pass that removes what has expired and what nobody works at any more. It is a
 * client like any other: what it forgets, FORGET forgets, which refuses what lives. Another pass at
 * the same time does no harm, and one that was killed is gone on with by the next. */
#include "services/worker/nodes/cleanup.h"

#include "common/clock.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_MOST_MS UINT64_C(315360000000) /* ten years */

static int take_time(engine_t *engine, const char *key, int64_t usual_ms, int64_t *ret_ms)
{
    uint64_t ms = 0;
    *ret_ms = usual_ms;
    if (!engine_given(engine, key))
        return 0;
    int r = engine_whole(engine, key, 0, TIME_MOST_MS, &ms);
    if (r == 0)
        *ret_ms = (int64_t)ms;
    return r;
}

/* An upload over HTTP has a folder before it has a record. */
static int64_t usual_grace_ms(const struct settings *settings)
{
    return settings->cleanup_grace_ms > settings->front_upload_ms ? settings->cleanup_grace_ms
                                                                  : settings->front_upload_ms;
}

static int read_inputs(struct cleanup *self, const struct settings *settings)
{
    engine_t *engine = self->engine;
    int r = engine_switch(engine, "dry_run", &self->dry_run);
    if (r == 0)
        r = engine_switch(engine, "many", &self->many);
    if (r == 0)
        r = take_time(engine, "retention_ms", settings->storage_retention_ms, &self->retention_ms);
    if (r == 0)
        r = take_time(engine, "grace_ms", usual_grace_ms(settings), &self->grace_ms);
    if (r == 0)
        r = take_time(engine, "tmp_ms", settings->cleanup_tmp_ms, &self->tmp_ms);
    return r;
}

static int open_pass(struct cleanup *self)
{
    const struct settings *settings = engine_settings(self->engine);
    int r = read_inputs(self, settings);
    if (r)
        return r;
    self->root = settings->storage_root;
    self->now_ms = clock_wall_ms();
    (void)snprintf(self->self, sizeof self->self, "%s", engine_task(self->engine));
    if (snprintf(self->videos, sizeof self->videos, "%s/videos", settings->storage_local) >=
        PATH_MAX)
        return -ENAMETOOLONG;
    self->client = gantry_client_new(settings->worker_clients);
    return self->client ? 0
                        : engine_refuse(self->engine, STATUS_INTERNAL, NULL,
                                        "worker.clients names no endpoint");
}

static void put_names(msgpack_packer *pk, const struct cleanup_step *step)
{
    pack_text(pk, "names");
    msgpack_pack_array(pk, step->names_count);
    for (size_t i = 0; i < step->names_count; i++)
        pack_text(pk, step->names[i]);
}

static void put_step(engine_t *engine, const struct cleanup_step *step)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        { "found", step->found },
        { "removed", step->removed },
        { "kept", step->kept },
        { "failed", step->failed },
    };
    msgpack_sbuffer map;
    msgpack_packer pk;
    msgpack_sbuffer_init(&map);
    msgpack_packer_init(&pk, &map, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, sizeof rows / sizeof *rows + 1 + (step->why[0] ? 1 : 0));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pack_text(&pk, rows[i].name);
        msgpack_pack_uint64(&pk, rows[i].value);
    }
    put_names(&pk, step);
    if (step->why[0]) {
        pack_text(&pk, "why");
        pack_text(&pk, step->why);
    }
    engine_put_packed(engine, step->name, slice_make(map.data, map.size));
    msgpack_sbuffer_destroy(&map);
}

typedef int pass_fn(struct cleanup *self);

static int run(struct cleanup *self)
{
    static pass_fn *const steps[] = { cleanup_expired, cleanup_folders, cleanup_orphans,
                                      cleanup_orphan_records, cleanup_trash };
    static const double shares[] = { 0.3, 0.5, 0.8, 0.95, 1 };
    int r = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && r == 0; i++) {
        r = steps[i](self);
        engine_progress(self->engine, shares[i]);
    }
    return r;
}

static void report(struct cleanup *self, int64_t begin_ms)
{
    const struct cleanup_step *const steps[] = { &self->expired,        &self->temporary,
                                                 &self->trash,          &self->orphan_folders,
                                                 &self->orphan_records, &self->strangers };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        put_step(self->engine, steps[i]);
    engine_put_switch(self->engine, "dry_run", self->dry_run);
    engine_put_whole(self->engine, "took_ms", (uint64_t)(clock_ms() - begin_ms));
}

int system_cleanup(engine_t *engine)
{
    const int64_t begin_ms = clock_ms();
    struct cleanup self = {
        .engine = engine,
        .expired = { .name = "expired" },
        .temporary = { .name = "temporary" },
        .trash = { .name = "trash" },
        .orphan_folders = { .name = "orphan_folders" },
        .orphan_records = { .name = "orphan_records" },
        .strangers = { .name = "strangers" },
    };
    int r = open_pass(&self);
    if (r == 0)
        r = run(&self);
    if (r == 0)
        report(&self, begin_ms);
    if (self.client)
        gantry_client_destroy(&self.client);
    free(self.orphans.ids);
    free(self.lost.ids);
    return r;
}
