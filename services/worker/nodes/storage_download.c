/* storage.download: what a source names becomes a file or a folder of the task's. */
#include "services/worker/transfer.h"

#include "common/scoped.h"
#include "common/storage/storage.h"

#include <strings.h>

#define MADE "downloaded"

/* "frames" of "frames.tar.gz". */
static void strip_ending(char *name)
{
    static const char *const endings[] = { ".zip", ".tar.gz", ".tgz" };
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (size > ending && strcasecmp(name + size - ending, endings[i]) == 0) {
            name[size - ending] = '\0';
            return;
        }
    }
}

static int read_inputs(engine_t *engine, struct transfer_get *get, const char **ret_place)
{
    int r = engine_text(engine, "source", &get->source);
    if (r == 0 && engine_given(engine, "local_path"))
        r = engine_text(engine, "local_path", ret_place);
    if (r == 0)
        r = engine_switch(engine, "auto_decompress", &get->unpack);
    if (r == 0 && *ret_place && !storage_is_place(*ret_place))
        r = engine_refuse(engine, STATUS_INVALID, "local_path",
                          "%.300s is no place in the task's folder", *ret_place);
    return r;
}

int storage_download(engine_t *engine)
{
    const char *place = NULL;
    char why[TRANSFER_WHY] = "";
    struct transfer_get get = { .to = MADE, .folders = true };
    struct transfer_got got = { .folder = false };
    int r = read_inputs(engine, &get, &place);
    if (r)
        return r;
    r = transfer_get(engine, &get, &got, why);
    if (r)
        return transfer_refuse(engine, r, "source", why);
    if (got.unpacked)
        strip_ending(got.name);
    place = place ? place : got.name;
    if (!storage_is_place(place))
        return engine_refuse(engine, STATUS_INVALID, "local_path",
                             "the source's name, %.200s, is no place in the task's folder", place);
    engine_stays(engine, "local_path"); /* that the store has, or need not have */
    engine_put_path(engine, "local_path", place);
    engine_put_whole(engine, "files_count", got.files);
    engine_put_whole(engine, "bytes", got.bytes);
    if (got.sha256[0])
        engine_put_text(engine, "sha256", got.sha256);
    engine_put_switch(engine, "unpacked", got.unpacked);
    engine_hand_over_as(engine, MADE, place);
    return 0;
}
