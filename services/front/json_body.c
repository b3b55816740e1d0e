#include "services/front/json_body.h"

#include <errno.h>
#include <stdio.h>

#include "common/status.h"

/* How deep brackets nest outside of strings, however wrong the rest is. */
static int depth_of(struct slice text)
{
    const char *c = text.data;
    int depth = 0, most = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        if (quoted && c[i] == '\\')
            i++;
        else if (c[i] == '"')
            quoted = !quoted;
        else if (!quoted && (c[i] == '{' || c[i] == '['))
            most = ++depth > most ? depth : most;
        else if (!quoted && (c[i] == '}' || c[i] == ']'))
            depth--;
    }
    return most;
}

static int say(char error[JSON_BODY_ERROR], const char *text)
{
    (void)snprintf(error, JSON_BODY_ERROR, "%s", text);
    return STATUS_INVALID;
}

int json_body_read(struct slice text, json_t **ret_object, char error[JSON_BODY_ERROR])
{
    json_error_t wrong;
    if (text.size == 0)
        return say(error, "the body is empty, a JSON object is expected");
    if (depth_of(text) > JSON_BODY_DEPTH) /* jansson's own limit is its stack's, not ours */
        return say(error, "the body is nested too deep");
    json_t *value = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &wrong);
    if (!value && json_error_code(&wrong) == json_error_out_of_memory)
        return -ENOMEM;
    if (!value) {
        (void)snprintf(error, JSON_BODY_ERROR, "line %d column %d: %s", wrong.line, wrong.column,
                       wrong.text);
        return STATUS_INVALID;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return say(error, "the body is to be a JSON object");
    }
    *ret_object = value;
    return 0;
}
