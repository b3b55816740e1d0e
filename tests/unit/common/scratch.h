#pragma once
/* An empty folder of its own for a test, beneath the folder ctest runs it in. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/storage/tree.h"

static inline void scratch_enter(const char *name)
{
    if (tree_remove(AT_FDCWD, name) || mkdir(name, 0700) || chdir(name))
        abort();
}

static inline void scratch_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file || fputs(text, file) < 0 || fclose(file))
        abort();
}

/* The file's text, the caller's to free. */
static inline char *scratch_read(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 1 << 16);
    if (!file || !text)
        abort();
    size_t size = fread(text, 1, (1 << 16) - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    return text;
}
