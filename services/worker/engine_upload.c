/* storage.auto_upload: the files and folders that the output names go to the store too, and their
 * addresses stand beside them. */
#include "services/worker/engine_self.h"
#include "services/worker/transfer.h"

#include "common/scoped.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* In the attempt's folder until it is handed over; what a node left where it was lies in the
 * task's. */
static const char *path_now(engine_t *self, const char *relative)
{
    return access(relative, F_OK) == 0 ? relative : engine_final_path(self, relative);
}

static int upload(engine_t *self, const struct put_path *path, char *ret_url, char *why)
{
    char key[OBJECTS_KEY_MAX + 1];
    const char *now = path_now(self, path->relative);
    if (!now)
        return -ENOMEM;
    (void)snprintf(key, sizeof key, "%s/%.800s", self->id, path->relative);
    struct transfer_done done = { .files = 0 };
    const struct transfer_put put = {
        .path = now, .bucket = "", .key = key, .content_type = "", .archive = ""
    };
    int r = transfer_put(self, &put, &done, why);
    if (r == 0)
        memcpy(ret_url, done.url, sizeof done.url);
    transfer_done_clear(&done);
    return r;
}

int engine_upload_paths(engine_t *self)
{
    size_t count = 0, at = 0;
    for (const struct put_path *path = self->paths; path; path = path->next)
        count += path->relative && !path->stays;
    if (!self->settings.storage_auto_upload || self->skipped || count == 0)
        return 0;
    self->run_from = self->run_to;
    self->run_to = 1;
    for (const struct put_path *path = self->paths; path; path = path->next) {
        if (!path->relative || path->stays)
            continue;
        char url[OBJECTS_URL_MAX];
        char why[TRANSFER_WHY] = "";
        char field[FIELD_MAX * 2];
        engine_share(self, (double)at / (double)count, (double)(at + 1) / (double)count);
        int r = upload(self, path, url, why);
        (void)snprintf(field, sizeof field, "%s%s", path->key, r ? "_upload_error" : "_minio_url");
        engine_put_text(self, field, r == 0 ? url : why[0] ? why : strerror(-r));
        at++;
    }
    return 0;
}
