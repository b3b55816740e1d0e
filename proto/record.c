#include "proto/client.h"

#include "common/status.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdlib.h>

/* One piece of memory: the struct, its stages, the bytes as they came, and their texts once more
 * with a NUL each. A text's head in msgpack is a byte at least, so the texts with their NULs fit
 * into as many bytes as came. */
struct gantry_record {
    const char *id;
    const char *status;
    const char *storage_path;
    uint64_t created_ms;
    struct gantry_bytes bytes;
    size_t count;
    char *text; /* where the next text goes */
    struct gantry_stage stages[];
};

static const char *keep(gantry_record_t *self, struct slice text)
{
    if (text.size == 0)
        return "";
    char *kept = self->text;
    memcpy(kept, text.data, text.size);
    kept[text.size] = '\0';
    self->text += text.size + 1;
    return kept;
}

static struct gantry_bytes bytes_of(struct slice s)
{
    return (struct gantry_bytes){ s.data, s.size };
}

/* A worker of any language wrote it: what cannot be read is left out, never fatal. */
static void read_fault(gantry_record_t *self, struct slice error, struct gantry_stage *to)
{
    struct m_fault fault;
    to->error_code = to->error_message = to->error_field = "";
    if (error.size == 0 || message_decode(&m_fault_layout, error, &fault, NULL))
        return;
    to->error_code = keep(self, fault.code);
    to->error_message = keep(self, fault.message);
    to->error_field = keep(self, fault.field);
}

static bool read_stage(gantry_record_t *self, struct slice name, struct slice map,
                       struct gantry_stage *to)
{
    struct m_stage stage;
    if (!codec_str(name, &name) || message_decode(&m_stage_layout, map, &stage, NULL))
        return false;
    to->task = keep(self, name);
    to->state = keep(self, stage.state);
    to->attempt = stage.attempt;
    to->generation = stage.generation;
    to->failures = stage.failures;
    to->crashes = stage.crashes;
    to->progress = stage.progress;
    to->priority = keep(self, stage.priority);
    to->worker = keep(self, stage.worker);
    to->owner = keep(self, stage.owner);
    to->created_ms = stage.created_ms;
    to->started_ms = stage.started_ms;
    to->ended_ms = stage.ended_ms;
    to->due_ms = stage.due_ms;
    to->callback = keep(self, stage.callback);
    to->callback_id = keep(self, stage.callback_id);
    to->timeout_ms = stage.timeout_ms;
    to->input = bytes_of(stage.input);
    to->output = bytes_of(stage.output);
    to->error = bytes_of(stage.error);
    to->usage = bytes_of(stage.usage);
    to->history = bytes_of(stage.history);
    read_fault(self, stage.error, to);
    return true;
}

static bool read_record(gantry_record_t *self, struct slice body)
{
    struct m_record record;
    struct reader reader;
    uint32_t pairs;
    if (message_decode(&m_record_layout, body, &record, NULL) ||
        !codec_map(record.stages, &reader, &pairs) || pairs != self->count)
        return false;
    self->id = keep(self, record.id);
    self->status = keep(self, record.status);
    self->storage_path = keep(self, record.storage_path);
    self->created_ms = record.created_ms;
    for (size_t i = 0; i < self->count; i++) {
        struct slice name, stage;
        if (!reader_value(&reader, &name) || !reader_value(&reader, &stage) ||
            !read_stage(self, name, stage, &self->stages[i]))
            return false;
    }
    return true;
}

int record_new(struct slice body, gantry_record_t **ret_record)
{
    struct slice stages;
    struct reader reader;
    uint32_t count;
    if (!codec_find(body, "stages", &stages) || !codec_map(stages, &reader, &count))
        return -EPROTO;
    gantry_record_t *self =
        malloc(sizeof *self + count * sizeof(struct gantry_stage) + 2 * body.size);
    if (!self)
        return -ENOMEM;
    char *bytes = (char *)&self->stages[count];
    memcpy(bytes, body.data, body.size);
    self->bytes = (struct gantry_bytes){ bytes, body.size };
    self->text = bytes + body.size;
    self->count = count;
    if (!read_record(self, slice_make(bytes, body.size))) {
        gantry_record_destroy(&self);
        return -EPROTO;
    }
    *ret_record = self;
    return 0;
}

void gantry_record_destroy(gantry_record_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

const char *gantry_record_id(const gantry_record_t *self)
{
    return self->id;
}

const char *gantry_record_status(const gantry_record_t *self)
{
    return self->status;
}

const char *gantry_record_storage_path(const gantry_record_t *self)
{
    return self->storage_path;
}

uint64_t gantry_record_created_ms(const gantry_record_t *self)
{
    return self->created_ms;
}

size_t gantry_record_count(const gantry_record_t *self)
{
    return self->count;
}

const struct gantry_stage *gantry_record_stage(const gantry_record_t *self, size_t index)
{
    return index < self->count ? &self->stages[index] : NULL;
}

const struct gantry_stage *gantry_record_find(const gantry_record_t *self, const char *task)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->stages[i].task, task) == 0)
            return &self->stages[i];
    return NULL;
}

struct gantry_bytes gantry_record_bytes(const gantry_record_t *self)
{
    return self->bytes;
}
