#include "common/setting_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/status.h"

const struct setting_row setting_rows[SETTING_ROWS] = {
#define SETTING_TEXT(field, name, fallback, env, used, doc) \
    { name, env, doc, fallback, 0, 0, 0, offsetof(struct settings, field), SETTING_IS_TEXT, used },
#define SETTING_WHOLE(field, name, fallback, least, most, env, used, doc) \
    { name,                                                               \
      env,                                                                \
      doc,                                                                \
      NULL,                                                               \
      fallback,                                                           \
      least,                                                              \
      most,                                                               \
      offsetof(struct settings, field),                                   \
      SETTING_IS_WHOLE,                                                   \
      used },
#define SETTING_SWITCH(field, name, fallback, env, used, doc)                                    \
    { name, env, doc, NULL, fallback, 0, 1, offsetof(struct settings, field), SETTING_IS_SWITCH, \
      used },
    SETTINGS(SETTING_TEXT, SETTING_WHOLE, SETTING_SWITCH)
#undef SETTING_TEXT
#undef SETTING_WHOLE
#undef SETTING_SWITCH
};

/* Names of the environment that are no settings. */
static const char *const other_names[] = {
    "GANTRY_CONFIG", "GANTRY_DATA",    "GANTRY_BROKER",    "GANTRY_BIN",       "GANTRY_SOURCE",
    "GANTRY_BUILD",  "GANTRY_TASK_ID", "GANTRY_TASK_NAME", "GANTRY_ATTEMPT",   "GANTRY_FOLDER",
    "GANTRY_WORK",   "GANTRY_FFMPEG",  "GANTRY_FFPROBE",   "GANTRY_PLAIN_BIN",
};

const char *setting_env_name(const struct setting_row *row, char *text)
{
    static const char lower[] = ".abcdefghijklmnopqrstuvwxyz";
    static const char upper[] = "_ABCDEFGHIJKLMNOPQRSTUVWXYZ"; /* of ASCII, whatever the locale */
    (void)snprintf(text, SETTING_NAME, "GANTRY_%s", row->name);
    for (char *at = text; *at; at++) {
        const char *letter = strchr(lower, *at);
        if (letter)
            *at = upper[letter - lower];
    }
    return text;
}

static bool same(const char *name, size_t size, const char *other)
{
    return strlen(other) == size && memcmp(name, other, size) == 0;
}

bool setting_env_known(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
        if (same(name, size, other_names[i]))
            return true;
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        char text[SETTING_NAME];
        if (same(name, size, setting_env_name(row, text)))
            return true;
    }
    return false;
}

const char *setting_flag_name(const struct setting_row *row, char *text)
{
    (void)snprintf(text, SETTING_NAME, "%s", row->name);
    for (char *at = text; *at; at++)
        if (*at == '.' || *at == '_')
            *at = '-';
    return text;
}

const char *setting_default(const struct setting_row *row, char *text)
{
    if (row->kind == SETTING_IS_TEXT)
        return row->text;
    if (row->kind == SETTING_IS_SWITCH)
        return row->fallback ? "true" : "false";
    (void)snprintf(text, SETTING_NAME, "%" PRId64, row->fallback);
    return text;
}

static void put_text(const struct setting_row *row, const char *value, struct settings *settings)
{
    memcpy((char *)settings + row->offset, &value, sizeof value);
}

static void put_whole(const struct setting_row *row, int64_t value, struct settings *settings)
{
    memcpy((char *)settings + row->offset, &value, sizeof value);
}

void setting_defaults(struct settings *settings)
{
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        if (row->kind == SETTING_IS_TEXT)
            put_text(row, row->text, settings);
        else
            put_whole(row, row->fallback, settings);
    }
}

/* Plain digits only: no sign, blank, suffix or base, so that nothing is read another way than
 * written. */
static bool read_whole(const char *value, int64_t *ret_whole)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || value[digits])
        return false;
    errno = 0;
    long long whole = strtoll(value, NULL, 10);
    if (errno)
        return false;
    *ret_whole = whole;
    return true;
}

static int refuse(const struct setting_row *row, const char *value, const char *origin, char *error)
{
    char allowed[SETTING_NAME] = "true or false";
    if (row->kind == SETTING_IS_WHOLE)
        (void)snprintf(allowed, sizeof allowed, "a whole number from %" PRId64 " to %" PRId64,
                       row->least, row->most);
    (void)snprintf(error, CONFIG_ERROR, "%s: %s must be %s, not '%.100s'", origin, row->name,
                   allowed, value);
    return STATUS_INVALID;
}

int setting_take(const struct setting_row *row, const char *value, const char *origin,
                 struct settings *settings, char error[CONFIG_ERROR])
{
    if (row->kind == SETTING_IS_TEXT) {
        put_text(row, value, settings);
        return 0;
    }
    if (row->kind == SETTING_IS_SWITCH) {
        bool on = strcmp(value, "true") == 0;
        if (!on && strcmp(value, "false") != 0)
            return refuse(row, value, origin, error);
        put_whole(row, on, settings);
        return 0;
    }
    int64_t whole = 0;
    if (!read_whole(value, &whole) || whole < row->least || whole > row->most)
        return refuse(row, value, origin, error);
    put_whole(row, whole, settings);
    return 0;
}

void setting_texts_clear(struct setting_texts *self)
{
    for (size_t i = 0; i < SETTING_ROWS; i++) {
        free(self->text[i]);
        self->text[i] = NULL;
    }
}
