#include "services/front/push.h"

#include <errno.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>

#include "common/slice.h"
#include "proto/json.h"
#include "services/front/front.h"

struct submit {
    push_kept_fn *kept;
    void *arg;
};

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t count)
{
    const struct submit call = *(struct submit *)arg;
    (void)status; /* stands in the receipt too */
    (void)count;
    free(arg);
    call.kept(call.arg, &receipts[0]);
}

static int pack_input(const struct upload_about *about, msgpack_sbuffer *buffer)
{
    msgpack_packer pk;
    json_auto_t *input = json_pack(
        "{s:s, s:s, s:s, s:s, s:b}", "file_path", upload_disk_name(about), "bucket", about->bucket,
        "object_name", about->file_path, "content_type", about->content_type, "delete_local", 1);
    msgpack_packer_init(&pk, buffer, msgpack_sbuffer_write);
    return input ? json_pack_value(input, &pk) : -ENOMEM;
}

static int submit(struct front *front, const struct upload_about *about, msgpack_sbuffer *input,
                  struct submit *call)
{
    const struct gantry_task task = {
        .id = about->id,
        .task = UPLOAD_TASK,
        .input = { input->data, input->size },
        .schedule_to_start_ms = (uint64_t)front->settings->front_start_ms,
    };
    return gantry_submit_begin(front->client, &task, 1, front->settings->front_answer_ms,
                               on_submitted, call);
}

int push_submit(struct front *front, const struct upload_about *about, push_kept_fn *kept,
                void *arg)
{
    msgpack_sbuffer input;
    if (!front->client)
        return -ECANCELED;
    struct submit *call = malloc(sizeof *call);
    if (!call)
        return -ENOMEM;
    *call = (struct submit){ kept, arg };
    msgpack_sbuffer_init(&input);
    int r = pack_input(about, &input);
    if (r == 0)
        r = submit(front, about, &input, call);
    msgpack_sbuffer_destroy(&input);
    if (r)
        free(call);
    else
        front->wake(front);
    return r;
}

int push_wait(struct front *front, const char *id, int64_t timeout_ms, gantry_waited_fn *done,
              void *arg)
{
    if (!front->client)
        return -ECANCELED;
    int r = gantry_wait_begin(front->client, id, UPLOAD_TASK, timeout_ms, done, arg);
    if (r == 0)
        front->wake(front);
    return r;
}

bool push_output(const struct gantry_stage *stage, const char *key, char *text, size_t size)
{
    json_t *output = NULL;
    if (json_from_packed(slice_make(stage->output.data, stage->output.size), &output))
        return false;
    const char *value = json_string_value(json_object_get(output, key));
    const bool found = value && slice_copy(slice_of(value), text, size);
    json_decref(output);
    return found;
}
