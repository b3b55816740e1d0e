#include "services/front/tasks_body.h"

#include "common/paths.h"
#include "common/status.h"
#include "common/url.h"
#include "proto/codec.h"
#include "proto/json.h"
#include "proto/message.h"
#include "services/front/json_body.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

#define WRONG "参数验证失败: "

/* Answers STATUS_INVALID. */
__attribute__((format(printf, 2, 3))) static int wrong(char detail[TASKS_DETAIL],
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, TASKS_DETAIL, format, args);
    va_end(args);
    return STATUS_INVALID;
}

/* NULL: absent. */
static const json_t *given(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int tasks_object_read(struct slice bytes, json_t **ret_object, char detail[TASKS_DETAIL])
{
    char error[JSON_BODY_ERROR];
    int r = json_body_read(bytes.size ? bytes : SLICE("{}"), ret_object, error);
    return r > 0 ? wrong(detail, WRONG "%s", error) : r;
}

int tasks_switch_read(const json_t *object, const char *key, bool *ret_on,
                      char detail[TASKS_DETAIL])
{
    const json_t *value = given(object, key);
    if (value && !json_is_boolean(value))
        return wrong(detail, WRONG "%s: must be true or false", key);
    *ret_on = json_is_true(value);
    return 0;
}

int tasks_text_read(const json_t *object, const char *key, const char **ret_text,
                    char detail[TASKS_DETAIL])
{
    const json_t *value = given(object, key);
    if (value && !json_is_string(value))
        return wrong(detail, WRONG "%s: must be a string", key);
    *ret_text = json_string_value(value);
    return 0;
}

/* ---- POST /v1/tasks -------------------------------------------------------------------------- */

static int read_name(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    int r = tasks_text_read(self->object, "task_name", &self->task.task, detail);
    const struct slice name = slice_of(self->task.task);
    if (r)
        return r;
    if (name.size == 0)
        return wrong(detail, "task_name不能为空");
    if (!task_name_valid(name))
        return wrong(detail, WRONG "task_name: %.100s " TASK_NAME_RULE, self->task.task);
    if (slice_is(name, TASKS_CLEANUP))
        return wrong(detail, WRONG "task_name: " TASKS_CLEANUP " cannot be asked for over HTTP");
    return slice_is(name, TASKS_DELIVERY)
               ? wrong(detail,
                       WRONG "task_name: " TASKS_DELIVERY " cannot be asked for: name a callback")
               : 0;
}

/* They have records of their own, which say how they went. */
static bool is_delivery(const char *id)
{
    static const char begin[] = TASKS_DELIVERY_ID;
    return strncmp(id, begin, sizeof begin - 1) == 0 &&
           strspn(id + sizeof begin - 1, "0123456789abcdef") == TASKS_DELIVERY_DIGITS &&
           !id[sizeof begin - 1 + TASKS_DELIVERY_DIGITS];
}

static int read_id(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    int r = tasks_text_read(self->object, "task_id", &self->task.id, detail);
    if (r || !self->task.id)
        return r;
    if (is_delivery(self->task.id))
        return wrong(detail, WRONG "task_id: %s is that of a callback", self->task.id);
    if (task_id_valid(slice_of(self->task.id)))
        return 0;
    return wrong(detail, WRONG "task_id: " TASK_ID_RULE);
}

static int read_callback(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    const json_t *value = given(self->object, "callback");
    self->task.callback = json_string_value(value);
    return !value || (self->task.callback && url_valid(slice_of(self->task.callback)))
               ? 0
               : wrong(detail, "无效的callback URL格式");
}

bool tasks_priority_read(const char *text, enum gantry_priority *ret_priority)
{
    static const enum gantry_priority priorities[] = {
        [PRIORITY_NORMAL] = GANTRY_NORMAL,
        [PRIORITY_HIGH] = GANTRY_HIGH,
        [PRIORITY_LOW] = GANTRY_LOW,
    };
    int priority = priority_by_text(slice_of(text));
    if (priority >= 0)
        *ret_priority = priorities[priority];
    return priority >= 0;
}

static int read_priority(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    const char *text = NULL;
    int r = tasks_text_read(self->object, "priority", &text, detail);
    if (r || !text)
        return r;
    return tasks_priority_read(text, &self->task.priority)
               ? 0
               : wrong(detail, WRONG "priority: must be normal, high or low");
}

static int read_reuse(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    bool force = false;
    int r = tasks_text_read(self->object, "reuse", &self->task.reuse, detail);
    if (r == 0)
        r = tasks_switch_read(self->object, "force", &force, detail);
    if (r)
        return r;
    const struct slice reuse = slice_of(self->task.reuse);
    if (self->task.reuse && !slice_is(reuse, "name") && !slice_is(reuse, "input") &&
        !slice_is(reuse, "never"))
        return wrong(detail, WRONG "reuse: must be name, input or never");
    if (force)
        self->task.reuse = "never";
    return 0;
}

static int read_numbers(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    uint64_t timeout_ms = 0;
    const struct {
        const char *key;
        json_int_t most;
        uint64_t *to;
    } rows[] = {
        { "timeout_ms", UINT32_MAX, &timeout_ms },
        { "delay_ms", INT64_MAX, &self->task.delay_ms },
        { "schedule_to_start_ms", INT64_MAX, &self->task.schedule_to_start_ms },
        { "schedule_to_close_ms", INT64_MAX, &self->task.schedule_to_close_ms },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *value = given(self->object, rows[i].key);
        const json_int_t whole = json_integer_value(value);
        if (!value)
            continue;
        if (!json_is_integer(value) || whole < 0 || whole > rows[i].most)
            return wrong(detail, WRONG "%s: must be a whole number from 0 to %" JSON_INTEGER_FORMAT,
                         rows[i].key, rows[i].most);
        *rows[i].to = (uint64_t)whole;
    }
    self->task.timeout_ms = (uint32_t)timeout_ms;
    return 0;
}

static int too_deep(char detail[TASKS_DETAIL])
{
    return wrong(detail, WRONG "input_data: is nested deeper than %d levels", WIRE_VALUE_DEPTH_MAX);
}

static int read_input(struct tasks_body *self, char detail[TASKS_DETAIL])
{
    const json_t *value = given(self->object, "input_data");
    msgpack_packer pk;
    if (!value)
        return 0;
    if (!json_is_object(value))
        return wrong(detail, WRONG "input_data: must be an object");
    msgpack_packer_init(&pk, &self->input, msgpack_sbuffer_write);
    int r = json_pack_value(value, &pk);
    if (r)
        return r == STATUS_TOO_LARGE ? too_deep(detail) : r;
    const struct slice packed = slice_make(self->input.data, self->input.size);
    self->task.input = (struct gantry_bytes){ packed.data, packed.size };
    return codec_depth(packed) > WIRE_VALUE_DEPTH_MAX ? too_deep(detail) : 0;
}

int tasks_body_read(struct tasks_body *self, struct slice bytes, uint64_t start_ms,
                    char detail[TASKS_DETAIL])
{
    static int (*const steps[])(struct tasks_body *, char[TASKS_DETAIL]) = {
        read_name, read_id, read_callback, read_priority, read_reuse, read_numbers, read_input,
    };
    *self = (struct tasks_body){ .task.schedule_to_start_ms = start_ms };
    msgpack_sbuffer_init(&self->input);
    int r = tasks_object_read(bytes, &self->object, detail);
    for (size_t i = 0; r == 0 && i < sizeof steps / sizeof *steps; i++)
        r = steps[i](self, detail);
    return r;
}

void tasks_body_clear(struct tasks_body *self)
{
    json_decref(self->object);
    msgpack_sbuffer_destroy(&self->input);
}

/* ---- Idempotency-Key ------------------------------------------------------------------------- */

bool tasks_key_valid(const char *key)
{
    size_t size = 0;
    while (key[size] >= 0x20 && key[size] <= 0x7e)
        size++;
    return size > 0 && size <= TASKS_KEY_MAX && key[size] == '\0';
}

/* The first 16 bytes of SHA-256 over the three, a line each; none has a line's end within. */
static int digest(const char *key, const char *id, const char *task, uint8_t ret_bytes[16])
{
    char text[TASKS_KEY_MAX + TASK_ID_MAX + TASK_NAME_MAX + 4];
    unsigned char hash[EVP_MAX_MD_SIZE];
    int size = snprintf(text, sizeof text, "%s\n%s\n%s", key, id, task);
    if (!EVP_Digest(text, (size_t)size, hash, NULL, EVP_sha256(), NULL))
        return -ENOMEM;
    memcpy(ret_bytes, hash, 16);
    return 0;
}

int tasks_ticket(const char *key, const char *id, const char *task, struct tasks_ticket *ret_ticket)
{
    struct tasks_ticket ticket = { 0 };
    uint8_t bytes[MINT_UUID_SIZE];
    int r = id ? 0 : digest(key, "", task, bytes);
    if (r == 0 && !id)
        mint_uuid(bytes, ticket.id);
    if (r == 0)
        r = digest(key, id ? id : ticket.id, task, ticket.token);
    if (r == 0)
        *ret_ticket = ticket;
    return r;
}
