/* The YAML file. libcyaml refuses what is no setting, but the line in its backtrace is that of the
 * value read last, so where a key stands is looked up in the file's own text. */
#include "common/setting_row.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/status.h"

enum { FILE_MAX = 1 << 20, MESSAGE = 256 };

// clang-format off
static const cyaml_schema_field_t fields[] = {
#define SETTING_FIELD(field, name)                                                                         \
    CYAML_FIELD_STRING_PTR(name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct setting_texts,           \
                           text[SETTING_ROW_##field], 0, CYAML_UNLIMITED),
#define SETTING_TEXT(field, name, fallback, env, used, doc) SETTING_FIELD(field, name)
#define SETTING_WHOLE(field, name, fallback, least, most, env, used, doc) SETTING_FIELD(field, name)
#define SETTING_SWITCH(field, name, fallback, env, used, doc) SETTING_FIELD(field, name)
    SETTINGS(SETTING_TEXT, SETTING_WHOLE, SETTING_SWITCH)
#undef SETTING_TEXT
#undef SETTING_WHOLE
#undef SETTING_SWITCH
#undef SETTING_FIELD
    CYAML_FIELD_END
};
// clang-format on

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct setting_texts, fields),
};

struct complaint {
    char first[MESSAGE]; /* what went wrong; the backtrace follows */
    char place[MESSAGE]; /* the backtrace's first line with a position */
};

static void keep(char *place, const char *message)
{
    static const char prefix[] = "Load: ";
    if (strncmp(message, prefix, sizeof prefix - 1) == 0)
        message += sizeof prefix - 1;
    (void)snprintf(place, MESSAGE, "%s", message);
    place[strcspn(place, "\n")] = '\0';
}

__attribute__((format(printf, 3, 0))) static void on_log(cyaml_log_t level, void *arg,
                                                         const char *format, va_list args)
{
    struct complaint *self = arg;
    char message[MESSAGE];
    (void)level;
    (void)vsnprintf(message, sizeof message, format, args);
    if (strstr(message, "Backtrace:"))
        return;
    if (strstr(message, "(line: ") && !self->place[0])
        keep(self->place, message);
    else if (!self->first[0])
        keep(self->first, message);
}

/* The line of the nth key of that name, counted from 1, and its column; 0 when the text has no such
 * line (a map in braces). */
