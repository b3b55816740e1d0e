#include "services/worker/callback_body.h"

#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/url.h"
#include "proto/codec.h"
#include "proto/context.h"
#include "proto/python_json.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

enum { HOUR_MS = 3600000, DAY_MS = 86400000 };

/* ---- input ----------------------------------------------------------------------------------- */

static bool text_of(struct slice map, const char *key, struct slice *ret_text)
{
    struct slice value;
    return codec_find(map, key, &value) && codec_str(value, ret_text) && ret_text->size > 0;
}

static bool is_one_of(struct slice text, const char *one, const char *other)
{
    return slice_is(text, one) || slice_is(text, other);
}

int callback_input_read(struct slice map, struct callback_input *ret_input, const char **ret_field)
{
    struct callback_input input = { .owned = false };
    struct slice owned;
    if (!text_of(map, "task_id", &input.task_id) || !task_id_valid(input.task_id))
        *ret_field = "task_id";
    else if (!text_of(map, "task", &input.task) || !task_name_valid(input.task))
        *ret_field = "task";
    else if (!text_of(map, "url", &input.url) || !url_valid(input.url))
        *ret_field = "url";
    else if (!text_of(map, "status", &input.status) ||
             !is_one_of(input.status, "completed", "failed"))
        *ret_field = "status";
    else if (!text_of(map, "reuse", &input.reuse) || !is_one_of(input.reuse, "miss", "hit"))
        *ret_field = "reuse";
    else if (!codec_find(map, "owned", &owned) || !codec_bool(owned, &input.owned))
        *ret_field = "owned";
    else {
        *ret_input = input;
        return 0;
    }
    return STATUS_INVALID;
}

/* ---- body ------------------------------------------------------------------------------------ */

/* Takes value; NULL is what jansson answers when memory ran out. 0 or -ENOMEM. */
static int put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new_nocheck(object, key, value) ? -ENOMEM : 0;
}

static json_t *text_value(struct slice text)
{
    return json_stringn_nocheck(text.data, text.size);
}

static int put_time(json_t *object, const char *key, uint64_t ms)
{
    char text[32];
    return put(object, key, json_string(context_time(ms, text)));
}

/* Several addresses may wait for a run: each is told of its own. */
static int put_reuse(const struct callback_body_row *row, const char *task, json_t *context)
{
    const bool hit = slice_is(row->input->reuse, "hit");
    int r =
        put(json_object_get(context, "input_params"), "callback_url", text_value(row->input->url));
    if (r || !(hit || row->always_reuse))
        return r;
    return put(context, "reuse_info",
               context_reuse(hit ? "hit" : "miss", task, gantry_record_find(row->record, task)));
}

static int put_files(const struct callback_body_row *row, const char *task, json_t *body)
{
    json_t *files = NULL;
    int r = context_files(row->record, row->only_task ? task : NULL, &files);
    if (r == 0 && json_array_size(files) > 0)
        return put(body, "minio_files", files);
    json_decref(files);
    return r;
}

static int fill(const struct callback_body_row *row, const char *task, json_t *body)
{
    json_t *context = NULL;
    int r = put(body, "task_id", text_value(row->input->task_id));
    if (r == 0)
        r = put(body, "status", text_value(row->input->status));
    if (r == 0)
        r = context_of(row->record, task, row->only_task, &context);
    if (r == 0)
        r = put(body, "result", context);
    if (r == 0)
        r = put_reuse(row, task, context);
    if (r == 0)
        r = put_time(body, "timestamp", row->now_ms);
    return r ? r : put_files(row, task, body);
}

int callback_body(const struct callback_body_row *row, char **ret_text, size_t *ret_size)
{
    char task[TASK_NAME_MAX + 1];
    (void)slice_copy(row->input->task, task, sizeof task); /* it was checked */
    json_t *body = json_object();
    int r = body ? fill(row, task, body) : -ENOMEM;
    if (r == 0)
        r = python_json(body, ret_text, ret_size);
    json_decref(body);
    return r;
}

/* ---- signature ------------------------------------------------------------------------------- */

bool callback_sign(const char *secret, int64_t now_s, struct slice body,
                   char text[CALLBACK_SIGNATURE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    scoped_text char *signed_text = malloc(body.size + 32);
    if (!signed_text)
        return false;
    const int head = snprintf(signed_text, 32, "%" PRId64 ".", now_s);
    memcpy(signed_text + head, body.data, body.size);
    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)signed_text,
              (size_t)head + body.size, digest, &size))
        return false;
    int length = snprintf(text, CALLBACK_SIGNATURE, "t=%" PRId64 ",v1=", now_s);
    for (unsigned i = 0; i < size && length + 2 < CALLBACK_SIGNATURE; i++)
        length += snprintf(text + length, (size_t)(CALLBACK_SIGNATURE - length), "%02x", digest[i]);
    return true;
}

/* ---- again ----------------------------------------------------------------------------------- */

int64_t callback_retry_after_ms(const char *value, int64_t now_ms)
{
    int64_t wait_ms;
    const size_t digits = strspn(value, "0123456789");
    if (digits && !value[digits]) {
        wait_ms = digits > 6 ? HOUR_MS : strtol(value, NULL, 10) * 1000;
    } else {
        const time_t at_s = curl_getdate(value, NULL);
        if (at_s < 0)
            return -1;
        wait_ms = (int64_t)at_s * 1000 - now_ms;
    }
    return wait_ms < 0 ? 0 : wait_ms < HOUR_MS ? wait_ms : HOUR_MS;
}

int64_t callback_backoff_ms(int64_t first_ms, uint32_t failures, double luck)
{
    int64_t wait_ms = first_ms;
    for (uint32_t i = 0; i < failures && wait_ms < DAY_MS; i++)
        wait_ms *= 2;
    if (wait_ms > DAY_MS)
        wait_ms = DAY_MS;
    return wait_ms + (int64_t)((double)wait_ms * 0.2 * luck);
}
