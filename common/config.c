#include "common/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "common/setting_row.h"
#include "common/status.h"

struct config {
    struct settings settings;
    struct setting_texts file;
    struct setting_texts given; /* environment, then flags: copies, as both may change under us */
};

static int out_of_memory(char *error)
{
    (void)snprintf(error, CONFIG_ERROR, "out of memory");
    return -ENOMEM;
}

static int take_file(config_t *self, const char *file, char *error)
{
    int r = setting_texts_read(file, &self->file, error);
    for (size_t i = 0; r == 0 && i < SETTING_ROWS; i++) {
        if (!self->file.text[i])
            continue;
        char origin[CONFIG_ERROR / 2];
        if (self->file.line[i])
            (void)snprintf(origin, sizeof origin, "%s:%d", file, self->file.line[i]);
        else
            (void)snprintf(origin, sizeof origin, "%s", file);
        r = setting_take(&setting_rows[i], self->file.text[i], origin, &self->settings, error);
    }
    return r;
}

static int take_given(config_t *self, const struct setting_row *row, const char *value,
                      const char *origin, char *error)
{
    char **place = &self->given.text[row - setting_rows];
    char *copy = strdup(value);
    if (!copy)
        return out_of_memory(error);
    free(*place);
    *place = copy;
    return setting_take(row, copy, origin, &self->settings, error);
}

static int take_environment(config_t *self, unsigned used_by, char *error)
{
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        if (!(row->used_by & used_by))
            continue;
        char name[SETTING_NAME];
        const char *origin = setting_env_name(row, name);
        const char *value = getenv(origin);
        if (!value && row->env) {
            origin = row->env;
            value = getenv(origin);
        }
        int r = value ? take_given(self, row, value, origin, error) : 0;
        if (r)
            return r;
    }
    return 0;
}

static const struct setting_row *find_flag(const char *flag, size_t size)
{
    for (const struct setting_row *row = setting_rows; row < setting_rows + SETTING_ROWS; row++) {
        char name[SETTING_NAME];
        setting_flag_name(row, name);
        if (strlen(name) == size && memcmp(name, flag, size) == 0)
            return row;
    }
    return NULL;
}

static int refuse_flag(const char *arg, const char *why, char *error)
{
    (void)snprintf(error, CONFIG_ERROR, "%.100s: %s", arg, why);
    return STATUS_INVALID;
}

/* Takes one flag; *ret_used says whether the argument after it was its value. */
static int take_flag(config_t *self, const char *arg, const char *next, unsigned used_by,
                     int *ret_used, char *error)
{
    if (strncmp(arg, "--", 2) != 0)
        return refuse_flag(arg, "not understood: only flags are", error);
    const char *equals = strchr(arg, '=');
    size_t size = equals ? (size_t)(equals - arg) : strlen(arg);
    const struct setting_row *row = find_flag(arg + 2, size - 2);
    if (!row)
        return refuse_flag(arg, "there is no such flag", error);
    if (!(row->used_by & used_by))
        return refuse_flag(arg, "this program does not read that setting", error);

    const char *value = equals ? equals + 1 : next;
    if (!equals && row->kind == SETTING_IS_SWITCH)
        value = "true";
    if (!value)
        return refuse_flag(arg, "the value is missing", error);
    char origin[SETTING_NAME + 2];
    (void)snprintf(origin, sizeof origin, "%.*s", (int)size, arg);
    *ret_used = !equals && row->kind != SETTING_IS_SWITCH;
    return take_given(self, row, value, origin, error);
}

static int take_flags(config_t *self, int argc, char **argv, unsigned used_by, char *error)
{
    for (int i = 0; i < argc; i++) {
        int used = 0;
        int r = take_flag(self, argv[i], i + 1 < argc ? argv[i + 1] : NULL, used_by, &used, error);
        if (r)
            return r;
        i += used;
    }
    return 0;
}

int config_load(config_t **ret_config, const char *file, int argc, char **argv, unsigned used_by,
                char error[CONFIG_ERROR])
{
    scoped(config) self = calloc(1, sizeof *self);
    if (!self)
        return out_of_memory(error);
    setting_defaults(&self->settings);
    int r = file ? take_file(self, file, error) : 0;
    if (r == 0)
        r = take_environment(self, used_by, error);
    if (r == 0)
        r = take_flags(self, argc, argv, used_by, error);
    if (r)
        return r;
    *ret_config = self;
    self = NULL; /* handed to the caller */
    return 0;
}

void config_destroy(config_t **self_p)
{
    config_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    setting_texts_clear(&self->file);
    setting_texts_clear(&self->given);
    free(self);
}

const struct settings *config_settings(const config_t *self)
{
    return &self->settings;
}
