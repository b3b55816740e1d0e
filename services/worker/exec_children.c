#include "services/worker/exec_children.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The parent of a process, or 0. The name before it may hold blanks and brackets. */
static pid_t parent_of(const char *pid_text)
{
    char path[64];
    char stat[512];
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid_text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, stat, sizeof stat - 1);
    (void)close(fd);
    if (size <= 0)
        return 0;

    stat[size] = '\0';
    const char *after = strrchr(stat, ')');
    return after && strlen(after) > 4 ? (pid_t)strtol(after + 4, NULL, 10) : 0;
}

/* A child's pid cannot be another's before we have reaped it, so this never hits a stranger. */
void exec_kill_children(void)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    pid_t self = getpid();
    for (const struct dirent *entry = readdir(proc); entry; entry = readdir(proc))
        if (isdigit((unsigned char)entry->d_name[0]) && parent_of(entry->d_name) == self)
            (void)kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    (void)closedir(proc);
}
