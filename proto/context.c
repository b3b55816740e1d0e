#include "proto/context.h"

#include "common/clock.h"
#include "common/slice.h"
#include "proto/json.h"

#include <errno.h>
#include <strings.h>

/* ---- states ---------------------------------------------------------------------------------- */

struct naming {
    const char *state;
    const char *status;
    const char *stage_status;
    bool final;
};

static const struct naming namings[] = {
    { "scheduled", "pending", "PENDING", false },    { "pending", "pending", "PENDING", false },
    { "running", "running", "RUNNING", false },      { "cancelling", "running", "RUNNING", false },
    { "completed", "completed", "SUCCESS", true },   { "skipped", "completed", "SKIPPED", true },
    { "failed", "failed", "FAILED", true },          { "quarantined", "failed", "FAILED", true },
    { "cancelled", "cancelled", "CANCELLED", true },
};

/* No state at all, or one of a later version: nothing that has ended. */
static const struct naming *naming_of(const char *state)
{
    static const struct naming none = { "", "pending", "PENDING", false };
    for (size_t i = 0; i < sizeof namings / sizeof namings[0]; i++)
        if (strcmp(state, namings[i].state) == 0)
            return &namings[i];
    return &none;
}

const char *context_status(const char *state)
{
    return naming_of(state)->status;
}

const char *context_stage_status(const char *state)
{
    return naming_of(state)->stage_status;
}

bool context_is_final(const char *state)
{
    return naming_of(state)->final;
}

/* ---- times ----------------------------------------------------------------------------------- */

const char *context_time(uint64_t ms, char text[32])
{
    const uint64_t year_10000_ms = UINT64_C(253402300800000);
    text[0] = '\0';
    return ms && ms < year_10000_ms ? clock_text((int64_t)ms, text) : text;
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

const struct gantry_stage *context_newest(const gantry_record_t *record)
{
    const struct gantry_stage *newest = NULL;
    uint64_t newest_ms = 0;
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        const uint64_t at_ms =
            later_of(stage->created_ms, later_of(stage->started_ms, stage->ended_ms));
        if (newest && at_ms <= newest_ms)
            continue;
        newest = stage;
        newest_ms = at_ms;
    }
    return newest;
}

/* ---- the context ----------------------------------------------------------------------------- */

/* Takes value; NULL is what jansson answers when memory ran out. 0 or -ENOMEM. */
static int put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new_nocheck(object, key, value) ? -ENOMEM : 0;
}

static int put_text(json_t *object, const char *key, const char *text)
{
    return put(object, key, json_string_nocheck(text));
}

static int put_time(json_t *object, const char *key, uint64_t ms)
{
    char text[32];
    return put_text(object, key, context_time(ms, text));
}

/* A worker of any language wrote it: what is no map is told as an empty one. NULL: out of memory.
 */
static json_t *map_of(struct gantry_bytes packed)
{
    json_t *value = NULL;
    if (json_from_packed(slice_make(packed.data, packed.size), &value) == -ENOMEM)
        return NULL;
    if (json_is_object(value))
        return value;
    json_decref(value);
    return json_object();
}

/* Text, as old clients expect it. */
static json_t *error_of(const struct gantry_stage *stage)
{
    if (stage && *stage->error_message)
        return json_string_nocheck(stage->error_message);
    return stage && *stage->error_code ? json_string_nocheck(stage->error_code) : json_null();
}

static double duration_of(const struct gantry_stage *stage)
{
    if (stage->started_ms == 0 || stage->ended_ms < stage->started_ms)
        return 0;
    return (double)(stage->ended_ms - stage->started_ms) / 1000;
}

static int fill_stage(json_t *stages, const struct gantry_stage *stage)
{
    json_t *told = json_object();
    if (put(stages, stage->task, told))
        return -ENOMEM;
    int r = put_text(told, "status", context_stage_status(stage->state));
    if (r == 0)
        r = put(told, "input_params", map_of(stage->input));
    if (r == 0)
        r = put(told, "output", map_of(stage->output));
    if (r == 0)
        r = put(told, "error", error_of(stage));
    return r ? r : put(told, "duration", json_real(duration_of(stage)));
}

static int fill_stages(json_t *stages, const gantry_record_t *record,
                       const struct gantry_stage *only)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        if (!only || stage == only)
            r = fill_stage(stages, stage);
    }
    return r;
}

static int fill_params(json_t *params, const struct gantry_stage *stage)
{
    int r = put(params, "task_name", stage ? json_string_nocheck(stage->task) : json_null());
    if (r == 0)
        r = put(params, "input_data", stage ? map_of(stage->input) : json_object());
    if (r)
        return r;
    const bool named = stage && *stage->callback;
    return put(params, "callback_url", named ? json_string_nocheck(stage->callback) : json_null());
}

