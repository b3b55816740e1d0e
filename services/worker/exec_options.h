#pragma once
/* The command line of gantry-exec. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

enum { EXEC_LIMITS_MAX = 8, EXEC_USAGE = 2 /* exit code */ };

struct exec_limit {
    __rlimit_resource_t resource;
    rlim_t most;
};

struct exec_options {
    char **command;
    struct exec_limit limits[EXEC_LIMITS_MAX];
    size_t limits_count;
    int64_t until_ms; /* INT64_MAX: no deadline */
    int64_t grace_ms; /* of a SIGTERM sent to gantry-exec itself */
};

/* 0, or the exit code plus one, having said why. Borrows argv. */
int exec_options_read(struct exec_options *ret_options, int argc, char **argv);

/* A whole number that is not negative, and nothing after it. */
bool exec_number(const char *text, int64_t *ret_number);
