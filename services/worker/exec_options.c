#include "services/worker/exec_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool exec_number(const char *text, int64_t *ret_number)
{
    char *end = NULL;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < 0)
        return false;
    *ret_number = n;
    return true;
}

static bool add_limit(struct exec_options *self, char *text)
{
    static const struct {
        const char *name;
        __rlimit_resource_t resource;
    } names[] = { { "core", RLIMIT_CORE },    /* bytes */
                  { "cpu", RLIMIT_CPU },      /* seconds */
                  { "file", RLIMIT_FSIZE },   /* bytes */
                  { "files", RLIMIT_NOFILE }, /* open at once */
                  { "memory", RLIMIT_AS } };  /* bytes of address space */
    char *value = strchr(text, '=');
    int64_t most = 0;
    if (!value || !exec_number(value + 1, &most) || self->limits_count == EXEC_LIMITS_MAX)
        return false;
    *value = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].name, text) != 0)
            continue;
        self->limits[self->limits_count++] = (struct exec_limit){ names[i].resource, (rlim_t)most };
        return true;
    }
    return false;
}

static int usage(FILE *out, int code)
{
    (void)fputs(
        "usage: gantry-exec [--until MS] [--grace MS] [--limit NAME=N]... COMMAND [ARG]...\n"
        "\n"
        "Runs COMMAND and ends every process that comes of it. Started by gantry-worker.\n"
        "Descriptor 4 takes the orders \"until MS\", \"stop MS\" and \"kill\", one a line;\n"
        "descriptor 5 gets the report. MS of until is CLOCK_MONOTONIC.\n"
        "Limits: core, cpu, file, files, memory.\n",
        out);
    return code;
}

int exec_options_read(struct exec_options *ret_options, int argc, char **argv)
{
    static const struct option longs[] = {
        { "until", required_argument, NULL, 'u' }, { "grace", required_argument, NULL, 'g' },
        { "limit", required_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },     { NULL, 0, NULL, 0 }
    };
    *ret_options = (struct exec_options){ .until_ms = INT64_MAX, .grace_ms = 5000 };
    bool ok = true;
    for (int c = 0; ok && (c = getopt_long(argc, argv, "+", longs, NULL)) != -1;) {
        if (c == 'h')
            return usage(stdout, 0) + 1;
        if (c == 'v')
            return puts("gantry-exec " GANTRY_VERSION) < 0 ? 2 : 1;
        ok = (c == 'u' && exec_number(optarg, &ret_options->until_ms)) ||
             (c == 'g' && exec_number(optarg, &ret_options->grace_ms)) ||
             (c == 'l' && add_limit(ret_options, optarg));
    }
    ret_options->command = argv + optind;
    return ok && optind < argc ? 0 : usage(stderr, EXEC_USAGE) + 1;
}
