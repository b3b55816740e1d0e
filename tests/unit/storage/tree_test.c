#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/storage/tree.h"

#include "common/scoped.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

static char here[PATH_MAX]; /* the scratch folder */

static const char *at(const char *name)
{
    static char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", here, name);
    return path;
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

TEST(a_tree_goes_whole_and_links_are_not_followed)
{
    UNUSED;
    CHECK_INT(mkdir("tree", 0700) | mkdir("tree/a", 0700) | mkdir("tree/a/b", 0700), 0);
    CHECK_INT(mkdir("tree/a/.gone.1", 0700) | mkdir("outside", 0700), 0);
    scratch_write("tree/a/b/file", "x");
    scratch_write("tree/.gone.1", "x");
    scratch_write("outside/kept", "x");
    CHECK_INT(symlink(at("outside"), "tree/a/b/link"), 0);
    CHECK_INT(mkfifo("tree/a/fifo", 0600), 0);
    CHECK_INT(tree_remove(AT_FDCWD, "tree"), 0);
    CHECK(!exists("tree"));
    CHECK(exists("outside/kept"));

    CHECK_INT(symlink("outside", "link"), 0);
    CHECK_INT(tree_remove(AT_FDCWD, "link"), 0);
    CHECK(!exists("link"));
    CHECK(exists("outside/kept"));
    CHECK_INT(tree_remove(AT_FDCWD, "outside/kept"), 0);
    CHECK_INT(tree_remove(AT_FDCWD, "outside/kept"), 0);
    CHECK_INT(tree_remove(AT_FDCWD, "no/where"), 0);
}

/* Deeper than PATH_MAX and than there are descriptors. */
TEST(a_very_deep_tree_goes)
{
    UNUSED;
    CHECK_INT(mkdir("deepest", 0700), 0);
    int fd = open("deepest", O_PATH | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        CHECK_INT(mkdirat(fd, "folder", 0700), 0);
        int next = openat(fd, "folder", O_PATH | O_CLOEXEC);
        CHECK(next >= 0);
        (void)close(fd);
        fd = next;
    }
    (void)close(fd);
    CHECK_INT(tree_remove(AT_FDCWD, "deepest"), 0);
    CHECK(!exists("deepest"));
}

TEST(a_copy_has_every_byte)
{
    UNUSED;
    static char bytes[300000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    FILE *file = fopen("big", "we");
    CHECK(file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && fclose(file) == 0);
    CHECK_INT(tree_copy("big", "copy"), 0);
    static char copy[sizeof bytes + 1];
    file = fopen("copy", "re");
    CHECK(file && fread(copy, 1, sizeof copy, file) == sizeof bytes && fclose(file) == 0);
    assert_memory_equal(copy, bytes, sizeof bytes);
    CHECK_INT(tree_copy("big", "copy"), -EEXIST);
    CHECK_INT(tree_copy("none", "nowhere"), -ENOENT);
    /* Files of /proc say they are empty, and the kernel will not copy them. */
    CHECK_INT(tree_copy("/proc/self/status", "status"), 0);
    scoped_text char *status = scratch_read("status");
    CHECK(strstr(status, "Name:"));
}

TEST(a_copy_keeps_modes_and_times)
{
    UNUSED;
    const struct timespec times[] = { { 1000, 1 }, { 2000, 123456789 } };
    struct stat info;
    CHECK_INT(mkdir("dated", 0700) | mkdir("dated/in", 0700), 0);
    scratch_write("dated/in/file", "x");
    CHECK_INT(chmod("dated/in/file", 0604) | chmod("dated/in", 02751), 0);
    CHECK_INT(utimensat(AT_FDCWD, "dated/in/file", times, 0), 0);
    CHECK_INT(utimensat(AT_FDCWD, "dated/in", times, 0), 0);
    CHECK_INT(tree_copy("dated", "dated.copy"), 0);
    static const char *const names[] = { "dated.copy/in", "dated.copy/in/file" };
    static const mode_t modes[] = { 02751, 0604 };
    for (int i = 0; i < 2; i++) {
        CHECK_INT(stat(names[i], &info), 0);
        CHECK_INT(info.st_mode & 07777, modes[i]);
        CHECK_INT(info.st_mtim.tv_sec, 2000);
        CHECK_INT(info.st_mtim.tv_nsec, 123456789);
    }
}

int main(void)
{
    scratch_enter("tree_test.d");
    if (!realpath(".", here))
        return 1;
    const struct CMUnitTest tests[] = {
        HOLDS(a_tree_goes_whole_and_links_are_not_followed),
        HOLDS(a_very_deep_tree_goes),
        HOLDS(a_copy_has_every_byte),
        HOLDS(a_copy_keeps_modes_and_times),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
