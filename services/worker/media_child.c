#include "services/worker/media_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* Between fork and exec: only what is safe there. */
static _Noreturn void become(char *const *argv, int words, int words_fd, int errors, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(words, words_fd) < 0 || dup2(errors, STDERR_FILENO) < 0)
        _exit(126);
    if (words_fd != STDOUT_FILENO)
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    (void)execvp(argv[0], argv);
    int reason = errno;
    say(argv[0]);
    say(reason == ENOENT ? ": no such program\n" : ": cannot be run\n");
    _exit(127);
}

int media_child_start(struct media_child *self, char *const *argv, int words_fd)
{
    int words[2], errors[2];
    if (pipe2(words, O_CLOEXEC) != 0)
        return -errno;
    if (pipe2(errors, O_CLOEXEC) != 0) {
        int r = -errno;
        close_end(&words[0]);
        close_end(&words[1]);
        return r;
    }

    pid_t parent = getpid();
    pid_t pid = fork();
    int r = pid < 0 ? -errno : 0;
    if (pid == 0)
        become(argv, words[1], words_fd, errors[1], parent);
    close_end(&words[1]);
    close_end(&errors[1]);
    if (pid < 0) {
        close_end(&words[0]);
        close_end(&errors[0]);
        return r;
    }
    (void)fcntl(words[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(errors[0], F_SETFL, O_NONBLOCK);
    *self = (struct media_child){ .pid = pid, .words = words[0], .errors = errors[0] };
    return 0;
}

static size_t read_some(int *fd, char *bytes, size_t size)
{
    if (*fd < 0)
        return 0;
    ssize_t n = read(*fd, bytes, size);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_end(fd);
    return n > 0 ? (size_t)n : 0;
}

size_t media_child_read(struct media_child *self, char *bytes, size_t size)
{
    return read_some(&self->words, bytes, size);
}

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* "Last message repeated n times" says nothing of its own. */
static void keep_line(struct media_child *self)
{
    char *line = self->open_line;
    line[self->open_size] = '\0';
    if (self->open_size > 0 && !begins(line, "    Last message repeated ")) {
        memcpy(self->line, line, self->open_size + 1);
        self->full |= strstr(line, strerror(ENOSPC)) || strstr(line, strerror(EDQUOT));
        self->unwritten |=
            begins(line, "Error writing trailer of ") || begins(line, "Error closing file ");
    }
    self->open_size = 0;
}

void media_child_relay(struct media_child *self)
{
    char bytes[4096];
    size_t size = read_some(&self->errors, bytes, sizeof bytes);
    if (size > 0)
        (void)!write(STDERR_FILENO, bytes, size);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            keep_line(self);
        else if (self->open_size < CHILD_LINE_MAX - 1)
            self->open_line[self->open_size++] = bytes[i];
    }
}

bool media_child_silent(const struct media_child *self)
{
    return self->words < 0 && self->errors < 0;
}

int media_child_end(struct media_child *self)
{
    int status = 0;
    while (waitpid(self->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close_end(&self->words);
    close_end(&self->errors);
    keep_line(self);
    self->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : MEDIA_SIGNAL + WTERMSIG(status);
}

int media_child_kill(struct media_child *self)
{
    (void)kill(self->pid, SIGKILL);
    return media_child_end(self);
}
