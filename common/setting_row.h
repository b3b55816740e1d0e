#pragma once
/* The rows of settings.h as a table, and one value's way from text into struct settings. For
 * config_*.c
 * and program.c. */
#include "common/config.h"

#include <stdbool.h>
#include <stddef.h>

enum setting_kind { SETTING_IS_TEXT, SETTING_IS_WHOLE, SETTING_IS_SWITCH };

struct setting_row {
    const char *name;
    const char *env; /* the extra name, or NULL */
    const char *doc;
    const char *text; /* default of a TEXT */
    int64_t fallback; /* default of the others */
    int64_t least;
    int64_t most;
    size_t offset; /* in struct settings */
    enum setting_kind kind;
    unsigned used_by;
};

enum {
#define SETTING_TEXT(field, name, fallback, env, used, doc) SETTING_ROW_##field,
#define SETTING_WHOLE(field, name, fallback, least, most, env, used, doc) SETTING_ROW_##field,
#define SETTING_SWITCH(field, name, fallback, env, used, doc) SETTING_ROW_##field,
    SETTINGS(SETTING_TEXT, SETTING_WHOLE, SETTING_SWITCH)
#undef SETTING_TEXT
#undef SETTING_WHOLE
#undef SETTING_SWITCH
        SETTING_ROWS,
    SETTING_NAME = 80, /* bytes that hold any row's name in any spelling */
};

extern const struct setting_row setting_rows[SETTING_ROWS];

/* "GANTRY_STORAGE_ROOT" and "storage-root" of "storage.root"; answer text (SETTING_NAME bytes). */
const char *setting_env_name(const struct setting_row *row, char *text);
/* Whether a GANTRY_ name of the environment (size bytes) is a setting's, or one of those that the
 * programs, engines and tests know besides. */
bool setting_env_known(const char *name, size_t size);
const char *setting_flag_name(const struct setting_row *row, char *text);
/* The default as a file would say it; answers text (SETTING_NAME bytes) or the row's own. */
const char *setting_default(const struct setting_row *row, char *text);

void setting_defaults(struct settings *settings);
/* A TEXT is borrowed from value. 0, or STATUS_INVALID with a sentence in error; origin says where
 * the value came from ("--storage-root", "gantry.yaml:3"). */
int setting_take(const struct setting_row *row, const char *value, const char *origin,
                 struct settings *settings, char error[CONFIG_ERROR]);

/* What a file says, the text of each row or NULL; owned by the caller. lines[i] is where. */
struct setting_texts {
    char *text[SETTING_ROWS];
    int line[SETTING_ROWS];
};
void setting_texts_clear(struct setting_texts *self);
/* config_file.c: 0, STATUS_INVALID or -errno, both with a sentence. ret_texts is zeroed by the
 * caller. */
int setting_texts_read(const char *file, struct setting_texts *ret_texts, char error[CONFIG_ERROR]);