static int fill_context(json_t *context, const gantry_record_t *record,
                        const struct gantry_stage *asked, bool only_asked)
{
    json_t *params = json_object();
    json_t *stages = json_object();
    int r = put_text(context, "workflow_id", gantry_record_id(record));
    if (r == 0)
        r = put_time(context, "create_at", gantry_record_created_ms(record));
    /* both are the context's from here on, also when something fails */
    const int r_params = put(context, "input_params", params);
    if (r == 0)
        r = put_text(context, "shared_storage_path", gantry_record_storage_path(record));
    const int r_stages = put(context, "stages", stages);
    if (r || r_params || r_stages)
        return -ENOMEM;
    r = fill_params(params, asked);
    if (r == 0)
        r = fill_stages(stages, record, only_asked ? asked : NULL);
    return r ? r : put(context, "error", error_of(asked));
}

int context_of(const gantry_record_t *record, const char *task, bool only_task,
               json_t **ret_context)
{
    const struct gantry_stage *asked = task ? gantry_record_find(record, task) : NULL;
    json_t *context = json_object();
    if (!context)
        return -ENOMEM;
    int r =
        fill_context(context, record, asked ? asked : context_newest(record), only_task && asked);
    if (r) {
        json_decref(context);
        return r;
    }
    *ret_context = context;
    return 0;
}

/* ---- links of objects ------------------------------------------------------------------------ */

static const char *type_of(struct slice name)
{
    static const struct {
        const char *extension;
        const char *type;
    } types[] = {
        { ".mp4", "video" }, { ".avi", "video" },  { ".mov", "video" },    { ".wav", "audio" },
        { ".mp3", "audio" }, { ".flac", "audio" }, { ".srt", "subtitle" }, { ".vtt", "subtitle" },
        { ".txt", "text" },  { ".json", "data" },  { ".jpg", "image" },    { ".png", "image" },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const size_t size = strlen(types[i].extension);
        if (name.size > size &&
            strncasecmp((const char *)name.data + name.size - size, types[i].extension, size) == 0)
            return types[i].type;
    }
    return "unknown";
}

/* The last part of the path that is not empty. */
static struct slice name_of(struct slice url)
{
    const char *text = url.data;
    size_t end = 0;
    while (end < url.size && text[end] != '?' && text[end] != '#')
        end++;
    while (end && text[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin && text[begin - 1] != '/')
        begin--;
    return slice_make(text + begin, end - begin);
}

/* 0 also for what is no text, which is no link. */
static int add_file(json_t *files, const json_t *link)
{
    if (!json_is_string(link) || json_string_length(link) == 0)
        return 0;
    const struct slice name =
        name_of(slice_make(json_string_value(link), json_string_length(link)));
    json_t *file = json_object();
    if (json_array_append_new(files, file))
        return -ENOMEM;
    int r = put(file, "name", json_stringn_nocheck(name.data, name.size));
    if (r == 0)
        r = put(file, "url",
                json_stringn_nocheck(json_string_value(link), json_string_length(link)));
    if (r == 0)
        r = put_text(file, "type", type_of(name));
    return r ? r : put(file, "size", json_null());
}

static int add_links(json_t *files, const json_t *links)
{
    if (!json_is_array(links))
        return add_file(files, links);
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(links); i++)
        r = add_file(files, json_array_get(links, i));
    return r;
}

static bool names_links(const char *name)
{
    static const char end[] = "_minio_url";
    const size_t size = strlen(name);
    return size >= sizeof end - 1 && strcmp(name + size - (sizeof end - 1), end) == 0;
}

static int add_stage_files(json_t *files, const struct gantry_stage *stage)
{
    json_t *output = map_of(stage->output);
    int r = output ? 0 : -ENOMEM;
    for (void *at = json_object_iter(output); r == 0 && at; at = json_object_iter_next(output, at))
        if (names_links(json_object_iter_key(at)))
            r = add_links(files, json_object_iter_value(at));
    json_decref(output);
    return r;
}

int context_files(const gantry_record_t *record, const char *task, json_t **ret_files)
{
    json_t *files = json_array();
    int r = files ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        if (!task || strcmp(stage->task, task) == 0)
            r = add_stage_files(files, stage);
    }
    if (r) {
        json_decref(files);
        return r;
    }
    *ret_files = files;
    return 0;
}

/* ---- reuse ----------------------------------------------------------------------------------- */

static int fill_reuse(json_t *info, const char *how, const char *task,
                      const struct gantry_stage *stage)
{
    const bool hit = strcmp(how, "hit") == 0;
    const bool reused = hit || strcmp(how, "wait") == 0;
    int r = put(info, "reuse_hit", json_boolean(reused));
    if (r == 0)
        r = put_text(info, "task_name", task);
    if (r || !reused)
        return r;
    r = put_text(info, "source", "redis");
    if (r)
        return r;
    return hit ? put_time(info, "cached_at", stage ? stage->ended_ms : 0)
               : put_text(info, "state", "pending");
}

json_t *context_reuse(const char *how, const char *task, const struct gantry_stage *stage)
{
    json_t *info = json_object();
    if (!info || fill_reuse(info, how, task, stage) == 0)
        return info;
    json_decref(info);
    return NULL;
}
