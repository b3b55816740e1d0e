#pragma once
/* Fills struct settings from default, YAML file, environment and flags, by the rows of settings.h.
 */
#include "common/settings.h"

#include <stdio.h>

typedef struct config config_t;

enum { CONFIG_ERROR = 512 };

/* Reads what a program that is USED_BY_x reads. file may be NULL (no file); a file may hold
 * settings of all programs. args are the flags after the program's own were taken:
 * --storage-root=/x or
 * --storage-root /x. 0, STATUS_INVALID with a sentence in error (which setting, where it came from,
 * file and line, what is allowed), or -errno. */
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
