/* The settings that the worker passed on, and the object store that they name. */
#include "services/worker/engine_self.h"

#include "common/objects/objects_settings.h"
#include "common/setting_row.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdio.h>

static const struct setting_row *find_row(struct slice name)
{
    for (size_t i = 0; i < SETTING_ROWS; i++)
        if (slice_is(name, setting_rows[i].name))
            return &setting_rows[i];
    return NULL;
}

static int take(engine_t *self, struct slice name, struct slice value)
{
    struct slice text;
    char error[CONFIG_ERROR];
    const struct setting_row *row = find_row(name);
    if (!row)
        return 0; /* of a worker that is newer */
    char *copy = codec_str(value, &text) ? engine_text_new(self, text.size + 1) : NULL;
    if (!copy || !slice_copy(text, copy, text.size + 1))
        return engine_refuse(self, STATUS_MALFORMED, NULL, "the setting %s is no text", row->name);
    int r = setting_take(row, copy, "worker", &self->settings, error);
    return r ? engine_refuse(self, STATUS_INTERNAL, NULL, "%s", error) : 0;
}

int engine_take_settings(engine_t *self)
{
    struct slice map, name, key, value;
    struct reader reader;
    uint32_t pairs = 0;
    setting_defaults(&self->settings);
    if (!codec_find(self->before, "settings", &map))
        return 0;
    if (!codec_map(map, &reader, &pairs))
        return engine_refuse(self, STATUS_MALFORMED, NULL, "the settings are no map");
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < pairs; i++)
        if (reader_value(&reader, &key) && reader_value(&reader, &value) && codec_str(key, &name))
            r = take(self, name, value);
    return r;
}

const struct settings *engine_settings(const engine_t *self)
{
    return &self->settings;
}

int engine_store(engine_t *self, objects_t **ret_objects, char *ret_why, size_t size)
{
    char why[256] = "";
    int r = self->objects ? 0 : objects_of_settings(&self->settings, &self->objects, why);
    if (r == 0)
        *ret_objects = self->objects;
    else if (r == STATUS_UNSUPPORTED)
        (void)snprintf(ret_why, size, "no object store is configured: set objects.endpoint");
    else
        (void)snprintf(ret_why, size, "%s", r > 0 ? why : strerror(-r));
    return r;
}

int engine_objects(engine_t *self, objects_t **ret_objects)
{
    char why[256] = "";
    int r = engine_store(self, ret_objects, why, sizeof why);
    return r > 0 ? engine_refuse(self, (enum status)r, NULL, "%s", why) : r;
}