static int find_line(const char *text, const char *key, int nth, int *ret_column)
{
    size_t size = strlen(key);
    int line = 1;
    for (const char *at = text; at; line++) {
        const char *start = at + strspn(at, " \"'{");
        const char *end = start + size;
        if (strncmp(start, key, size) == 0 && end[strspn(end, "\"' ")] == ':' && --nth == 0) {
            *ret_column = (int)(start - at) + 1;
            return line;
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return 0;
}

static const char *after(const char *message, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(message, prefix, size) == 0 ? message + size : NULL;
}

struct source {
    const char *file;
    const char *text;
    char *error;
};

/* "file:line:column: sentence", or without a place when line is 0. */
__attribute__((format(printf, 4, 5))) static int say(const struct source *source, int line,
                                                     int column, const char *format, ...)
{
    int size = snprintf(source->error, CONFIG_ERROR, "%.200s", source->file);
    if (line > 0)
        size += snprintf(source->error + size, CONFIG_ERROR - (size_t)size, ":%d:%d", line, column);
    size += snprintf(source->error + size, CONFIG_ERROR - (size_t)size, ": ");
    va_list args;
    va_start(args, format);
    (void)vsnprintf(source->error + size, CONFIG_ERROR - (size_t)size, format, args);
    va_end(args);
    return STATUS_INVALID;
}

/* A setting's name that starts with what was written, for the hint. */
static const char *longer_name(const char *key)
{
    size_t size = strlen(key);
    for (size_t i = 0; i < SETTING_ROWS; i++)
        if (strncmp(setting_rows[i].name, key, size) == 0)
            return setting_rows[i].name;
    return NULL;
}

static int refuse_key(const struct source *source, const char *key)
{
    int column = 0;
    int line = find_line(source->text, key, 1, &column);
    const char *name = longer_name(key);
    if (!name)
        return say(source, line, column, "no setting is named '%.80s'", key);
    return say(source, line, column,
               "no setting is named '%.80s'; names are written in full, as in '%s: VALUE'", key,
               name);
}

static int refuse_second(const struct source *source, const char *key)
{
    int column = 0;
    int line = find_line(source->text, key, 2, &column);
    return say(source, line, column, "'%.80s' is set a second time", key);
}

/* "in mapping field 'storage.root' (line: 3, column: 15)": the setting's name, "" when it has none.
 */
static void named_field(const struct complaint *complaint, char *name, size_t size)
{
    const char *start = strchr(complaint->place, '\'');
    const char *end = start ? strchr(start + 1, '\'') : NULL;
    (void)snprintf(name, size, "%.*s", end ? (int)(end - start - 1) : 0, end ? start + 1 : "");
}

static int refuse(const struct source *source, const struct complaint *complaint,
                  cyaml_err_t problem)
{
    const char *what = complaint->first[0] ? complaint->first : cyaml_strerror(problem);
    const char *key = after(what, "Unexpected key: ");
    if (key)
        return refuse_key(source, key);
    key = after(what, "Mapping field already seen: ");
    if (key)
        return refuse_second(source, key);
    if (after(what, "Ignoring documents"))
        return say(source, 0, 0, "holds more than one YAML document");
    if (after(what, "Expecting MAPPING"))
        return say(source, 0, 0, "settings are written one a line as 'name: value'");

    char name[SETTING_NAME];
    int column = 0;
    named_field(complaint, name, sizeof name);
    int line = name[0] ? find_line(source->text, name, 1, &column) : 0;
    if (after(what, "Expecting STRING"))
        return say(source, line, column, "%s must be one plain value", name);
    if (name[0])
        return say(source, line, column, "%s, in %s or on the line after it", what, name);
    return say(source, line, column, "%s", what);
}

static int refuse_errno(const struct source *source, int problem)
{
    (void)say(source, 0, 0, "cannot be read: %s", strerror(problem));
    return -problem;
}

/* The whole file with a NUL at its end. */
static int slurp(const struct source *source, char **ret_text, size_t *ret_size)
{
    scoped_fd int fd = open(source->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse_errno(source, errno);
    scoped_text char *text = malloc(FILE_MAX + 1);
    if (!text)
        return refuse_errno(source, ENOMEM);
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && size < FILE_MAX) {
        got = read(fd, text + size, FILE_MAX - size);
        if (got < 0)
            return refuse_errno(source, errno);
        size += (size_t)got;
    }
    if (size == FILE_MAX)
        return say(source, 0, 0, "larger than 1 MiB, which no file of settings is");
    if (memchr(text, '\0', size))
        return say(source, 0, 0, "holds a NUL byte, which no file of settings does");
    text[size] = '\0';
    *ret_text = text;
    *ret_size = size;
    text = NULL; /* handed to the caller */
    return 0;
}

int setting_texts_read(const char *file, struct setting_texts *ret_texts, char error[CONFIG_ERROR])
{
    scoped_text char *text = NULL;
    size_t size = 0;
    struct source source = { .file = file };
    source.error = error;
    int r = slurp(&source, &text, &size);
    if (r)
        return r;
    source.text = text;

    struct complaint complaint = { .first = "" };
    const cyaml_config_t config = {
        .log_fn = on_log,
        .log_ctx = &complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_WARNING,
        .flags = CYAML_CFG_NO_ALIAS,
    };
    cyaml_data_t *loaded = NULL;
    cyaml_err_t problem =
        cyaml_load_data((const uint8_t *)text, size, &config, &schema, &loaded, NULL);
    if (problem == CYAML_ERR_OOM)
        return refuse_errno(&source, ENOMEM);
    if (loaded) {
        /* cyaml_mem is realloc and free, so the texts may be ours from here on. */
        *ret_texts = *(struct setting_texts *)loaded;
        (void)cyaml_mem(NULL, loaded, 0);
    }
    if (problem != CYAML_OK || complaint.first[0])
        return refuse(&source, &complaint, problem);
    for (size_t i = 0; i < SETTING_ROWS; i++) {
        int column = 0;
        ret_texts->line[i] =
            ret_texts->text[i] ? find_line(text, setting_rows[i].name, 1, &column) : 0;
    }
    return 0;
}
