#include "services/worker/nodes/upload.h"

#include "common/scoped.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdio.h>

static int read_format(engine_t *engine, const struct upload_inputs *inputs,
                       struct transfer_put *put)
{
    const char *text;
    int r = engine_text(engine, inputs->format, &text);
    if (r || pack_format_of(text, &put->format))
        return r;
    if (!inputs->fall_back)
        return engine_refuse(engine, STATUS_INVALID, inputs->format, "%s must be zip or tar.gz",
                             inputs->format);
    put->compress = false;
    put->fall_back = true;
    return 0;
}

int upload_read_archive(engine_t *engine, const struct upload_inputs *inputs,
                        struct transfer_put *put)
{
    const char *text;
    int r = engine_switch(engine, inputs->compress, &put->compress);
    if (r || !put->compress)
        return r;
    put->fall_back = inputs->fall_back;
    r = engine_text(engine, inputs->level, &text);
    if (r == 0 && !pack_level_of(text, &put->level))
        r = engine_refuse(engine, STATUS_INVALID, inputs->level,
                          "%s must be store, fast, default or maximum", inputs->level);
    return r ? r : read_format(engine, inputs, put);
}

int upload_read(engine_t *engine, const struct upload_inputs *inputs, struct upload_wish *ret_wish)
{
    objects_t *objects;
    char why[TRANSFER_WHY] = "";
    *ret_wish = (struct upload_wish){ .put = { .bucket = "", .content_type = "" } };
    int r = engine_switch(engine, inputs->upload, &ret_wish->upload);
    if (r == 0)
        r = engine_switch(engine, inputs->remove, &ret_wish->remove);
    if (r || !ret_wish->upload)
        return r;
    ret_wish->put.verify = ret_wish->remove;
    r = upload_read_archive(engine, inputs, &ret_wish->put);
    if (r)
        return r;
    r = engine_store(engine, &objects, why, sizeof why);
    return r > 0 ? engine_refuse(engine, (enum status)r, inputs->upload, "%s", why) : r;
}

static void put_info(engine_t *engine, const char *key, const struct transfer_done *done)
{
    const struct pack_stats *stats = &done->stats;
    double ratio =
        stats->original_bytes ? 1 - (double)stats->packed_bytes / (double)stats->original_bytes : 0;
    scoped_in(packed) info = { .failed = false };
    msgpack_packer pk = packed_packer(&info);
    msgpack_pack_map(&pk, 7);
    pack_text(&pk, "original_size");
    msgpack_pack_uint64(&pk, stats->original_bytes);
    pack_text(&pk, "compressed_size");
    msgpack_pack_uint64(&pk, stats->packed_bytes);
    pack_text(&pk, "compression_ratio");
    msgpack_pack_double(&pk, ratio);
    pack_text(&pk, "files_count");
    msgpack_pack_uint64(&pk, stats->files);
    pack_text(&pk, "compression_time");
    msgpack_pack_double(&pk, stats->seconds);
    pack_text(&pk, "checksum");
    pack_text(&pk, stats->sha256);
    pack_text(&pk, "format");
    pack_text(&pk, pack_suffix(done->format) + 1);
    engine_put_packed(engine, key, packed_slice(&info));
}

static void put_archive(engine_t *engine, const struct upload_names *names,
                        const struct transfer_done *done)
{
    engine_put_text(engine, names->url, done->url);
    if (done->compressed) {
        engine_put_text(engine, names->archive, done->url);
        put_info(engine, names->info, done);
    }
    engine_put_packed(engine, names->uploaded, packed_slice(&done->names));
    if (names->fallback)
        engine_put_switch(engine, names->fallback, done->fell_back);
}

void upload_put_output(engine_t *engine, const struct upload_names *names,
                       const struct transfer_done *done)
{
    put_archive(engine, names, done);
    engine_put_whole(engine, names->files, done->files);
}

static int upload(engine_t *engine, const struct upload_wish *wish,
                  const struct upload_folder *made, struct transfer_done *done, char *why)
{
    char key[OBJECTS_KEY_MAX + 1];
    struct transfer_put put = wish->put;
    const char *slash = strrchr(made->relative, '/');
    (void)snprintf(key, sizeof key, "%s/%.800s", engine_task(engine), made->base);
    put.path = made->relative;
    put.key = key;
    put.archive = slash ? slash + 1 : made->relative;
    return transfer_put(engine, &put, done, why);
}

int upload_made(engine_t *engine, const struct upload_wish *wish, const struct upload_names *names,
                const struct upload_folder *made)
{
    char why[TRANSFER_WHY] = "";
    struct transfer_done done = { .files = 0 };
    int r = wish->upload ? upload(engine, wish, made, &done, why) : 0;
    if (wish->upload)
        engine_stays(engine, names->folder);
    if (wish->upload && wish->remove && r == 0) {
        engine_put_text(engine, names->folder, done.url);
    } else {
        engine_put_path(engine, names->folder, made->relative);
        engine_hand_over(engine, made->relative);
    }
    engine_put_whole(engine, names->files, made->files);
    if (r)
        engine_put_text(engine, names->error, why);
    else if (wish->upload)
        put_archive(engine, names, &done);
    transfer_done_clear(&done);
    return 0;
}
