#pragma once
/* Fills struct settings from default, YAML file, environment and flags, by settings.h. */
#include "common/settings.h"

#include <stdio.h>

typedef struct config config_t;

enum { CONFIG_ERROR = 512 };

/* Reads what a program that is USED_BY_x reads. file may be NULL (no file); a file may hold
 * settings of all programs. argv is what is left after the program's name and its own flags were
 * taken: --storage-root=/x or --storage-root /x, --broker-insecure or --broker-insecure=false. 0,
 * STATUS_INVALID, or -errno (the file cannot be read, out of memory); unless 0 a sentence stands in
 * error: which setting, where it came from (file, line and column), what is allowed. */
int config_load(config_t **ret_config, const char *file, int argc, char **argv, unsigned used_by,
                char error[CONFIG_ERROR]);
void config_destroy(config_t **self_p);
/* Borrowed, as long as the config lives. */
const struct settings *config_settings(const config_t *self);

/* The flags' part of --help, one aligned line a setting with its default and environment name. */
void config_print_help(FILE *out, unsigned used_by);
/* A commented sample file with every setting. */
void config_print_sample(FILE *out);
/* The table of docs/operations.md (Markdown). */
void config_print_table(FILE *out);
